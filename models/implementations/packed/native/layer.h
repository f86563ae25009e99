// A recurrent layer over ragged rows: products of the inputs of several steps at once, then step by step over all rows that are
// not at their end. The longest rows come first, so that those left are always the first ones. Knows no ABI.
#pragma once

#include "arena.h"
#include "product.h"
#include "wide.h"

namespace PACKED_PATH {

// Rows of a call, the longest first. x, out: steps lie `x_step`, `out_step` floats apart; out may be null. h, c: in place.
struct Rows {
    int count;
    const int* steps;
    const float* const* x;
    long x_step;
    float* const* h;
    float* const* c;
    float* const* out;
    long out_step;
};

enum Inlined { SIGMOID_TANH, HARD_SIGMOID_TANH, ANY, WIDE };
enum : long {
    SUMS_FLOATS = 32768,  // of one product of inputs: they should stay in the second cache until they are used
    TOGETHER_ROWS = 4,    // from which on each step multiplies its inputs itself: then weights are used often enough for that
};

struct Layer {
    int kind, units, width;  // width: of h
    int slots;               // vectors of sums for each block of units
    Matrix input, recurrent, second;  // second: of the candidate after a reset before the product, or a projection
    int recurrent_slot;               // the first of the recurrent product's
    int constant_slot;                // begins with recurrent.bias or zeros at each step; -1: none
    bool has_recurrent, projected;
    Gating gating;
    float* peepholes;
    float projection_clip;
    Inlined inlined;

