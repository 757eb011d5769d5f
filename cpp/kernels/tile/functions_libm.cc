// Transcendental tile functions on f64: the C library's, one element at a time, but for those of simd/math_double.h.
#include "kernels/tile/functions.h"
#include "simd/math_double.h"

namespace ARN_NS {
namespace {

// Zero for a denormal number where those count as zero: the library, which looks at bits, would not see that.
inline double flushed(double a) {
  double one = 1.0;  // hidden, so that the product is one
#ifdef __SSE2__
  __asm__("" : "+x"(one));
#else
  __asm__("" : "+m"(one));
#endif
  return a * one;
}

inline double sigmoid_of(double a) {
  const double e = __builtin_exp(-__builtin_fabs(a));
  return (a < 0 ? e : 1.0) / (1.0 + e);
}

inline double mish_of(double a) {  // a tanh(softplus(a)) = a n / (n + 2), n = exp(a) (exp(a) + 2)
  const double w = __builtin_exp(a > 40.0 ? 40.0 : a), n = w * (w + 2.0);
  return a > 40.0 ? a : a * (n / (n + 2.0));
}

}  // namespace

#define ARN_LIBM(op) ARN_UNARY(op, f64, __builtin_##op(flushed(a)))
ARN_LIBM(exp)
ARN_LIBM(log)
ARN_LIBM(sin)
ARN_LIBM(cos)
ARN_LIBM(tan)
ARN_LIBM(asin)
ARN_LIBM(acos)
ARN_LIBM(atan)
ARN_LIBM(sinh)
ARN_LIBM(cosh)
ARN_LIBM(asinh)
ARN_LIBM(acosh)
ARN_LIBM(atanh)
ARN_LIBM(erf)

void tanh_f64(int64_t n, void* dst, const void* pa, const void*, const void*) {
  double* d = static_cast<double*>(dst);
  const double* a = static_cast<const double*>(pa);
  int64_t i = 0;
  for (; i + kLanesF64 <= n; i += kLanesF64)
    *reinterpret_cast<vf64u*>(d + i) = tanh_double(*reinterpret_cast<const vf64u*>(a + i));
  if (i == n) return;
  double some[kLanesF64] = {};
  __builtin_memcpy(some, a + i, static_cast<size_t>(n - i) * sizeof(double));
  *reinterpret_cast<vf64u*>(some) = tanh_double(*reinterpret_cast<const vf64u*>(some));
  __builtin_memcpy(d + i, some, static_cast<size_t>(n - i) * sizeof(double));
}

ARN_BINARY(pow, f64, __builtin_pow(flushed(a), flushed(b)))
ARN_UNARY(sigmoid, f64, sigmoid_of(a))
ARN_UNARY(softplus, f64, (a < 0 ? 0.0 : a) + __builtin_log1p(__builtin_exp(-__builtin_fabs(a))))
ARN_UNARY(gelu, f64, 0.5 * a * __builtin_erfc(a * -0.70710678118654752440))
ARN_UNARY(gelu_tanh, f64, a* sigmoid_of(1.59576912160573071176 * a * (1.0 + 0.044715 * a * a)))
ARN_UNARY(silu, f64, a* sigmoid_of(a))
ARN_UNARY(mish, f64, mish_of(a))
ARN_BINARY(elu, f64, a < 0 ? b * __builtin_expm1(a) : a)
ARN_BINARY(celu, f64, a < 0 ? b * __builtin_expm1(a / b) : a)
ARN_TERNARY(selu, f64, c*(a < 0 ? b * __builtin_expm1(a) : a))

}  // namespace ARN_NS
