// Matrices packed for products with a few rows at once, and those products. A row's sums run over the inputs in their order, one
// fused step each, whatever stands beside it and however many rows there are: so a row's numbers never depend on its batch mates.
#pragma once

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "numbers.h"

namespace PACKED_PATH {

static inline float* new_floats(long count) {
    void* made = nullptr;
    if (posix_memalign(&made, 64, (count ? count : 1) * sizeof(float)) != 0) return nullptr;
    memset(made, 0, count * sizeof(float));
    return (float*)made;
}

template <class N>
INLINE long words_of(long numbers) { return (numbers + N::IN_A_WORD - 1) / N::IN_A_WORD; }

// Packed [unit block][word][part][LANES], a word being what N makes of an input or two; a part is one gate. `bias` is packed
// [unit block][part][LANES].
template <class N>
struct MatrixOf {
    int inputs, words, units, parts;
    long blocks;
    float* weights;
    float* bias;

    // columns: for each part, where its `units` columns begin in `source` [inputs, stride] and `source_bias`; both may be null.
    bool pack(int inputs_, int units_, int parts_, const int* columns, const float* source, long stride, const float* source_bias) {
        inputs = inputs_, words = (int)words_of<N>(inputs_), units = units_, parts = parts_, blocks = whole_vectors(units);
        weights = new_floats(blocks * words * parts * LANES);
        bias = new_floats(blocks * parts * LANES);
        if (!weights || !bias) return false;
        for (long block = 0; block < blocks; block++)
            for (int part = 0; part < parts; part++)
                for (int lane = 0; lane < LANES && block * LANES + lane < units; lane++) {
                    long column = columns[part] + block * LANES + lane, place = part * LANES + lane;
                    for (int word = 0; source && word < words; word++) {
                        const float* first = source + (long)word * N::IN_A_WORD * stride + column;
                        const bool alone = (word + 1) * N::IN_A_WORD > inputs;
                        float numbers[2] = {*first, N::IN_A_WORD == 1 || alone ? 0.0f : first[stride]}, made[LANES];
                        weights[(block * words + word) * parts * LANES + place] = *N::as_words(numbers, N::IN_A_WORD, made);
                    }
                    if (source_bias) bias[block * parts * LANES + place] = source_bias[column];
                }
        return true;
    }

    void free_all() {
        free(weights);
        free(bias);
    }

    long block_weights() const { return (long)words * parts * LANES; }
};

// Packed weights from a block on, and the rows that they are multiplied by, in words.
struct Factors {
    const float* weights;
    long block_weights;
    int words;
    const float* const* in;
};

template <class N, int ROWS, int PARTS, int NB>
INLINE void add_products(V (&sum)[ROWS][NB * PARTS], const Factors& f) {
    const float *weights = f.weights, *x[ROWS];
    const long block_weights = f.block_weights;
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++) x[row] = f.in[row];
    for (int k = 0; k < f.words; k++) {
        V factor[ROWS];
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) factor[row] = all(x[row][k]);
#pragma GCC unroll 8
        for (int block = 0; block < NB; block++)
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++) {
                V weight = load(weights + block * block_weights + part * LANES);
#pragma GCC unroll 8
                for (int row = 0; row < ROWS; row++)
                    sum[row][block * PARTS + part] = N::add_product(factor[row], weight, sum[row][block * PARTS + part]);
            }
        weights += PARTS * LANES;
    }
}

// sums[row] += first, then second, times NB blocks; or, with `bias`, sums[row] = bias + that. A block's parts lie side by side.
template <class N, int ROWS, int PARTS, int NB>
static __attribute__((noinline)) void product(
    const Factors& first, const Factors* second, const float* bias, float* const* sums, long block_sums) {
    V sum[ROWS][NB * PARTS];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++)
#pragma GCC unroll 8
        for (int block = 0; block < NB; block++)
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++)
                sum[row][block * PARTS + part] = load(
                    bias ? bias + (block * PARTS + part) * LANES : sums[row] + block * block_sums + part * LANES);
    add_products<N, ROWS, PARTS, NB>(sum, first);
    if (second) add_products<N, ROWS, PARTS, NB>(sum, *second);
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++)
#pragma GCC unroll 8
        for (int block = 0; block < NB; block++)
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++)
                store(sums[row] + block * block_sums + part * LANES, sum[row][block * PARTS + part]);
}

// Where rows become words: a pointer for each, and `words_between` floats. Nothing where they are words as they are.
template <class N>
struct WordRoom {
    const float** pointers;
    float* memory;
    long words_between;

    WordRoom() = default;
    WordRoom(Arena& arena, long rows, long count) {
        const long room = N::IN_A_WORD == 1 ? 0 : rows;
        words_between = whole_vectors(words_of<N>(count)) * LANES;
        pointers = arena.take<const float*>(room), memory = arena.take<float>(room * words_between);
    }