    bool make(const CellDescription& d);
    void free_all() {
        input.free_all();
        recurrent.free_all();
        second.free_all();
        free(peepholes);
    }
    long row_sums() const { return input.blocks * slots * LANES; }
    void run(const Rows& rows, Arena& arena) const;
    long inputs_of_steps(
        const Rows& rows, long begin, long active, const float** in, const WordRoom<Numbers>& words, float* const* sums) const;
};

inline bool Layer::make(const CellDescription& d) {
    kind = d.kind, units = d.units, projected = d.projection_units > 0, width = projected ? d.projection_units : d.units;
    projection_clip = d.projection_clip, constant_slot = -1, recurrent_slot = 0, has_recurrent = true;
    int u = units, none = 0;
    long blocks = whole_vectors(u);
    bool made = true;
    int in_order[4] = {0, u, 2 * u, 3 * u}, candidate_first[3] = {2 * u, 0, u}, candidate = 2 * u;
    const float *kernel = d.kernel, *own = d.recurrent_kernel, *bias = d.bias;
    switch (kind) {
        case LSTM:
            slots = 4;
            made = input.pack(d.inputs, u, 4, in_order, kernel, 4L * u, bias) &&
                   recurrent.pack(width, u, 4, in_order, own, 4L * u, nullptr);
            if (projected) made = made && second.pack(u, width, 1, &none, d.projection, width, nullptr);
            break;
        case GRU_RESET_AFTER:
            slots = 4, recurrent_slot = 1, constant_slot = 3;
            made = input.pack(d.inputs, u, 3, candidate_first, kernel, 3L * u, bias) &&
                   recurrent.pack(u, u, 3, in_order, own, 3L * u, nullptr);
            for (int i = 0; made && d.recurrent_bias && i < u; i++) {  // of z and r: with that of the input
                long place = (i / LANES) * 3 * LANES + i % LANES;
                input.bias[place + LANES] += d.recurrent_bias[i];
                input.bias[place + 2 * LANES] += d.recurrent_bias[u + i];
                recurrent.bias[place + 2 * LANES] = d.recurrent_bias[2 * u + i];
            }
            break;
        case GRU_RESET_BEFORE:
            slots = 3;
            made = input.pack(d.inputs, u, 3, in_order, kernel, 3L * u, bias) &&
                   recurrent.pack(u, u, 2, in_order, own, 3L * u, nullptr) &&
                   second.pack(u, u, 1, &candidate, own, 3L * u, nullptr);
            break;
        case SIMPLE_RNN:
            slots = 1;
            made = input.pack(d.inputs, u, 1, &none, kernel, u, bias) && recurrent.pack(u, u, 1, &none, own, u, nullptr);
            break;
        case SIMPLE_RNN_MULTIPLIED:
            slots = 2, recurrent_slot = 1, constant_slot = 1;
            made = input.pack(d.inputs, u, 1, &none, kernel, u, bias) && recurrent.pack(u, u, 1, &none, own, u, nullptr);
            break;
        case MIN_GRU:
            slots = 2, has_recurrent = false;
            made = input.pack(d.inputs, u, 2, in_order, kernel, 2L * u, bias);
            break;
        default: return false;
    }
    if (!made) return false;
    if (d.peepholes) {
        peepholes = new_floats(3 * blocks * LANES);
        if (!peepholes) return false;
        for (int gate = 0; gate < 3; gate++)
            memcpy(peepholes + gate * blocks * LANES, d.peepholes + (long)gate * u, u * sizeof(float));
    }
    const int gate = d.recurrent_activation.name, value = d.activation.name;
    const bool hard = gate == HARD_SIGMOID || gate == HARD_SIGMOID_RELU6;
    const float slope = gate == HARD_SIGMOID ? HARD_SLOPE : HARD_SLOPE_RELU6;
    gating = Gating{d.activation, d.recurrent_activation, d.cell_clip, slope, peepholes, blocks};
    inlined = ANY;
    if (gate == SOFTMAX || value == SOFTMAX)
        inlined = WIDE;
    else if (value == TANH && (gate == SIGMOID || hard))
        inlined = hard ? HARD_SIGMOID_TANH : SIGMOID_TANH;
    return true;
}

// What a call works with: of each row, h before and after the step, c, and rows besides.
struct Work {
    float* const* h[2];
    float* const* c;
    float* const* besides;  // the unprojected h; r h of a GRU that resets before the product
    float* wide;            // for the cells of wide.h
    float* tile;            // sums of a few blocks of a tile
    WordRoom<Numbers> words;     // of h, or of `besides`
};

template <class F>
static inline void cell(const Layer& l, const float* sums, long first, long count, float* c, const float* old, float* h) {
    switch (l.kind) {
        case LSTM: return lstm<F>(l.gating, sums, first, count, c, h);
        case GRU_RESET_AFTER: return gru_reset_after<F>(l.gating, sums, first, count, old, h);
        case GRU_RESET_BEFORE: return gru_reset_before<F>(l.gating, sums, first, count, old, h);
        case SIMPLE_RNN: return simple_rnn<F>(l.gating, sums, first, count, h);
        case SIMPLE_RNN_MULTIPLIED: return simple_rnn_multiplied<F>(l.gating, sums, first, count, h);
        case MIN_GRU: return min_gru<F>(l.gating, sums, first, count, old, h);
    }
}

static inline void wide_cell(const Layer& l, const float* sums, float* c, const float* old, float* h, float* rows) {
    switch (l.kind) {
        case LSTM: return wide_lstm(l.gating, l.units, sums, c, h, rows);
        case GRU_RESET_AFTER: return wide_gru_reset_after(l.gating, l.units, sums, old, h, rows);
        case GRU_RESET_BEFORE: return wide_gru_reset_before(l.gating, l.units, sums, old, h, rows);
        case SIMPLE_RNN: return wide_simple_rnn(l.gating, l.units, sums, 1, h, rows);
        case SIMPLE_RNN_MULTIPLIED: return wide_simple_rnn(l.gating, l.units, sums, 2, h, rows);
        case MIN_GRU: return wide_min_gru(l.gating, l.units, sums, old, h, rows);
    }
}

// The recurrent product, then the cell, block by block: sums are read while they are still near. Every other step goes through the
// blocks from the last to the first, whose weights are still near, where all of them do not fit into a cache. x: the inputs of this step, where
// their product is made here too, before the recurrent one; otherwise null, and the sums hold it already.
template <class F>
static void blocks_of_step(
    const Layer& l, const Matrix* matrix, int slot, long rows, const float* const* in, const float* const* x, float* const* sums,
    const Work& w, int now, float* const* made) {
    const long block_sums = l.slots * LANES, blocks = l.input.blocks;
    const long tiles = matrix ? tiles_of(rows, matrix->parts) : 1;
    const long step = !matrix ? blocks : matrix->parts == 1 ? 4 : tiles == 1 ? 2 : 1;
    const long turns = (blocks + step - 1) / step;
    for (long turn = 0; turn < turns; turn++) {
        const long first = (now ? turns - 1 - turn : turn) * step, count = first + step <= blocks ? step : blocks - first;
        for (long tile = 0; tile < tiles; tile++) {
            const long start = tile_start(rows, tiles, tile), stop = tile_start(rows, tiles, tile + 1);
            float* here[MOST_ROWS];
            for (long row = start; matrix && row < stop; row++)
                here[row - start] = x ? w.tile + ((row - start) * step - first) * block_sums : sums[row] + slot * LANES;
            if (x)
                multiply(Tile{&l.input, x + start, matrix, in + start, true, here, block_sums, first, count}, (int)(stop - start));
            else if (matrix)
                multiply(Tile{matrix, in + start, nullptr, nullptr, false, here, block_sums, first, count}, (int)(stop - start));
            for (long row = start; row < stop; row++)
                cell<F>(l, x ? here[row - start] : sums[row], first, count, w.c[row], w.h[now][row], made[row]);
        }
    }
}

static inline void all_of_step(
    const Layer& l, const Matrix* matrix, int slot, long rows, const float* const* in, float* const* sums, const Work& w, int now,
    float* const* made, float** here) {
    if (matrix) {
        for (long row = 0; row < rows; row++) here[row] = sums[row] + slot * LANES;
        multiply_all(*matrix, rows, false, in, here, l.slots * LANES);
    }
    for (long row = 0; row < rows; row++) wide_cell(l, sums[row], w.c[row], w.h[now][row], made[row], w.wide);
}

// One time step of the first `rows`: from w.h[now] to w.h[1 - now]. x: as in blocks_of_step. here: room for a pointer for each row.
template <class F>
static void step(
    const Layer& l, long rows, const float* const* x, float* const* sums, const Work& w, int now, float** here, bool wide) {
    const float* const* old = (const float* const*)w.h[now];
    const Matrix* matrix = l.has_recurrent ? &l.recurrent : nullptr;
    const float* const* in = matrix ? w.words.made_of(old, rows, matrix->inputs) : nullptr;
    int slot = l.recurrent_slot;
    if (l.kind == GRU_RESET_BEFORE) {
        multiply_all(l.recurrent, rows, false, in, sums, l.slots * LANES);
        for (long row = 0; row < rows; row++)
            if (wide)
                wide_gru_reset(l.gating, l.units, sums[row], old[row], w.besides[row]);
            else
                gru_reset<F>(l.gating, sums[row], 0, l.input.blocks, old[row], w.besides[row]);
        matrix = &l.second, in = w.words.made_of((const float* const*)w.besides, rows, l.units), slot = 2;
    }
    float* const* made = l.projected ? w.besides : w.h[1 - now];
    if (wide)
        all_of_step(l, matrix, slot, rows, in, sums, w, now, made, here);
    else
        blocks_of_step<F>(l, matrix, slot, rows, in, x, sums, w, now, made);
    if (!l.projected) return;
    multiply_all(l.second, rows, true, w.words.made_of((const float* const*)made, rows, l.units), w.h[1 - now], LANES);
    if (l.projection_clip > 0)
        for (long row = 0; row < rows; row++)
            for (long i = 0; i < l.second.blocks * LANES; i += LANES)
                store(w.h[1 - now][row] + i, clamped(load(w.h[1 - now][row] + i), -l.projection_clip, l.projection_clip));
}

static inline float* const* row_pointers(Arena& arena, long rows, long width) {
    float** pointers = arena.take<float*>(rows);
    float* memory = arena.take<float>(rows * width);
    if (arena.failed) return nullptr;
    memset(memory, 0, rows * width * sizeof(float));
    for (long row = 0; row < rows; row++) pointers[row] = memory + row * width;
    return pointers;
}

static inline void begin_constants(const Layer& l, float* const* sums, long items) {
    const Matrix& m = l.recurrent;
    for (long item = 0; item < items; item++)
        for (long block = 0; block < m.blocks; block++)
            store(
                sums[item] + (block * l.slots + l.constant_slot) * LANES, load(m.bias + (block * m.parts + m.parts - 1) * LANES));
}

// The products of the inputs of as many steps as SUMS_FLOATS allow, at least one; returns the step after them.
inline long Layer::inputs_of_steps(
    const Rows& rows, long begin, long active, const float** in, const WordRoom<Numbers>& words, float* const* sums) const {
    long items = 0, left = active, end = begin;
    for (; end < rows.steps[0] && (items == 0 || items * row_sums() < SUMS_FLOATS); end++) {
        while (rows.steps[left - 1] <= end) left--;
        for (long row = 0; row < left; row++) in[items++] = rows.x[row] + end * rows.x_step;
    }
    multiply_all(input, items, true, words.made_of(in, items, input.inputs), sums, slots * LANES);
    if (constant_slot >= 0) begin_constants(*this, sums, items);
    return end;
}

inline void Layer::run(const Rows& rows, Arena& arena) const {
    if (rows.count == 0) return;
    long n = rows.count, longest = rows.steps[0], padded = whole_vectors(width) * LANES, unit_pad = input.blocks * LANES;
    Work work;
    work.h[0] = row_pointers(arena, n, padded);
    work.h[1] = row_pointers(arena, n, padded);
    work.c = row_pointers(arena, n, kind == LSTM ? unit_pad : (long)LANES);
    work.besides = row_pointers(arena, n, projected || kind == GRU_RESET_BEFORE ? unit_pad : (long)LANES);
    work.wide = arena.take<float>(5 * unit_pad);
    work.tile = arena.take<float>(MOST_ROWS * 4 * slots * LANES);
    long most = SUMS_FLOATS / row_sums() + n, all_items = longest * n;
    if (most > all_items) most = all_items;
    const float** in = arena.take<const float*>(most);
    work.words = WordRoom<Numbers>(arena, n, units > width ? units : width);
    const WordRoom<Numbers> inputs(arena, most, input.inputs);
    float** sums = arena.take<float*>(most);
    float** here = arena.take<float*>(n);
    float* memory = arena.take<float>(most * row_sums());
    if (arena.failed) return;
    for (long row = 0; row < n; row++) {
        memcpy(work.h[0][row], rows.h[row], width * sizeof(float));
        if (kind == LSTM) memcpy(work.c[row], rows.c[row], units * sizeof(float));
    }
    for (long item = 0; item < most; item++) sums[item] = memory + item * row_sums();
    long active = n, now = 0;
    for (long begin = 0, end; begin < longest; begin = end) {
        while (rows.steps[active - 1] <= begin) active--;
        const bool together = active >= TOGETHER_ROWS && (kind == LSTM || kind == SIMPLE_RNN) && inlined != WIDE;
        end = begin + 1;
        if (together) {
            for (long row = 0; row < active; row++) in[row] = rows.x[row] + begin * rows.x_step;
        } else {
            end = inputs_of_steps(rows, begin, active, in, inputs, sums);
        }
        float** here_sums = sums;
        for (long at = begin; at < end; at++) {
            while (rows.steps[active - 1] <= at) active--;
            const float* const* x = together ? inputs.made_of(in, active, input.inputs) : nullptr;
            switch (inlined) {
                case SIGMOID_TANH: step<SigmoidTanh>(*this, active, x, here_sums, work, (int)now, here, false); break;
                case HARD_SIGMOID_TANH: step<HardSigmoidTanh>(*this, active, x, here_sums, work, (int)now, here, false); break;
                default: step<Any>(*this, active, x, here_sums, work, (int)now, here, inlined == WIDE);
            }
            here_sums += active;
            now = 1 - now;
            for (long row = 0; rows.out && row < active; row++)
                memcpy(rows.out[row] + at * rows.out_step, work.h[now][row], width * sizeof(float));
            for (long row = active; row-- > 0 && rows.steps[row] == at + 1;) {
                memcpy(rows.h[row], work.h[now][row], width * sizeof(float));
                if (kind == LSTM) memcpy(rows.c[row], work.c[row], units * sizeof(float));
            }
        }
    }
}

}
