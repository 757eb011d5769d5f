// Elementary functions for f32 results that are evaluated in f64: each is within 0.51 ulp of f32, from short formulas
// whose cancellations f64 absorbs. Arguments are f32 values held in f64 (so none is subnormal). See math.h.
#pragma once

#include "simd/math.h"

namespace ARN_NS {

typedef float vf32h __attribute__((vector_size(ARN_VECTOR_BYTES / 2)));  // as many lanes as vf64

static inline vi64 bits_of(vf64 x) { return (vi64)x; }
static inline vf64 double_of(vi64 x) { return (vf64)x; }
static inline vf64 splat_f64(double x) { return x - vf64{}; }
static inline vf64 vabs(vf64 x) { return double_of(bits_of(x) & INT64_MAX); }
static inline vf64 vsigned(vf64 m, vf64 s) { return double_of(bits_of(m) | (bits_of(s) & INT64_MIN)); }
static inline vf64 vsqrt(vf64 x) {
  double lane[kLanesF64];
  __builtin_memcpy(lane, &x, sizeof(x));
  for (double& v : lane) v = __builtin_sqrt(v);
  __builtin_memcpy(&x, lane, sizeof(x));
  return x;
}
static inline bool vany(vi64 mask) {
  int64_t any = 0;
  for (int i = 0; i < kLanesF64; ++i) any |= mask[i];
  return any != 0;
}

constexpr double kRoundMagic64 = 6755399441055744.0;  // 1.5 * 2^52
constexpr double kLn2 = 0.69314718055994530942, kHalfPi = 1.57079632679489661923;
static inline vf64 double_of_small(vi64 n) {  // |n| < 2^51
  return double_of(n + bits_of(splat_f64(kRoundMagic64))) - kRoundMagic64;
}

constexpr double kExpWide[] = {5.0000000783194398e-1, 1.6666666894189394e-1, 4.1666268725900249e-2,
                               8.3333535192726578e-3, 1.3946271818863134e-3, 1.9833002465922329e-4};  // to 2^-33

// exp(r) - 1 and 2^n for x = n ln(2) + r.
struct ReducedWide {
  vf64 expm1, power;
};
static inline ReducedWide reduce_exp_wide(vf64 x) {
  const vf64 shifted = x * (1.0 / kLn2) + kRoundMagic64;
  const vf64 r = x - (shifted - kRoundMagic64) * kLn2;
  const vi64 n = bits_of(shifted) - bits_of(splat_f64(kRoundMagic64));
  return {r * r * polynomial(r, kExpWide) + r, double_of((n + 1023) << 52)};
}
static inline vf64 clamp_exponent(vf64 x) {  // beyond these f32 overflows, or rounds to zero
  x = x > 100.0 ? splat_f64(100.0) : x;
  return x < -110.0 ? splat_f64(-110.0) : x;
}
static inline vf64 wide_exp(vf64 x) {
  const ReducedWide by = reduce_exp_wide(clamp_exponent(x));
  return by.power * by.expm1 + by.power;
}
static inline vf64 wide_expm1(vf64 x) {
  const ReducedWide by = reduce_exp_wide(clamp_exponent(x));
  return by.power * by.expm1 + (by.power - 1.0);
}

// log(1 + f) = s (2 + s^2 P(s^2)), s = f / (2 + f), 1 + f in [sqrt(1/2), sqrt(2)], to 2^-36
constexpr double kLogWide[] = {6.6666665642405731e-1, 4.0000336066836978e-1, 2.8537242610286762e-1,
                               2.3583576515786223e-1};
static inline vf64 log_of_fraction(vf64 f) {
  const vf64 s = f / (2.0 + f), ss = s * s;
  return s * (2.0 + ss * polynomial(ss, kLogWide));
}
// The exponent e of u > 0 for which u / 2^e lies in [sqrt(1/2), sqrt(2)).
static inline vi64 exponent_of(vf64 u) {
  typedef uint64_t vu64 __attribute__((vector_size(ARN_VECTOR_BYTES)));
  // Bits of a NaN may pass the largest signed number.
  const vu64 shifted = (vu64)bits_of(u) + (UINT64_C(0x3ff0000000000000) - UINT64_C(0x3fe6a09e667f3bcd));
  return (vi64)(shifted >> 52) - 1023;
}
static inline vf64 wide_log1p(vf64 x) {
  const vf64 u = 1.0 + x;
  const vi64 e = exponent_of(u);
  const vf64 s = double_of((1023 - e) << 52);
  const vf64 r = double_of_small(e) * kLn2 + log_of_fraction(x * s + (s - 1.0));
  const vf64 edge = x == -1.0 ? splat_f64(-__builtin_inf()) : (x < -1.0 ? splat_f64(__builtin_nan("")) : x);
  return (x > -1.0) & (x < __builtin_inf()) ? r : edge;
}

static inline vf64 wide_sinh(vf64 x) {
  const vf64 e = wide_expm1(vabs(x));
  return vsigned(0.5 * (e + e / (e + 1.0)), x);
}
static inline vf64 wide_cosh(vf64 x) {
  const vf64 e = wide_exp(vabs(x));
  return 0.5 * (e + 1.0 / e);
}
static inline vf64 wide_asinh(vf64 x) {
  const vf64 t = vabs(x), tt = t * t, r = wide_log1p(t + tt / (1.0 + vsqrt(1.0 + tt)));
  return t < __builtin_inf() ? vsigned(r, x) : x;
}
static inline vf64 wide_acosh(vf64 x) {
  const vf64 r = wide_log1p((x - 1.0) + vsqrt((x - 1.0) * (x + 1.0)));
  return x < 1.0 ? splat_f64(__builtin_nan("")) : r;
}
static inline vf64 wide_atanh(vf64 x) {
  const vf64 t = vabs(x);
  return vsigned(0.5 * wide_log1p(2.0 * t / (1.0 - t)), x);
}

constexpr double kAtanWide[] = {-3.3333326900407667e-1, 1.9999671148465778e-1,  -1.4279833346882381e-1,
                                1.105822543522705e-1,   -8.8110974562618127e-2, 6.7416102261911623e-2,
                                -4.4690119144919119e-2, 2.254001452570488e-2,   -7.3180251651550872e-3,
                                1.1138024333036429e-3};  // atan(u) = u + u^3 P(u^2), 0 <= u <= 1, to 2^-31
static inline vf64 wide_atan(vf64 x) {
  const vf64 t = vabs(x), u = t > 1.0 ? 1.0 / t : t, uu = u * u;
  const vf64 r = u + u * uu * polynomial(uu, kAtanWide);
  return vsigned(t > 1.0 ? kHalfPi - r : r, x);
}
// asin(u) = u + u^3 P(u^2), 0 <= u <= 1/2, to 2^-31
constexpr double kAsinWide[] = {1.6666659803632014e-1, 7.5005162492645952e-2, 4.451447242538175e-2,
                                3.1829755223949208e-2, 1.4350658677957019e-2, 3.7645994172286021e-2};
// The root of 0 <= z <= 1, to 2^-46: that of f32, and one step of Newton's with a quotient of f32.
static inline vf64 short_root(vf64 z) {
  const vf32h close = __builtin_convertvector(z, vf32h);
  float lane[kLanesF64];
  __builtin_memcpy(lane, &close, sizeof(close));
  for (float& v : lane) v = __builtin_sqrtf(v);
  vf32h root;
  __builtin_memcpy(&root, lane, sizeof(root));
  const vf32h least = root - root + 1.0e-18f;  // NaN stays
  const vf64 r = __builtin_convertvector(root, vf64);
  return r + (z - r * r) * __builtin_convertvector(0.5f / (root < least ? least : root), vf64);
}
// |x| = sin(near), or cos(2 near) where |x| > 1/2.
struct ArcPart {
  vf64 near;
  vi64 far;
};
static inline ArcPart arc_part(vf64 x) {
  const vf64 t = vabs(x);
  const vi64 far = t > 0.5;
  const vf64 z = far ? 0.5 - 0.5 * t : t * t, u = far ? short_root(z < 0.0 ? splat_f64(__builtin_nan("")) : z) : t;
  return {u + u * z * polynomial(z, kAsinWide), far};
}
static inline vf64 wide_asin(vf64 x) {
  const ArcPart arc = arc_part(x);
  return vsigned(arc.far ? kHalfPi - 2.0 * arc.near : arc.near, x);
}
static inline vf64 wide_acos(vf64 x) {
  const ArcPart arc = arc_part(x);
  const vf64 twice = 2.0 * arc.near;
  return arc.far ? (x > 0.0 ? twice : 2.0 * kHalfPi - twice) : kHalfPi - vsigned(arc.near, x);
}

constexpr double kSinWide[] = {-1.6666666640769914e-1, 8.3333293016775011e-3, -1.9839311246637939e-4,
                               2.7181118363148409e-6};  // sin(r) = r + r^3 P(r^2), |r| <= pi/4, to 2^-37
constexpr double kCosWide[] = {4.1666646850158584e-2, -1.3887366694318058e-3,
                               2.4438354614418568e-5};  // cos(r) = 1 - r^2 / 2 + r^4 P(r^2), to 2^-33
constexpr double kMostAngle = 1.0e6;  // multiples of pi/2 up to here have exact products with 33 bits of it

struct SinCos {
  vf64 sin, cos;
};
static inline SinCos sincos_reduced(vf64 x) {  // |x| <= kMostAngle; NaN for Inf
  const vf64 shifted = x * (1.0 / kHalfPi) + kRoundMagic64;
  const vf64 n = shifted - kRoundMagic64;
  const vf64 r = (x - n * 1.57079632673412561417e+00) - n * 6.07710050650619224932e-11, rr = r * r;
  const vf64 s = r * (1.0 + rr * polynomial(rr, kSinWide)), c = 1.0 - 0.5 * rr + rr * rr * polynomial(rr, kCosWide);
  const vi64 quadrant = bits_of(shifted), odd = (quadrant & 1) != 0;
  const vi64 sin_sign = quadrant << 62 & INT64_MIN, cos_sign = (quadrant + 1) << 62 & INT64_MIN;
  return {double_of(bits_of(odd ? c : s) ^ sin_sign), double_of(bits_of(odd ? s : c) ^ cos_sign)};
}
// Lanes beyond kMostAngle go one by one through the C library: the choice is by value, not by neighbours.
#define ARN_FAR_LANES(name, near)                                                             \
  static inline vf64 wide_##name(vf64 x) {                                                    \
    vf64 r = near;                                                                            \
    const vi64 far = vabs(x) > kMostAngle;                                                    \
    if (__builtin_expect(vany(far), 0))                                                       \
      for (int i = 0; i < kLanesF64; ++i) r[i] = far[i] != 0 ? __builtin_##name(x[i]) : r[i]; \
    return r;                                                                                 \
  }
