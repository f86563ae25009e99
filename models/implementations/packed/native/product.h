// Matrices packed for products with a few rows at once, and those products. A row's sums run over the inputs in their order, one
// fused step each, whatever stands beside it and however many rows there are: so a row's numbers never depend on its batch mates.
#pragma once

#include <stdlib.h>
#include <string.h>

#include "lanes.h"

namespace PACKED_PATH {

static inline float* new_floats(long count) {
    void* made = nullptr;
    if (posix_memalign(&made, 64, (count ? count : 1) * sizeof(float)) != 0) return nullptr;
    memset(made, 0, count * sizeof(float));
    return (float*)made;
}

// Packed [unit block][input][part][LANES]; a part is one gate. `bias` is packed [unit block][part][LANES].
struct Matrix {
    int inputs, units, parts;
    long blocks;
    float* weights;
    float* bias;

    // columns: for each part, where its `units` columns begin in `source` [inputs, stride] and `source_bias`; both may be null.
    bool pack(int inputs_, int units_, int parts_, const int* columns, const float* source, long stride, const float* source_bias) {
        inputs = inputs_, units = units_, parts = parts_, blocks = whole_vectors(units);
        weights = new_floats(blocks * inputs * parts * LANES);
        bias = new_floats(blocks * parts * LANES);
        if (!weights || !bias) return false;
        for (long block = 0; block < blocks; block++)
            for (int part = 0; part < parts; part++)
                for (int lane = 0; lane < LANES && block * LANES + lane < units; lane++) {
                    long column = columns[part] + block * LANES + lane, place = part * LANES + lane;
                    for (int k = 0; source && k < inputs; k++)
                        weights[(block * inputs + k) * parts * LANES + place] = source[k * stride + column];
                    if (source_bias) bias[block * parts * LANES + place] = source_bias[column];
                }
        return true;
    }

    void free_all() {
        free(weights);
        free(bias);
    }

    long block_weights() const { return (long)inputs * parts * LANES; }
};

// sums[row] += in[row] times NB blocks; or, with `bias`, sums[row] = bias + that. A block's parts lie side by side in `sums`.
template <int ROWS, int PARTS, int NB>
static __attribute__((noinline)) void product(
    const float* weights, long block_weights, const float* bias, int inputs, const float* const* in, float* const* sums,
    long block_sums) {
    V sum[ROWS][NB * PARTS];
    const float* x[ROWS];
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++) {
        x[row] = in[row];
#pragma GCC unroll 8
        for (int block = 0; block < NB; block++)
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++)
                sum[row][block * PARTS + part] = load(
                    bias ? bias + (block * PARTS + part) * LANES : sums[row] + block * block_sums + part * LANES);
    }
    for (int k = 0; k < inputs; k++) {
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
                    sum[row][block * PARTS + part] = fma(factor[row], weight, sum[row][block * PARTS + part]);
            }
        weights += PARTS * LANES;
    }
#pragma GCC unroll 8
    for (int row = 0; row < ROWS; row++)
#pragma GCC unroll 8
        for (int block = 0; block < NB; block++)
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++)
                store(sums[row] + block * block_sums + part * LANES, sum[row][block * PARTS + part]);
}

enum { MOST_ROWS = 6 };

// How many rows a product takes at once, and how many blocks: as many sums as fit into registers.
INLINE constexpr int blocks_at_once(int parts, int rows) {
    int fitting = MOST_SUMS / (parts * rows);
    return fitting >= 4 && parts == 1 ? 4 : fitting >= 2 && parts * rows <= 4 ? 2 : 1;
}
INLINE constexpr int rows_at_once(int parts) { return MOST_SUMS / parts < MOST_ROWS ? MOST_SUMS / parts : MOST_ROWS; }

