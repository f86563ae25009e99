// A vector of float32 and what is done with it, in the words of one instruction set. PACKED_PATH names which: avx512, avx2 or plain.
// Every product-and-sum is either fused everywhere or nowhere, and nothing is contracted behind our back (-ffp-contract=off), so a
// number comes out the same wherever in a tile its row stands. Minimum and maximum hand on NaN when it is the second operand.
#pragma once

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

#if defined(PACKED_AVX512)
#include <immintrin.h>
namespace PACKED_PATH {
typedef __m512 V;
enum { LANES = 16, MOST_SUMS = 24 };  // sums: that fit into registers beside weights and inputs
INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
INLINE void store(float* p, V x) { _mm512_storeu_ps(p, x); }
INLINE V all(float x) { return _mm512_set1_ps(x); }
INLINE V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V smaller(V a, V b) { return _mm512_min_ps(a, b); }
INLINE V larger(V a, V b) { return _mm512_max_ps(a, b); }
INLINE V where_above(V x, V bound, V yes, V no) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, bound, _CMP_GT_OQ), no, yes); }
INLINE V scaled(V x, V n) { return _mm512_scalef_ps(x, n); }  // x 2^n for a whole n, infinite ones too
INLINE V fraction(V y) { return _mm512_reduce_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE V bounded_power(V y) { return y; }
INLINE V root(V x) { return _mm512_sqrt_ps(x); }
}
#elif defined(PACKED_AVX2)
#include <immintrin.h>
namespace PACKED_PATH {
typedef __m256 V;
enum { LANES = 8, MOST_SUMS = 12 };
INLINE V load(const float* p) { return _mm256_loadu_ps(p); }
INLINE void store(float* p, V x) { _mm256_storeu_ps(p, x); }
INLINE V all(float x) { return _mm256_set1_ps(x); }
INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
INLINE V smaller(V a, V b) { return _mm256_min_ps(a, b); }
INLINE V larger(V a, V b) { return _mm256_max_ps(a, b); }
INLINE V where_above(V x, V bound, V yes, V no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, bound, _CMP_GT_OQ)); }
INLINE V scaled(V x, V n) {  // x 2^n for a whole n from -126 to 127
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
INLINE V fraction(V y) { return _mm256_sub_ps(y, _mm256_round_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)); }
INLINE V bounded_power(V y) { return smaller(all(126.0f), larger(all(-126.0f), y)); }
INLINE V root(V x) { return _mm256_sqrt_ps(x); }
}
#else
#if defined(__aarch64__)
#include <arm_neon.h>
#endif
namespace PACKED_PATH {
typedef float V __attribute__((vector_size(16)));
typedef int32_t Whole __attribute__((vector_size(16)));
#if defined(__aarch64__)
enum { LANES = 4, MOST_SUMS = 24 };
INLINE V fma(V a, V b, V c) { return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#else
enum { LANES = 4, MOST_SUMS = 12 };
INLINE V fma(V a, V b, V c) { return a * b + c; }
#endif
INLINE V load(const float* p) {
    V x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
}
INLINE void store(float* p, V x) { __builtin_memcpy(p, &x, sizeof x); }
INLINE V all(float x) { return V{x, x, x, x}; }
INLINE V chosen(Whole mask, V yes, V no) { return (V)(((Whole)yes & mask) | ((Whole)no & ~mask)); }
INLINE V smaller(V a, V b) { return chosen((Whole)(a < b), a, b); }
INLINE V larger(V a, V b) { return chosen((Whole)(a > b), a, b); }
INLINE V where_above(V x, V bound, V yes, V no) { return chosen((Whole)(x > bound), yes, no); }
INLINE V scaled(V x, V n) { return x * (V)((__builtin_convertvector(n, Whole) + 127) << 23); }
INLINE V fraction(V y) {  // of less than 2^22: adding 1.5 x 2^23 rounds
    V magic = all(12582912.0f);
    return y - ((y + magic) - magic);
}
INLINE V bounded_power(V y) { return smaller(all(126.0f), larger(all(-126.0f), y)); }
INLINE V root(V x) {
    for (int lane = 0; lane < LANES; lane++) x[lane] = __builtin_sqrtf(x[lane]);
    return x;
}
}
#endif

namespace PACKED_PATH {
INLINE V clamped(V x, float low, float high) { return smaller(all(high), larger(all(low), x)); }
INLINE V zero() { return all(0.0f); }
INLINE long whole_vectors(long numbers) { return (numbers + LANES - 1) / LANES; }
}
