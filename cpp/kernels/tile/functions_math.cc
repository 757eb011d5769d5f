// Transcendental tile functions.
#include "kernels/tile/functions.h"

namespace ARN_NS {
namespace {

#define ARN_LIBM(name)                                              \
  inline float m_##name(float a) { return __builtin_##name##f(a); } \
  inline double m_##name(double a) { return __builtin_##name(a); }
ARN_LIBM(exp)
ARN_LIBM(expm1)
ARN_LIBM(log)
ARN_LIBM(log1p)
ARN_LIBM(sin)
ARN_LIBM(cos)
ARN_LIBM(tan)
ARN_LIBM(asin)
ARN_LIBM(acos)
ARN_LIBM(atan)
ARN_LIBM(sinh)
ARN_LIBM(cosh)
ARN_LIBM(tanh)
ARN_LIBM(asinh)
ARN_LIBM(acosh)
ARN_LIBM(atanh)
ARN_LIBM(erf)
ARN_LIBM(erfc)
inline float m_pow(float a, float b) { return __builtin_powf(a, b); }
inline double m_pow(double a, double b) { return __builtin_pow(a, b); }

template <typename T>
inline T sigmoid_of(T a) {
  const T e = m_exp(a < 0 ? a : -a);
  return (a < 0 ? e : T(1)) / (T(1) + e);
}
template <typename T>
inline T softplus_of(T a) {
  return (a < 0 ? T(0) : a) + m_log1p(m_exp(a < 0 ? a : -a));
}
template <typename T>
inline T mish_of(T a) {
  const T w = m_exp(a > 20 ? T(20) : a), n = w * (w + T(2));
  return a > 20 ? a : a * (n / (n + T(2)));
}

}  // namespace

#define ARN_MATH(type)                                                                                 \
  ARN_UNARY(exp, type, m_exp(a))                                                                       \
  ARN_UNARY(log, type, m_log(a))                                                                       \
  ARN_UNARY(sin, type, m_sin(a))                                                                       \
  ARN_UNARY(cos, type, m_cos(a))                                                                       \
  ARN_UNARY(tan, type, m_tan(a))                                                                       \
  ARN_UNARY(asin, type, m_asin(a))                                                                     \
  ARN_UNARY(acos, type, m_acos(a))                                                                     \
  ARN_UNARY(atan, type, m_atan(a))                                                                     \
  ARN_UNARY(sinh, type, m_sinh(a))                                                                     \
  ARN_UNARY(cosh, type, m_cosh(a))                                                                     \
  ARN_UNARY(tanh, type, m_tanh(a))                                                                     \
  ARN_UNARY(asinh, type, m_asinh(a))                                                                   \
  ARN_UNARY(acosh, type, m_acosh(a))                                                                   \
  ARN_UNARY(atanh, type, m_atanh(a))                                                                   \
  ARN_UNARY(erf, type, m_erf(a))                                                                       \
  ARN_BINARY(pow, type, m_pow(a, b))                                                                   \
  ARN_UNARY(sigmoid, type, sigmoid_of(a))                                                              \
  ARN_UNARY(softplus, type, softplus_of(a))                                                            \
  ARN_UNARY(gelu, type, T(0.5) * a * m_erfc(a * T(-0.70710678118654752440)))                           \
  ARN_UNARY(gelu_tanh, type, a* sigmoid_of(T(1.59576912160573071176) * (a + T(0.044715) * a * a * a))) \
  ARN_UNARY(silu, type, a* sigmoid_of(a))                                                              \
  ARN_UNARY(mish, type, mish_of(a))                                                                    \
  ARN_BINARY(elu, type, a < 0 ? b * m_expm1(a) : a)                                                    \
  ARN_BINARY(celu, type, a < 0 ? b * m_expm1(a / b) : a)                                               \
  ARN_TERNARY(selu, type, c*(a < 0 ? b * m_expm1(a) : a))

ARN_MATH(f32)
ARN_MATH(f64)

}  // namespace ARN_NS
