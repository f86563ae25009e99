// The two factors of a product, as words of 32 bits: what a word holds, how rows become words, and how a word's product joins a sum in
// float32. Knows no matrices.
#pragma once

#include "lanes.h"

namespace PACKED_PATH {

// A word is a number, and a row's numbers are its words.
struct Float32 {
    enum { IN_A_WORD = 1 };
    INLINE V add_product(V a, V b, V sum) { return fma(a, b, sum); }
    static const float* as_words(const float* x, long, float*) { return x; }
};

#if defined(PACKED_BFLOAT16)
// A word is two numbers in bfloat16, each rounded to the nearest; the products of both are added.
struct Bfloat16 {
    enum { IN_A_WORD = 2 };
    INLINE V add_product(V a, V b, V sum) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }

    // x [count] in `made`, which has room for whole vectors of words. Where the last word has a number too many, it is zero.
    static const float* as_words(const float* x, long count, float* made) {
        for (long i = 0; i < count; i += 2 * LANES) {
            const long left = count - i;
            const __mmask16 low = left < LANES ? (1u << left) - 1 : 0xffff;
            const __mmask16 high = left <= LANES ? 0 : left < 2 * LANES ? (1u << (left - LANES)) - 1 : 0xffff;
            V first = _mm512_maskz_loadu_ps(low, x + i), second = _mm512_maskz_loadu_ps(high, x + i + LANES);
            store(made + i / 2, (V)_mm512_cvtne2ps_pbh(second, first));
        }
        return made;
    }
};
typedef Bfloat16 Numbers;  // of the recurrent layers
#else
typedef Float32 Numbers;
#endif

}
