// Elementary functions on vectors of f32: straight-line, one path for every lane, so a lane's result depends on its
// argument only. NaN gives NaN; infinities, signed zeros, subnormal arguments and results are those of the C library
// unless said otherwise. Polynomials are derived by minimax.py beside this file. The bounds, in units of the last place
// of the f32 result, hold with and without fused multiply-add; tests/kernels/test_math.py holds the functions to them.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "simd/vector.h"

namespace ARN_NS {

static inline vi32 bits_of(vf32 x) { return (vi32)x; }
static inline vf32 float_of(vi32 x) { return (vf32)x; }
static inline vi32 splat_i32(int32_t x) { return x - vi32{}; }
static inline vf32 vabs(vf32 x) { return float_of(bits_of(x) & 0x7fffffff); }
// The magnitude of m (not negative) with the sign of s.
static inline vf32 vsigned(vf32 m, vf32 s) { return float_of(bits_of(m) | (bits_of(s) & INT32_MIN)); }
// NaN stays.
static inline vf32 vat_most(vf32 x, float most) { return x > most ? splat_f32(most) : x; }
static inline vf32 vat_least(vf32 x, float least) { return x < least ? splat_f32(least) : x; }

// c[0] + x (c[1] + x (c[2] + ...))
template <typename V, typename S, int N>
static inline V polynomial(V x, const S (&c)[N]) {
  V p = c[N - 1] - V{};
  for (int k = N - 2; k >= 0; --k) p = p * x + c[k];
  return p;
}

constexpr float kLog2E = 1.44269504f;
constexpr float kLn2High = 0.693359375f;  // 9 bits: its product with an exponent is exact
constexpr float kLn2Low = -2.12194440e-4f;
constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits

// exp(r) = 1 + r + r^2 P(r), |r| <= ln(2) / 2, to 2^-28
constexpr float kExp[] = {5.0e-1f, 1.66665152e-1f, 4.16665748e-2f, 8.36933404e-3f, 1.39221526e-3f};

// x + tail = n ln(2) + r, |r| <= ln(2) / 2 and a little; |x| <= 180, |tail| much smaller than x.
struct Reduced {
  vf32 r, n_float;
  vi32 n;
};
static inline Reduced reduce_exp(vf32 x, vf32 tail) {
  const vf32 shifted = (x + tail) * kLog2E + kRoundMagic;
  const vf32 n = shifted - kRoundMagic;
  const vf32 r = ((x - n * kLn2High) + tail) - n * kLn2Low;
  return {r, n, bits_of(shifted) - bits_of(splat_f32(kRoundMagic))};
}
static inline Reduced reduce_exp(vf32 x) {
  const vf32 shifted = x * kLog2E + kRoundMagic;
  const vf32 n = shifted - kRoundMagic;
  return {(x - n * kLn2High) - n * kLn2Low, n, bits_of(shifted) - bits_of(splat_f32(kRoundMagic))};
}
static inline vf32 exp_of_reduced(vf32 r) { return (r * r * polynomial(r, kExp) + r) + 1.0f; }
static inline vf32 power_of_two(vi32 n) { return float_of((n + 127) << 23); }  // -126 <= n <= 127

// p * 2^n with one rounding, subnormal results and overflow included; -252 <= n <= 254, |p| in [1/4, 4].
static inline vf32 scale(vf32 p, const Reduced& by) {
#if defined(__AVX512F__)
  return (vf32)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)by.n_float);
#else
  const vi32 half = by.n >> 1;
  return p * power_of_two(half) * power_of_two(by.n - half);
#endif
}

// 1 ulp
static inline vf32 vexp(vf32 x) {
  const Reduced by = reduce_exp(vat_least(vat_most(x, 89.0f), -104.0f));
  return scale(exp_of_reduced(by.r), by);
}

// exp for x <= 0: the factor of a tiny result is put together from a constant and a power of two. 1 ulp
static inline vf32 vexp_negative(vf32 x) {
  const Reduced by = reduce_exp(vat_least(x, -104.0f));
#if defined(__AVX512F__)
  return scale(exp_of_reduced(by.r), by);
#else
  return exp_of_reduced(by.r) * power_of_two(by.n + 64) * 5.42101086e-20f;
#endif
}

// exp for arguments whose result is a normal number: -87 <= x <= 88. 1 ulp
static inline vf32 vexp_normal(vf32 x) {
  const Reduced by = reduce_exp(x);
  return exp_of_reduced(by.r) * power_of_two(by.n);
}

// exp(x) - 1 for x <= 88. 1.5 ulp
static inline vf32 vexpm1(vf32 x) {
  const Reduced by = reduce_exp(vat_least(x, -18.0f));
  const vf32 s = power_of_two(by.n), p = by.r * by.r * polynomial(by.r, kExp) + by.r;
  return s * p + (s - 1.0f);
}

// log(1 + f) = f - f^2 / 2 + f^3 P(f), 1 + f in [sqrt(1/2), sqrt(2)], to 2^-29.9
constexpr float kLog[] = {3.33333075e-1f,  -2.49999762e-1f, 2.00024635e-1f, -1.66701883e-1f, 1.42144278e-1f,
                          -1.23627447e-1f, 1.18808307e-1f,  -1.1929404e-1f, 7.07471222e-2f};
constexpr int32_t kSqrtHalfBits = 0x3f3504f3;

// e ln(2) + log(1 + f)
static inline vf32 log_of_parts(vf32 e, vf32 f) {
  const vf32 ff = f * f;
  return e * kLn2High + (f + (e * kLn2Low + (ff * f * polynomial(f, kLog) - 0.5f * ff)));
}

