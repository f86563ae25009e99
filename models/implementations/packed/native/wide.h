// Time steps of cells with a softmax, which acts on a whole row of units: gate by gate over all blocks. Rare, so plain.
#pragma once

#include "cells.h"

namespace PACKED_PATH {

// Part `slot` of `slots` of a row's sums, as a row.
static inline void unpack(const Gating& g, const float* sums, int slots, int slot, float* row) {
    for (long block = 0; block < g.blocks; block++) store(row + block * LANES, load(sums + (block * slots + slot) * LANES));
}

// rows: room for 5 rows of whole vectors.
static inline void wide_lstm(const Gating& g, int units, const float* sums, float* c, float* h, float* rows) {
    long width = g.blocks * LANES;
    float *i = rows, *f = i + width, *n = f + width, *o = n + width, *shown = o + width;
    for (int slot = 0; slot < 4; slot++) unpack(g, sums, 4, slot, rows + slot * width);
    for (long u = 0; g.peepholes && u < units; u++) i[u] += g.peepholes[u] * c[u], f[u] += g.peepholes[width + u] * c[u];
    activate_row(g.recurrent_activation, i, units);
    activate_row(g.recurrent_activation, f, units);
    activate_row(g.activation, n, units);
    for (long u = 0; u < units; u++) {
        c[u] = f[u] * c[u] + i[u] * n[u];
        if (g.cell_clip > 0) c[u] = c[u] > g.cell_clip ? g.cell_clip : c[u] < -g.cell_clip ? -g.cell_clip : c[u];
        if (g.peepholes) o[u] += g.peepholes[2 * width + u] * c[u];
        shown[u] = c[u];
    }
    activate_row(g.recurrent_activation, o, units);
    activate_row(g.activation, shown, units);
    for (long u = 0; u < units; u++) h[u] = o[u] * shown[u];
}

static inline void wide_gru_reset_after(const Gating& g, int units, const float* sums, const float* old, float* h, float* rows) {
    long width = g.blocks * LANES;
    float *n = rows, *z = n + width, *r = z + width, *product = r + width;
    for (int slot = 0; slot < 4; slot++) unpack(g, sums, 4, slot, rows + slot * width);
    activate_row(g.recurrent_activation, z, units);
    activate_row(g.recurrent_activation, r, units);
    for (long u = 0; u < units; u++) n[u] += r[u] * product[u];
    activate_row(g.activation, n, units);
    for (long u = 0; u < units; u++) h[u] = n[u] + z[u] * (old[u] - n[u]);
}

static inline void wide_gru_reset(const Gating& g, int units, const float* sums, const float* old, float* reset) {
    unpack(g, sums, 3, 1, reset);
    activate_row(g.recurrent_activation, reset, units);
    for (long u = 0; u < units; u++) reset[u] *= old[u];
}

static inline void wide_gru_reset_before(const Gating& g, int units, const float* sums, const float* old, float* h, float* rows) {
    float *z = rows, *n = z + g.blocks * LANES;
    unpack(g, sums, 3, 0, z);
    unpack(g, sums, 3, 2, n);
    activate_row(g.recurrent_activation, z, units);
    activate_row(g.activation, n, units);
    for (long u = 0; u < units; u++) h[u] = n[u] + z[u] * (old[u] - n[u]);
}

static inline void wide_min_gru(const Gating& g, int units, const float* sums, const float* old, float* h, float* rows) {
    float *z = rows, *n = z + g.blocks * LANES;
    unpack(g, sums, 2, 0, z);
    unpack(g, sums, 2, 1, n);
    activate_row(g.recurrent_activation, z, units);
    activate_row(g.activation, n, units);
    for (long u = 0; u < units; u++) h[u] = old[u] + z[u] * (n[u] - old[u]);
}

// slots: 1, or 2 where the two are multiplied.
static inline void wide_simple_rnn(const Gating& g, int units, const float* sums, int slots, float* h, float* rows) {
    unpack(g, sums, slots, 0, h);
    if (slots == 2) {
        unpack(g, sums, 2, 1, rows);
        for (long u = 0; u < units; u++) h[u] *= rows[u];
    }
    activate_row(g.activation, h, units);
}

}
