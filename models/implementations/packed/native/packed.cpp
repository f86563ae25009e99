// The library's functions, as Python calls them: chooses the instruction set once, and keeps each thread's memory.
#include "packed.h"

#include <pthread.h>
#include <string.h>

#include "path.h"

extern const Path path_plain;
#if defined(__x86_64__)
extern const Path path_avx2, path_avx512, path_bfloat16;
#endif

static pthread_key_t arenas;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_arena(void* arena) {
    Arena::release(((Arena*)arena)->last);
    free(arena);
}

static void make_key() { pthread_key_create(&arenas, free_arena); }

static Arena* own_arena() {
    pthread_once(&once, make_key);
    Arena* arena = (Arena*)pthread_getspecific(arenas);
    if (!arena) {
        arena = (Arena*)calloc(1, sizeof(Arena));
        if (arena) pthread_setspecific(arenas, arena);
    }
    return arena;
}

#if defined(__x86_64__)
static void identify(unsigned leaf, unsigned part, unsigned* out) {
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(part));
}

// The widest set that both the processor and the operating system, which keeps its registers, have.
static const Path* found_widest() {
    unsigned leaf[4];
    identify(0, 0, leaf);
    if (leaf[0] < 7) return &path_plain;
    identify(1, 0, leaf);
    const unsigned fma = 1u << 12, os_saves = 1u << 27, avx = 1u << 28;
    if ((leaf[2] & (fma | os_saves | avx)) != (fma | os_saves | avx)) return &path_plain;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 0x06) != 0x06) return &path_plain;
    identify(7, 0, leaf);
    const unsigned avx2 = 1u << 5, f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    if ((leaf[1] & (f | dq | bw | vl)) == (f | dq | bw | vl) && (low & 0xe0) == 0xe0) return &path_avx512;
    return leaf[1] & avx2 ? &path_avx2 : &path_plain;
}

// The set that multiplies in bfloat16: AVX-512, and its BF16.
static const Path* found_bfloat16() {
    unsigned leaf[4];
    if (found_widest() != &path_avx512) return nullptr;
    identify(7, 0, leaf);
    if (leaf[0] < 1) return nullptr;
    identify(7, 1, leaf);
    const unsigned bf16 = 1u << 5;
    return leaf[0] & bf16 ? &path_bfloat16 : nullptr;
}

static const Path* const known[] = {&path_avx512, &path_avx2, &path_plain};
#else
static const Path* found_widest() { return &path_plain; }
static const Path* found_bfloat16() { return nullptr; }
static const Path* const known[] = {&path_plain};
#endif

// Asked once: a virtual machine takes its time to answer.
static const Path* widest() {
    static const Path* found;
    const Path* known_already = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (!known_already) __atomic_store_n(&found, known_already = found_widest(), __ATOMIC_RELAXED);
    return known_already;
}

// From the widest that this machine has on to the plainest.
extern "C" const char* packed_path(int index) {
    const int count = sizeof known / sizeof *known;
    int first = 0;
    while (known[first] != widest()) first++;
    return first + index < count ? known[first + index]->name : nullptr;
}

extern "C" const char* packed_bfloat16_path() {
    const Path* found = found_bfloat16();
    return found ? found->name : nullptr;
}

static const Path* named(const char* name) {
    const Path* bfloat16 = found_bfloat16();
    if (bfloat16 && strcmp(bfloat16->name, name) == 0) return bfloat16;
    for (const Path* path : known)
        if (strcmp(path->name, name) == 0) return path;
    return nullptr;
}

struct Handle {
    const Path* path;
    void* made;  // a layer or a chunk
};

extern "C" int packed_version() { return PACKED_VERSION; }

static Handle* handle_of(const Path* path, void* made) {
    Handle* handle = made ? (Handle*)malloc(sizeof(Handle)) : nullptr;
    if (handle) *handle = Handle{path, made};
    return handle;
}

extern "C" void* packed_new_layer(const char* path, const CellDescription* description) {
    const Path* chosen = named(path);
    return chosen ? handle_of(chosen, chosen->new_layer(description)) : nullptr;
}

extern "C" void packed_free_layer(void* handle) {
    ((Handle*)handle)->path->free_layer(((Handle*)handle)->made);
    free(handle);
}

extern "C" void* packed_new_chunk(const char* path, ChunkDescription* description, OperationDescription* operations) {
    const Path* chosen = named(path);
    for (int i = 0; i < description->operations; i++)
        if (operations[i].layer) operations[i].layer = ((const Handle*)operations[i].layer)->made;
    return chosen ? handle_of(chosen, chosen->new_chunk(description)) : nullptr;
}

extern "C" void packed_free_chunk(void* handle) {
    ((Handle*)handle)->path->free_chunk(((Handle*)handle)->made);
    free(handle);
}

extern "C" int packed_run_chunk(const void* handle, const ChunkCall* call) {
    Arena* arena = own_arena();
    if (!arena) return -1;
    const Handle* own = (const Handle*)handle;
    int result = own->path->run_chunk(own->made, call, arena);
    arena->reset();
    return result;
}

extern "C" int packed_run_layer(
    const void* handle, int rows, const int32_t* lengths, const float* x, long x_step, long x_row, float* h, long h_row, float* c,
    long c_row, float* out, long out_step, long out_row) {
    Arena* arena = own_arena();
    if (!arena) return -1;
    const Handle* own = (const Handle*)handle;
    int result =
        own->path->run_layer(own->made, rows, lengths, x, x_step, x_row, h, h_row, c, c_row, out, out_step, out_row, arena);
    arena->reset();
    return result;
}