// 1 ulp
static inline vf32 vlog(vf32 x) {
  const vi32 subnormal = x < 1.17549435e-38f;
  const vi32 from = bits_of(subnormal ? x * 8388608.0f : x) - kSqrtHalfBits;
  const vf32 e = __builtin_convertvector((from >> 23) - (subnormal & 23), vf32);
  vf32 r = log_of_parts(e, float_of((from & 0x7fffff) + kSqrtHalfBits) - 1.0f);
  r = x < __builtin_inff() ? r : x;
  return x <= 0.0f ? (x == 0.0f ? splat_f32(-__builtin_inff()) : splat_f32(__builtin_nanf(""))) : r;
}

// log(1 + x) for 0 <= x <= 1. 1.5 ulp
static inline vf32 vlog1p_unit(vf32 x) {
  const vi32 upper = x > 0.41421356f;
  return log_of_parts(upper ? splat_f32(1.0f) : splat_f32(0.0f), upper ? 0.5f * (x - 1.0f) : x);
}

// 2.5 ulp
static inline vf32 vtanh(vf32 x) {
  const vf32 e = vexpm1(2.0f * vat_most(vabs(x), 10.0f));
  return vsigned(e / (e + 2.0f), x);
}

// 1 / (1 + exp(-x)). 2.5 ulp, the lower tail down to subnormals included
static inline vf32 vsigmoid(vf32 x) {
  const vf32 e = vexp_negative(float_of(bits_of(x) | INT32_MIN));  // exp(-|x|)
  return (x < 0.0f ? e : splat_f32(1.0f)) / (1.0f + e);
}

// log(1 + exp(x)). 2 ulp
static inline vf32 vsoftplus(vf32 x) {
  return (x < 0.0f ? splat_f32(0.0f) : x) + vlog1p_unit(vexp(float_of(bits_of(x) | INT32_MIN)));
}

// erf(x) = x + x P(x^2), |x| <= 1, to 2^-29.4; erfc(x) = exp(-x - x Q(x)), 1 <= x <= 4, to 2^-31 of erf
constexpr float kErfSmall[] = {1.28379166e-1f, -3.7612626e-1f, 1.12835787e-1f, -2.68533472e-2f,
                               5.1871622e-3f,  -7.9978531e-4f, 7.80690316e-5f};
constexpr float kErfLarge[] = {1.28697157e-1f, 6.34958327e-1f,  1.06549017e-1f, -2.4025403e-2f,
                               3.7645956e-3f,  -3.52312782e-4f, 1.41315413e-5f};

// 1.5 ulp
static inline vf32 verf(vf32 x) {
  const vf32 t = vat_most(vabs(x), 4.0f);
  const vf32 small = t + t * polynomial(t * t, kErfSmall);
  const vf32 large = 1.0f - vexp_normal(-(t + t * polynomial(t, kErfLarge)));
  return vsigned(t < 1.0f ? small : large, x);
}

// exp(t^2 / 2) Phi(-t) = N(t) / D(t), 0 <= t <= 14.5, to 2^-27.9, all terms positive; Phi is the normal distribution
// function
constexpr float kMillsN[] = {5.0e-1f, 5.06749272e-1f, 2.49232948e-1f, 7.05043375e-2f, 1.13950446e-2f, 8.52327968e-4f};
constexpr float kMillsD[] = {1.0f,           1.81138313f,    1.44374025f,   6.53217793e-1f,
                             1.78868458e-1f, 2.85630394e-2f, 2.13647052e-3f};

// x Phi(x) = max(x, 0) - |x| Phi(-|x|): no cancellation in either tail. NaN for -Inf, as the product is. 8 ulp
static inline vf32 vgelu(vf32 x) {
  const vf32 t = vat_most(vabs(x), 14.5f);
  const vf32 mills = t * polynomial(t, kMillsN) / polynomial(t, kMillsD);
  // t^2 / 2 = (high^2 + (t - high) (t + high)) / 2, the first square exact in 24 bits.
  typedef uint32_t vu32 __attribute__((vector_size(ARN_VECTOR_BYTES)));  // bits of a NaN may pass the largest signed
  const vf32 high = float_of((vi32)((vu32)bits_of(t) + 0x800u) & ~0xfff);
  const Reduced by = reduce_exp(-0.5f * (high * high), -0.5f * ((t - high) * (t + high)));
  const vf32 lost = scale(mills * exp_of_reduced(by.r), by);
  const vf32 r = (x < 0.0f ? splat_f32(0.0f) : x) - (lost + (x - x));
  return x > 14.5f ? x : r;
}

// x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))), which is the tanh form of GELU. NaN for -Inf.
// The rounding of the exponent shows in the result: 4 + 3 |argument of exp| ulp.
static inline vf32 vgelu_tanh(vf32 x) { return x * vsigmoid(x * (1.59576912f + 0.0713548162f * (x * x))); }

// x / (1 + exp(-x)). NaN for -Inf. 3.5 ulp, and |x| times the smallest subnormal
static inline vf32 vsilu(vf32 x) { return x * vsigmoid(x); }

// x tanh(softplus(x)) = x n / (n + 2), n = exp(x) (exp(x) + 2). NaN for -Inf. 6 ulp, and |x| times the smallest
// subnormal
static inline vf32 vmish(vf32 x) {
  const vf32 w = vexp(vat_most(x, 20.0f)), n = w * (w + 2.0f);
  return x > 20.0f ? x : x * (n / (n + 2.0f));
}

}  // namespace ARN_NS
