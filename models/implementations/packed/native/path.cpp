// One instruction set: compiled once for each, with the flags that it needs and PACKED_PATH as the name of its namespace.
#include "chunk.h"
#include "path.h"

namespace PACKED_PATH {

static void free_layer(void* layer) {
    ((Layer*)layer)->free_all();
    free(layer);
}

static void* new_layer(const CellDescription* description) {
    Layer* layer = (Layer*)calloc(1, sizeof(Layer));
    if (layer && !layer->make(*description)) {
        free_layer(layer);
        return nullptr;
    }
    return layer;
}

static int run_layer(
    const void* layer, int count, const int32_t* lengths, const float* x, long x_step, long x_row, float* h, long h_row, float* c,
    long c_row, float* out, long out_step, long out_row, Arena* arena) {
    int* steps = arena->take<int>(count);
    const float** xs = arena->take<const float*>(count);
    float **hs = arena->take<float*>(count), **cs = arena->take<float*>(count), **outs = arena->take<float*>(count);
    const int* order = longest_first(lengths, count, *arena);
    if (arena->failed) return -1;
    for (int place = 0; place < count; place++) {
        long row = order[place];
        steps[place] = lengths[row];
        xs[place] = x + row * x_row;
        hs[place] = h + row * h_row;
        cs[place] = c + row * c_row;
        outs[place] = out + row * out_row;
    }
    ((const Layer*)layer)->run(Rows{count, steps, xs, x_step, hs, cs, out ? outs : nullptr, out_step}, *arena);
    return arena->failed ? -1 : 0;
}

static void free_chunk(void* chunk) {
    ((Chunk*)chunk)->free_all();
    free(chunk);
}

static void* new_chunk(const ChunkDescription* description) {
    Chunk* chunk = (Chunk*)calloc(1, sizeof(Chunk));
    if (chunk && !chunk->make(*description)) {
        free_chunk(chunk);
        return nullptr;
    }
    return chunk;
}

static int run_chunk(const void* chunk, const ChunkCall* call, Arena* arena) {
    return ((const Chunk*)chunk)->run(*call, *arena) ? 0 : -1;
}

}

#define JOINED_(a, b) a##b
#define JOINED(a, b) JOINED_(a, b)
#define QUOTED_(a) #a
#define QUOTED(a) QUOTED_(a)

extern const Path JOINED(path_, PACKED_PATH);
const Path JOINED(path_, PACKED_PATH) = {
    QUOTED(PACKED_PATH),     PACKED_PATH::new_layer, PACKED_PATH::free_layer, PACKED_PATH::run_layer,
    PACKED_PATH::new_chunk, PACKED_PATH::free_chunk, PACKED_PATH::run_chunk};
