// A chunk of a whole network: layers over blocks of time steps, whose sequences stay near, then the head over the rows that end.
// Knows the order of its operations and nothing of why it is that.
#pragma once

#include "layer.h"

namespace PACKED_PATH {

enum { FEW_ROWS = 128 };  // that are in order soonest by being put in one by one

static inline int ascending(const void* a, const void* b) {
    int64_t first = *(const int64_t*)a, second = *(const int64_t*)b;
    return first < second ? -1 : first > second;
}

// Rows with the longest first, as Layer::run wants them; those of one length keep their order. Null: memory ran out.
static inline int* longest_first(const int32_t* lengths, int count, Arena& arena) {
    int* order = arena.take<int>(count);
    int64_t* keys = arena.take<int64_t>(count > FEW_ROWS ? count : 0);
    if (arena.failed) return nullptr;
    if (count > FEW_ROWS) {
        for (int row = 0; row < count; row++) keys[row] = ((int64_t)(INT32_MAX - lengths[row]) << 32) | row;
        qsort(keys, count, sizeof(int64_t), ascending);
        for (int place = 0; place < count; place++) order[place] = (int)(keys[place] & INT32_MAX);
        return order;
    }
    for (int row = 0; row < count; row++) {
        int place = row;
        for (; place > 0 && lengths[order[place - 1]] < lengths[row]; place--) order[place] = order[place - 1];
        order[place] = row;
    }
    return order;
}

struct Operation {
    OperationDescription told;
    const Layer* layer;
    MatrixOf<Float32> matrix;
    float* constants;  // [3, width]: what is subtracted, multiplied by and added; or a table [vocabulary, width]
};

enum : long { SEQUENCE_FLOATS = 65536, FEWEST_STEPS = 8, DENSE_ROWS = 96 };

struct Chunk {
    int operations, tensors, outputs;
    long state_width;
    Operation* operation;
    TensorDescription* tensor;  // 0: the inputs
    int32_t* output;            // a tensor for each