template <int ROWS, int PARTS>
static inline void rows_product(
    const Matrix& m, long first, long count, bool with_bias, const float* const* in, float* const* sums, long block_sums) {
    constexpr int NB = blocks_at_once(PARTS, ROWS);
    float* here[ROWS];
    for (int row = 0; row < ROWS; row++) here[row] = sums[row] + first * block_sums;
    const float* weights = m.weights + first * m.block_weights();
    const float* bias = with_bias ? m.bias + first * PARTS * LANES : nullptr;
    long block = 0;
    for (; block + NB <= count; block += NB) {
        product<ROWS, PARTS, NB>(weights, m.block_weights(), bias, m.inputs, in, here, block_sums);
        for (int row = 0; row < ROWS; row++) here[row] += NB * block_sums;
        weights += NB * m.block_weights();
        if (bias) bias += NB * PARTS * LANES;
    }
    if (NB > 1)
        for (; block < count; block++) {
            product<ROWS, PARTS, 1>(weights, m.block_weights(), bias, m.inputs, in, here, block_sums);
            for (int row = 0; row < ROWS; row++) here[row] += block_sums;
            weights += m.block_weights();
            if (bias) bias += PARTS * LANES;
        }
}

template <int PARTS>
static inline void parts_product(
    const Matrix& m, int rows, long first, long count, bool with_bias, const float* const* in, float* const* sums, long block_sums) {
    constexpr int MOST = rows_at_once(PARTS);
    switch (rows) {
        case 1: return rows_product<1, PARTS>(m, first, count, with_bias, in, sums, block_sums);
        case 2: return rows_product<MOST < 2 ? 1 : 2, PARTS>(m, first, count, with_bias, in, sums, block_sums);
        case 3: return rows_product<MOST < 3 ? 1 : 3, PARTS>(m, first, count, with_bias, in, sums, block_sums);
        case 4: return rows_product<MOST < 4 ? 1 : 4, PARTS>(m, first, count, with_bias, in, sums, block_sums);
        case 5: return rows_product<MOST < 5 ? 1 : 5, PARTS>(m, first, count, with_bias, in, sums, block_sums);
        case 6: return rows_product<MOST < 6 ? 1 : 6, PARTS>(m, first, count, with_bias, in, sums, block_sums);
    }
}

// rows: at most rows_at_once(m.parts), of blocks first … first + count. sums: where block 0 of each row begins.
static inline void multiply(
    const Matrix& m, int rows, long first, long count, bool with_bias, const float* const* in, float* const* sums, long block_sums) {
    switch (m.parts) {
        case 1: return parts_product<1>(m, rows, first, count, with_bias, in, sums, block_sums);
        case 2: return parts_product<2>(m, rows, first, count, with_bias, in, sums, block_sums);
        case 3: return parts_product<3>(m, rows, first, count, with_bias, in, sums, block_sums);
        case 4: return parts_product<4>(m, rows, first, count, with_bias, in, sums, block_sums);
    }
}

// The tiles of `rows`, as even as they can be: the `index`-th of them begins at tile_start(…, index).
INLINE long tiles_of(long rows, int parts) { return (rows + rows_at_once(parts) - 1) / rows_at_once(parts); }
INLINE long tile_start(long rows, long tiles, long index) { return index * rows / tiles; }

// All blocks of any number of rows, block by block so that a block's weights stay near.
static inline void multiply_all(
    const Matrix& m, long rows, bool with_bias, const float* const* in, float* const* sums, long block_sums) {
    if (rows == 0) return;
    long tiles = tiles_of(rows, m.parts);
    long step = tiles == 1 ? m.blocks : blocks_at_once(m.parts, 1);
    for (long first = 0; first < m.blocks; first += step) {
        long count = first + step <= m.blocks ? step : m.blocks - first;
        for (long tile = 0; tile < tiles; tile++) {
            long start = tile_start(rows, tiles, tile), stop = tile_start(rows, tiles, tile + 1);
            multiply(m, (int)(stop - start), first, count, with_bias, in + start, sums + start, block_sums);
        }
    }
}

}
