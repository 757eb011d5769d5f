// Elementary functions on f64 to a few ulp of it, in vectors. Special values as in C.
#pragma once

#include "simd/math_wide.h"

namespace ARN_NS {

// (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2, by its Taylor series: the first term left out is below 2^-57.
constexpr double kExpDouble[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
                                 1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                                 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};

// exp(r) - 1 and 2^n for x = n ln(2) + r; |x| <= 708.
static inline ReducedWide reduce_exp_double(vf64 x) {
  const vf64 shifted = x * (1.0 / kLn2) + kRoundMagic64;
  const vf64 n = shifted - kRoundMagic64;
  // ln(2) in two parts, the first of 32 bits: its product with n is exact.
  const vf64 r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  const vi64 whole = bits_of(shifted) - bits_of(splat_f64(kRoundMagic64));
  return {r * r * polynomial(r, kExpDouble) + r, double_of((whole + 1023) << 52)};
}

// exp(x) for x <= 0 or NaN; what would not be normal is some number below 2^-1000.
static inline vf64 exp_double(vf64 x) {
  const ReducedWide by = reduce_exp_double(x < -708.0 ? splat_f64(-708.0) : x);
  const vf64 r = by.power * by.expm1 + by.power;
  return x == x ? r : x;
}

static inline vf64 tanh_double(vf64 x) {
  const vf64 a = vabs(x), t = -2.0 * (a > 20.0 ? splat_f64(20.0) : a);
  const ReducedWide by = reduce_exp_double(t);
  const vf64 e = by.power * by.expm1 + (by.power - 1.0);  // exp(t) - 1
  const vf64 r = vsigned(-e / (e + 2.0), x);
  return x == x ? r : x;
}

}  // namespace ARN_NS
