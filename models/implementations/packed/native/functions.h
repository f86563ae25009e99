// The activations, on vectors. exp, tanh and sigmoid are polynomials: at most 2e-7 from the true value, near zero in proportion.
// Those that few models use go lane by lane through the C library. Knows no layers.
#pragma once

#include <math.h>

#include "description.h"
#include "lanes.h"

namespace PACKED_PATH {

// 2^y with a relative error of 1e-7: of the whole part exactly, of the rest, at most a half, by a polynomial fitted to it.
INLINE V power(V y) {
    y = bounded_power(y);
    V r = fraction(y);
    V p = fma(all(0.001326471334323287f), r, all(0.009671523235738277f));
    p = fma(p, r, all(0.05550733953714371f));
    p = fma(p, r, all(0.24022242426872253f));
    p = fma(p, r, all(0.6931470036506653f));
    return scaled(fma(p, r, all(1.0f)), y - r);
}

// 2^y - 1, near zero in proportion. y: from -126 to 126.
INLINE V power_less_one(V y) {
    V r = fraction(y), scale = scaled(all(1.0f), y - r);
    V p = fma(all(0.00015403512225020677f), r, all(0.0013390746898949146f));
    p = fma(p, r, all(0.009618237614631653f));
    p = fma(p, r, all(0.05550357326865196f));
    p = fma(p, r, all(0.24022649228572845f));
    p = fma(p, r, all(0.6931471824645996f));
    return fma(scale, p * r, scale - all(1.0f));
}

INLINE V expm1_(V x) { return power_less_one(clamped(x * all(1.44269504089f), -126.0f, 126.0f)); }

// A number as a fraction: what is multiplied next shares its one division.
struct Ratio {
    V over, under;
};
INLINE V value_of(Ratio a) { return a.over / a.under; }
INLINE V value_of(V a) { return a; }
INLINE V times(Ratio a, Ratio b) { return (a.over * b.over) / (a.under * b.under); }
INLINE V times(V a, Ratio b) { return (a * b.over) / b.under; }
INLINE V times(V a, V b) { return a * b; }

INLINE V sigmoid_divisor(V x) { return all(1.0f) + power(x * all(-1.44269504089f)); }
INLINE Ratio sigmoid_ratio(V x) { return Ratio{all(1.0f), sigmoid_divisor(x)}; }
INLINE V sigmoid(V x) { return all(1.0f) / sigmoid_divisor(x); }

// From ±10 on tanh is ±1 in float32.
INLINE Ratio tanh_ratio(V x) {
    V e = power_less_one(clamped(x * all(2.88539008178f), -30.0f, 30.0f));
    return Ratio{e, e + all(2.0f)};
}
INLINE V hyperbolic_tangent(V x) { return value_of(tanh_ratio(x)); }

template <float function(float, float)>
static __attribute__((noinline)) V by_lane(V x, float alpha) {
    float lanes[LANES];
    store(lanes, x);
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = function(lanes[lane], alpha);
    return load(lanes);
}

static inline float softplus_(float x) { return (x > 0 ? x : (x != x ? x : 0.0f)) + log1pf(expf(-fabsf(x))); }
static inline float softplus_one(float x, float) { return softplus_(x); }
static inline float log_sigmoid_one(float x, float) { return -softplus_(-x); }
static inline float mish_one(float x, float) { return x * tanhf(softplus_(x)); }
static inline float exponential_one(float x, float) { return expf(x); }
static inline float gelu_one(float x, float) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

constexpr float HARD_SLOPE = 0.2f, HARD_SLOPE_RELU6 = 1.0f / 6.0f;
INLINE V hard_sigmoid(V x, float slope) { return clamped(x * all(slope) + all(0.5f), 0.0f, 1.0f); }

INLINE V softsign(V x) { return x / (all(1.0f) + larger(zero() - x, x)); }

static inline V activated(Function f, V x) {
    V alpha = all(f.alpha), none = zero();
    switch (f.name) {
        case LINEAR: return x;
        case TANH: return hyperbolic_tangent(x);
        case SIGMOID: return sigmoid(x);
        case HARD_SIGMOID: return hard_sigmoid(x, HARD_SLOPE);
        case HARD_SIGMOID_RELU6: return hard_sigmoid(x, HARD_SLOPE_RELU6);
        case RELU: return larger(none, x);
        case RELU6: return clamped(x, 0.0f, 6.0f);
        case LEAKY_RELU: return where_above(x, none, x, x * alpha);
        case THRESHOLDED_RELU: return where_above(x, alpha, x, larger(none, smaller(none, x)));
        case ELU: return where_above(x, none, x, alpha * expm1_(x));
        case SELU: return all(1.0507009873554805f) * where_above(x, none, x, all(1.6732632423543772f) * expm1_(x));
        case CELU: return where_above(x, none, x, alpha * expm1_(x / alpha));
        case SOFTPLUS: return by_lane<softplus_one>(x, f.alpha);
        case SOFTSIGN: return softsign(x);
        case EXPONENTIAL: return by_lane<exponential_one>(x, f.alpha);
        case GELU: return by_lane<gelu_one>(x, f.alpha);
        case GELU_TANH: {
            V inner = all(0.79788456080286536f) * fma(all(0.044715f) * x * x, x, x);
            return all(0.5f) * x * (all(1.0f) + hyperbolic_tangent(inner));
        }
        case SILU: return x * sigmoid(x);
        case MISH: return by_lane<mish_one>(x, f.alpha);
        case LOG_SIGMOID: return by_lane<log_sigmoid_one>(x, f.alpha);
        case HARD_TANH: return clamped(x, -1.0f, 1.0f);
        case HARD_SILU: return x * clamped(x + all(3.0f), 0.0f, 6.0f) / all(6.0f);
        case TANH_SHRINK: return x - hyperbolic_tangent(x);
        case SOFT_SHRINK: return where_above(x, alpha, x - alpha, where_above(none - x, alpha, x + alpha, x * none));
        case HARD_SHRINK: return where_above(x, alpha, x, where_above(none - x, alpha, x, x * none));
        case SQUAREPLUS: return (x + root(fma(x, x, alpha))) * all(0.5f);
        case SOFTMAX: break;  // of a row (softmax below)
    }
    return x;
}

// In place, over the first `count` of a row.
static inline void softmax(float* row, int count) {
    float largest = row[0], sum = 0.0f;
    for (int i = 1; i < count; i++) largest = row[i] > largest || row[i] != row[i] ? row[i] : largest;
    for (int i = 0; i < count; i++) sum += row[i] = expf(row[i] - largest);
    for (int i = 0; i < count; i++) row[i] /= sum;
}

// In place; `row` has room for whole vectors.
static inline void activate_row(Function f, float* row, int count) {
    if (f.name == LINEAR) return;
    if (f.name == SOFTMAX) return softmax(row, count);
    for (int i = 0; i < count; i += LANES) store(row + i, activated(f, load(row + i)));
}

}
