// One time step of a cell, once its products are made: gates to the new state, a few unit blocks of one row. Knows no time.
#pragma once

#include "functions.h"

namespace PACKED_PATH {

// What is constant in a cell besides its matrices. peepholes: packed [3][blocks * LANES], or null.
struct Gating {
    Function activation, recurrent_activation;
    float cell_clip, hard_slope;
    const float* peepholes;
    long blocks;
};

// The functions that most models have are inlined; any other is looked up for each vector.
struct SigmoidTanh {
    INLINE Ratio gate(const Gating&, V x) { return sigmoid_ratio(x); }
    INLINE Ratio value(const Gating&, V x) { return tanh_ratio(x); }
};
struct HardSigmoidTanh {
    INLINE V gate(const Gating& g, V x) { return hard_sigmoid(x, g.hard_slope); }
    INLINE Ratio value(const Gating&, V x) { return tanh_ratio(x); }
};
struct Any {
    INLINE V gate(const Gating& g, V x) { return activated(g.recurrent_activation, x); }
    INLINE V value(const Gating& g, V x) { return activated(g.activation, x); }
};

// sums: i, f, c, o of each block. c [units] in place; h [units] is written.
template <class F>
static inline void lstm(const Gating& g, const float* sums, long first, long count, float* c, float* h) {
    for (long block = first; block < first + count; block++) {
        const float* s = sums + block * 4 * LANES;
        V i = load(s), f = load(s + LANES), n = load(s + 2 * LANES), o = load(s + 3 * LANES), cell = load(c + block * LANES);
        if (g.peepholes) {
            const float* p = g.peepholes + block * LANES;
            i = i + load(p) * cell, f = f + load(p + g.blocks * LANES) * cell;
        }
        cell = fma(value_of(F::gate(g, f)), cell, times(F::gate(g, i), F::value(g, n)));
        if (g.cell_clip > 0) cell = clamped(cell, -g.cell_clip, g.cell_clip);
        if (g.peepholes) o = o + load(g.peepholes + (2 * g.blocks + block) * LANES) * cell;
        store(c + block * LANES, cell);
        store(h + block * LANES, times(F::gate(g, o), F::value(g, cell)));
    }
}

// z old + (1 - z) new, as new + z (old - new): what is the same stays the same.
INLINE V mixed(V z, V old, V fresh) { return fma(z, old - fresh, fresh); }

// sums: the candidate's input, z, r, and the candidate's product with its recurrent bias.
template <class F>
static inline void gru_reset_after(const Gating& g, const float* sums, long first, long count, const float* old, float* h) {
    for (long block = first; block < first + count; block++) {
        const float* s = sums + block * 4 * LANES;
        V z = value_of(F::gate(g, load(s + LANES))), r = value_of(F::gate(g, load(s + 2 * LANES)));
        V fresh = value_of(F::value(g, fma(r, load(s + 3 * LANES), load(s))));
        store(h + block * LANES, mixed(z, load(old + block * LANES), fresh));
    }
}

// sums: z, r, candidate. First r h, which the candidate's product takes …
template <class F>
static inline void gru_reset(const Gating& g, const float* sums, long first, long count, const float* old, float* reset) {
    for (long block = first; block < first + count; block++) {
        V r = value_of(F::gate(g, load(sums + (block * 3 + 1) * LANES)));
        store(reset + block * LANES, r * load(old + block * LANES));
    }
}

// … then the rest.
template <class F>
static inline void gru_reset_before(const Gating& g, const float* sums, long first, long count, const float* old, float* h) {
    for (long block = first; block < first + count; block++) {
        const float* s = sums + block * 3 * LANES;
        V z = value_of(F::gate(g, load(s))), fresh = value_of(F::value(g, load(s + 2 * LANES)));
        store(h + block * LANES, mixed(z, load(old + block * LANES), fresh));
    }
}

// sums: z, candidate; here z takes the new.
template <class F>
static inline void min_gru(const Gating& g, const float* sums, long first, long count, const float* old, float* h) {
    for (long block = first; block < first + count; block++) {
        const float* s = sums + block * 2 * LANES;
        V z = value_of(F::gate(g, load(s))), fresh = value_of(F::value(g, load(s + LANES)));
        store(h + block * LANES, mixed(z, fresh, load(old + block * LANES)));
    }
}

template <class F>
static inline void simple_rnn(const Gating& g, const float* sums, long first, long count, float* h) {
    for (long block = first; block < first + count; block++) store(h + block * LANES, value_of(F::value(g, load(sums + block * LANES))));
}

// sums: of the input, of the state.
template <class F>
static inline void simple_rnn_multiplied(const Gating& g, const float* sums, long first, long count, float* h) {
    for (long block = first; block < first + count; block++) {
        const float* s = sums + block * 2 * LANES;
        store(h + block * LANES, value_of(F::value(g, load(s) * load(s + LANES))));
    }
}

}