    bool make(const ChunkDescription& d);
    void free_all();
    bool run(const ChunkCall& call, Arena& arena) const;
};

inline bool Chunk::make(const ChunkDescription& d) {
    operations = 0, tensors = d.tensors, outputs = d.outputs, state_width = d.state_width;
    operation = (Operation*)calloc(d.operations + 1, sizeof(Operation));
    tensor = (TensorDescription*)calloc(tensors + 1, sizeof(TensorDescription));
    output = (int32_t*)calloc(outputs + 1, sizeof(int32_t));
    if (!operation || !tensor || !output) return false;
    memcpy(tensor, d.tensor, tensors * sizeof(TensorDescription));
    memcpy(output, d.output, outputs * sizeof(int32_t));
    for (; operations < d.operations; operations++) {
        Operation& made = operation[operations];
        made.told = d.operation[operations];
        made.layer = (const Layer*)made.told.layer;
        int width = tensor[made.told.output].width, none = 0;
        if (made.told.kind == DENSE &&
            !made.matrix.pack(tensor[made.told.input].width, width, 1, &none, made.told.array, width, made.told.bias))
            return false;
        if (made.told.kind == AFFINE || made.told.kind == EMBEDDING) {
            long count = (long)made.told.count * width;
            if (!(made.constants = new_floats(count))) return false;
            memcpy(made.constants, made.told.array, count * sizeof(float));
        }
    }
    return true;
}

inline void Chunk::free_all() {
    for (int i = 0; operation && i < operations + 1; i++) {
        operation[i].matrix.free_all();
        free(operation[i].constants);
    }
    free(operation);
    free(tensor);
    free(output);
}

INLINE float merged(int mode, float a, float b) {
    switch (mode) {
        case SUM: return a + b;
        case DIFFERENCE: return a - b;
        case PRODUCT: return a * b;
        case MAXIMUM: return a > b || a != a ? a : b;
        default: return a < b || a != a ? a : b;
    }
}

// One step or vector of everything but the recurrent and dense layers. b: the second input of a merge, `split` wide is the first.
static inline void one_vector(const Operation& o, int width, const float* a, int split, const float* b, float* made) {
    switch (o.told.kind) {
        case ACTIVATION: {
            if (o.told.function.name == SOFTMAX) {
                if (made != a) memmove(made, a, width * sizeof(float));
                return softmax(made, width);
            }
            int i = 0;
            for (; i + LANES <= width; i += LANES) store(made + i, activated(o.told.function, load(a + i)));
            if (i < width) {
                float rest[LANES] = {0};
                memcpy(rest, a + i, (width - i) * sizeof(float));
                store(rest, activated(o.told.function, load(rest)));
                memcpy(made + i, rest, (width - i) * sizeof(float));
            }
            return;
        }
        case AFFINE:
            for (int i = 0; i < width; i++)
                made[i] = (a[i] - o.constants[i]) * o.constants[width + i] + o.constants[2 * width + i];
            return;
        case CONCATENATION:
            memcpy(made, a, split * sizeof(float));
            memcpy(made + split, b, (width - split) * sizeof(float));
            return;
        case MERGE:
            for (int i = 0; i < width; i++) made[i] = merged(o.told.mode, a[i], b[i]);
            return;
    }
}

// in, made: a pointer for each of `count` vectors.
static inline void dense(
    const Operation& o, int width, long count, const float* const* in, float* const* made, Arena& arena) {
    long padded = o.matrix.blocks * LANES, most = count < DENSE_ROWS ? count : (long)DENSE_ROWS;
    float* memory = arena.take<float>(most * padded);
    float** sums = arena.take<float*>(most);
    const WordRoom<Float32> words(arena, most, o.matrix.inputs);
    if (arena.failed) return;
    for (long i = 0; i < most; i++) sums[i] = memory + i * padded;
    for (long first = 0; first < count; first += most) {
        long here = count - first < most ? count - first : most;
        multiply_all(o.matrix, here, true, words.made_of(in + first, here, o.matrix.inputs), sums, LANES);
        for (long i = 0; i < here; i++) {
            activate_row(o.told.function, sums[i], width);
            memcpy(made[first + i], sums[i], width * sizeof(float));
        }
    }
}

inline bool Chunk::run(const ChunkCall& call, Arena& arena) const {
    const int rows = call.rows;
    const int* order = longest_first(call.lengths, rows, arena);
    int* counts = arena.take<int>(rows);
    float** memory = arena.take<float*>(tensors + 1);
    const float** in = nullptr;
    if (arena.failed) return false;
    long longest = call.lengths[order[0]], width_of_all = 0, block = longest;
    for (int t = 1; t < tensors; t++)
        if (tensor[t].sequence) width_of_all += tensor[t].width;
    if (width_of_all) {
        long fitting = SEQUENCE_FLOATS / (rows * width_of_all);
        if (fitting < FEWEST_STEPS) fitting = FEWEST_STEPS;
        if (fitting < block) block = fitting;
    }
    for (int t = 1; t < tensors; t++)
        memory[t] = arena.take<float>((long)rows * tensor[t].width * (tensor[t].sequence ? block : 1) + LANES);
    long vectors = rows * block;
    in = arena.take<const float*>(vectors);
    float **made = arena.take<float*>(vectors), **h = arena.take<float*>(rows), **c = arena.take<float*>(rows);
    if (arena.failed) return false;
    const long features = tensor[0].width;

    // Step `at` of the block that began at `begin`, of the place-th row; a vector of the row itself.
    auto place_of = [&](int t, long place, long begin, long at) -> float* {
        if (t == 0) return (float*)call.inputs + ((long)order[place] * call.steps + begin + at) * features;
        return memory[t] + (place * block + at) * tensor[t].width;
    };
    for (long begin = 0; begin < longest; begin += block) {
        int active = 0;
        for (; active < rows && call.lengths[order[active]] > begin; active++) {
            long left = call.lengths[order[active]] - begin;
            counts[active] = (int)(left < block ? left : block);
        }
        for (int i = 0; i < operations; i++) {
            const Operation& o = operation[i];
            if (!o.told.over_time) continue;
            const int from = o.told.input, to = o.told.output, width = tensor[to].width;
            Arena::Mark mark = arena.mark();
            if (o.told.kind == RECURRENT) {
                for (int place = 0; place < active; place++) {
                    float* state = call.state + order[place] * state_width;
                    in[place] = place_of(from, place, begin, 0);
                    h[place] = state + o.told.h, c[place] = state + o.told.c;
                    state[o.told.seen] = 1.0f;
                    if (to) made[place] = place_of(to, place, begin, 0);
                }
                o.layer->run(Rows{active, counts, in, tensor[from].width, h, c, to ? made : nullptr, width}, arena);
            } else if (o.told.kind == LAST) {
                for (int place = 0; place < active; place++)
                    if (call.lengths[order[place]] <= begin + block)
                        memcpy(
                            memory[to] + (long)order[place] * width, place_of(from, place, begin, counts[place] - 1),
                            width * sizeof(float));
            } else if (o.told.kind == EMBEDDING) {
                for (int place = 0; place < active; place++) {
                    const int64_t* ids = (const int64_t*)call.inputs + order[place] * call.steps + begin;
                    for (int at = 0; at < counts[place]; at++)
                        memcpy(place_of(to, place, begin, at), o.constants + ids[at] * width, width * sizeof(float));
                }
            } else {
                long all_vectors = 0;
                for (int place = 0; place < active; place++)
                    for (int at = 0; at < counts[place]; at++, all_vectors++) {
                        in[all_vectors] = place_of(from, place, begin, at);
                        made[all_vectors] = place_of(to, place, begin, at);
                        if (o.told.kind != DENSE)
                            one_vector(
                                o, width, in[all_vectors], tensor[from].width, place_of(o.told.second, place, begin, at),
                                made[all_vectors]);
                    }
                if (o.told.kind == DENSE) dense(o, width, all_vectors, in, made, arena);
            }
            arena.rewind(mark);
        }
        for (int i = 0; i < outputs; i++)
            for (int place = 0; tensor[output[i]].sequence && place < active; place++) {
                long width = tensor[output[i]].width;
                memcpy(
                    call.outputs[i] + ((long)order[place] * call.steps + begin) * width, place_of(output[i], place, begin, 0),
                    counts[place] * width * sizeof(float));
            }
    }
    for (int i = 0; i < operations; i++) {
        const Operation& o = operation[i];
        if (o.told.over_time) continue;
        const int from = o.told.input, to = o.told.output, width = tensor[to].width;
        for (int e = 0; e < call.ending; e++) {
            long row = call.ending_rows[e];
            made[e] = memory[to] + row * width;
            if (o.told.kind == STATE) {
                memcpy(made[e], call.state + row * state_width + o.told.h, width * sizeof(float));
                continue;
            }
            in[e] = memory[from] + row * tensor[from].width;
            const float* second = o.told.second ? memory[o.told.second] + row * tensor[o.told.second].width : nullptr;
            if (o.told.kind != DENSE) one_vector(o, width, in[e], tensor[from].width, second, made[e]);
        }
        if (o.told.kind == DENSE) dense(o, width, call.ending, in, made, arena);
    }
    for (int i = 0; i < outputs; i++) {
        long width = tensor[output[i]].width;
        for (int e = 0; !tensor[output[i]].sequence && e < call.ending; e++)
            memcpy(call.outputs[i] + e * width, memory[output[i]] + call.ending_rows[e] * width, width * sizeof(float));
    }
    return !arena.failed;
}

}