    // x: rows of `count` numbers. What was made before is gone then.
    const float* const* made_of(const float* const* x, long rows, long count) const {
        if (N::IN_A_WORD == 1) return x;
        for (long row = 0; row < rows; row++) pointers[row] = N::as_words(x[row], count, memory + row * words_between);
        return pointers;
    }
};

enum { MOST_ROWS = 6 };

// How many rows a product takes at once, and how many blocks: as many sums as fit into registers.
INLINE constexpr int blocks_at_once(int parts, int rows) {
    int fitting = MOST_SUMS / (parts * rows);
    return fitting >= 4 && parts == 1 ? 4 : fitting >= 2 && parts * rows <= 4 ? 2 : 1;
}
INLINE constexpr int rows_at_once(int parts) { return MOST_SUMS / parts < MOST_ROWS ? MOST_SUMS / parts : MOST_ROWS; }

// Some blocks of some rows: at most rows_at_once(parts). second: after that; null for none. sums: where block 0 of each row begins.
template <class N>
struct TileOf {
    const MatrixOf<N>* first;
    const float* const* first_in;
    const MatrixOf<N>* second;
    const float* const* second_in;
    bool with_bias;  // of the first
    float* const* sums;
    long block_sums;
    long begin, count;  // blocks
};

template <int ROWS, int PARTS, class N>
static inline void rows_product(const TileOf<N>& t) {
    constexpr int NB = blocks_at_once(PARTS, ROWS);
    float* here[ROWS];
    for (int row = 0; row < ROWS; row++) here[row] = t.sums[row] + t.begin * t.block_sums;
    const MatrixOf<N> &m = *t.first, *more = t.second;
    Factors first{m.weights + t.begin * m.block_weights(), m.block_weights(), m.words, t.first_in}, second{};
    if (more) second = Factors{more->weights + t.begin * more->block_weights(), more->block_weights(), more->words, t.second_in};
    const Factors* then = more ? &second : nullptr;
    const float* bias = t.with_bias ? m.bias + t.begin * PARTS * LANES : nullptr;
    for (long block = 0; block < t.count;) {
        const bool whole = block + NB <= t.count;
        const int taken = whole ? NB : 1;
        if (whole)
            product<N, ROWS, PARTS, NB>(first, then, bias, here, t.block_sums);
        else
            product<N, ROWS, PARTS, 1>(first, then, bias, here, t.block_sums);
        for (int row = 0; row < ROWS; row++) here[row] += taken * t.block_sums;
        first.weights += taken * first.block_weights;
        second.weights += taken * second.block_weights;
        if (bias) bias += taken * PARTS * LANES;
        block += taken;
    }
}

template <int PARTS, class N>
static inline void parts_product(const TileOf<N>& t, int rows) {
    constexpr int MOST = rows_at_once(PARTS);
    switch (rows) {
        case 1: return rows_product<1, PARTS>(t);
        case 2: return rows_product<MOST < 2 ? 1 : 2, PARTS>(t);
        case 3: return rows_product<MOST < 3 ? 1 : 3, PARTS>(t);
        case 4: return rows_product<MOST < 4 ? 1 : 4, PARTS>(t);
        case 5: return rows_product<MOST < 5 ? 1 : 5, PARTS>(t);
        case 6: return rows_product<MOST < 6 ? 1 : 6, PARTS>(t);
    }
}

template <class N>
static inline void multiply(const TileOf<N>& t, int rows) {
    switch (t.first->parts) {
        case 1: return parts_product<1>(t, rows);
        case 2: return parts_product<2>(t, rows);
        case 3: return parts_product<3>(t, rows);
        case 4: return parts_product<4>(t, rows);
    }
}

// The tiles of `rows`, as even as they can be: the `index`-th of them begins at tile_start(…, index).
INLINE long tiles_of(long rows, int parts) { return (rows + rows_at_once(parts) - 1) / rows_at_once(parts); }
INLINE long tile_start(long rows, long tiles, long index) { return index * rows / tiles; }

// All blocks of any number of rows, block by block so that a block's weights stay near.
template <class N>
static inline void multiply_all(
    const MatrixOf<N>& m, long rows, bool with_bias, const float* const* in, float* const* sums, long block_sums) {
    if (rows == 0) return;
    long tiles = tiles_of(rows, m.parts);
    long step = tiles == 1 ? m.blocks : blocks_at_once(m.parts, 1);
    for (long first = 0; first < m.blocks; first += step) {
        long count = first + step <= m.blocks ? step : m.blocks - first;
        for (long tile = 0; tile < tiles; tile++) {
            long start = tile_start(rows, tiles, tile), stop = tile_start(rows, tiles, tile + 1);
            TileOf<N> t{&m, in + start, nullptr, nullptr, with_bias, sums + start, block_sums, first, count};
            multiply(t, (int)(stop - start));
        }
    }
}

typedef MatrixOf<Numbers> Matrix;
typedef TileOf<Numbers> Tile;

}