ARN_FAR_LANES(sin, sincos_reduced(x).sin)
ARN_FAR_LANES(cos, sincos_reduced(x).cos)
static inline vf64 tan_near(vf64 x) {
  const SinCos at = sincos_reduced(x);
  return at.sin / at.cos;
}
ARN_FAR_LANES(tan, tan_near(x))
#undef ARN_FAR_LANES

// C's pow, special cases included.
static inline vf64 wide_pow(vf64 x, vf64 y) {
  const vf64 a = vabs(x), whole = y + kRoundMagic64;
  const vi64 e = exponent_of(a);
  vf64 l = double_of_small(e) + log_of_fraction(a * double_of((1023 - e) << 52) - 1.0) * (1.0 / kLn2);
  l = a == 0.0 ? splat_f64(-__builtin_inf()) : l;
  l = a < __builtin_inf() ? l : a;  // Inf, NaN
  vf64 t = y * l;
  t = t > 200.0 ? splat_f64(200.0) : t;
  t = t < -200.0 ? splat_f64(-200.0) : t;
  const vf64 shifted = t + kRoundMagic64, r = (t - (shifted - kRoundMagic64)) * kLn2;
  const vf64 power = double_of((bits_of(shifted) - bits_of(splat_f64(kRoundMagic64)) + 1023) << 52);
  vf64 p = power * (r * r * polynomial(r, kExpWide) + r) + power;
  p = (a == 1.0) & (vabs(y) == __builtin_inf()) ? splat_f64(1.0) : p;
  // f32 numbers of 2^24 and more are even integers.
  const vi64 small = vabs(y) < 16777216.0, integer = (whole - kRoundMagic64 == y) | ~small;
  const vi64 odd = integer & small & ((bits_of(whole) & 1) != 0);
  p = double_of(bits_of(p) ^ (bits_of(x) & odd & INT64_MIN));
  p = (x < 0.0) & ~integer & (a < __builtin_inf()) ? splat_f64(__builtin_nan("")) : p;
  return (y == 0.0) | (x == 1.0) ? splat_f64(1.0) : p;
}

}  // namespace ARN_NS
