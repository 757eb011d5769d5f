// Tile functions on f32 and f64 that are a few exact operations: arithmetic, rounding, comparison, and the piecewise
// linear activations.
#include "kernels/tile/functions.h"

namespace ARN_NS {
namespace {

// Rounding to an integer for every tier: below 2^(mantissa bits), adding and subtracting that power rounds to nearest
// even; above, a number is an integer already. The sign of the argument is kept (so -0.4 gives -0).
template <typename T>
struct Magic;
template <>
struct Magic<float> {
  static constexpr float value = 8388608.0f;
};
template <>
struct Magic<double> {
  static constexpr double value = 4503599627370496.0;
};

inline float magnitude(float a) { return __builtin_fabsf(a); }
inline double magnitude(double a) { return __builtin_fabs(a); }
inline float with_sign(float a, float s) { return __builtin_copysignf(a, s); }
inline double with_sign(double a, double s) { return __builtin_copysign(a, s); }
inline float root(float a) { return __builtin_sqrtf(a); }
inline double root(double a) { return __builtin_sqrt(a); }
inline float modulo(float a, float b) { return __builtin_fmodf(a, b); }
inline double modulo(double a, double b) { return __builtin_fmod(a, b); }

template <typename T>
inline T nearest(T a) {
  const T m = magnitude(a), r = (m + Magic<T>::value) - Magic<T>::value;
  return m < Magic<T>::value ? with_sign(r, a) : a;
}
template <typename T>
inline T down(T a) {
  const T r = nearest(a);
  return r > a ? r - T(1) : r;
}
template <typename T>
inline T up(T a) {
  const T r = nearest(a);
  return with_sign(r < a ? r + T(1) : r, a);
}
template <typename T>
inline T toward_zero(T a) {
  return with_sign(down(magnitude(a)), a);
}

template <typename T>
inline T relu_to_one(T a) {
  const T r = a < 0 ? T(0) : a;
  return r > 1 ? T(1) : r;
}
// The sum is taken before the product: near -3 a / 6 + 1 / 2 would cancel.
template <typename T>
inline T hard_swish(T a) {
  const T t = a + T(3), up = t < 0 ? T(0) : t;
  return a * ((up > 6 ? T(6) : up) * T(1.0 / 6));
}

}  // namespace

// min, max, clip and relu propagate NaN, as numpy's minimum, maximum and clip do.
#define ARN_FLOAT(type)                                                       \
  ARN_BINARY(add, type, a + b)                                                \
  ARN_BINARY(sub, type, a - b)                                                \
  ARN_BINARY(mul, type, a* b)                                                 \
  ARN_BINARY(div, type, a / b)                                                \
  ARN_BINARY(min, type, (a < b) | (a != a) ? a : b)                           \
  ARN_BINARY(max, type, (a > b) | (a != a) ? a : b)                           \
  ARN_BINARY(fmod, type, modulo(a, b))                                        \
  ARN_UNARY(neg, type, -a)                                                    \
  ARN_UNARY(abs, type, magnitude(a))                                          \
  ARN_UNARY(sign, type, a > 0 ? T(1) : (a < 0 ? T(-1) : (a == a ? T(0) : a))) \
  ARN_UNARY(relu, type, a < 0 ? T(0) : a)                                     \
  ARN_BINARY(prelu, type, a < 0 ? a * b : a)                                  \
  ARN_BINARY(leaky_relu, type, a < 0 ? a * b : a)                             \
  ARN_TERNARY(clip, type, (a < b ? b : a) > c ? c : (a < b ? b : a))          \
  ARN_TERNARY(mul_add, type, a* b + c)                                        \
  ARN_UNARY(floor, type, down(a))                                             \
  ARN_UNARY(ceil, type, up(a))                                                \
  ARN_UNARY(round, type, nearest(a))                                          \
  ARN_UNARY(trunc, type, toward_zero(a))                                      \
  ARN_UNARY(sqrt, type, root(a))                                              \
  ARN_UNARY(rsqrt, type, T(1) / root(a))                                      \
  ARN_UNARY(reciprocal, type, T(1) / a)                                       \
  ARN_UNARY(softsign, type, a / (T(1) + magnitude(a)))                        \
  ARN_UNARY(hardswish, type, hard_swish(a))                                   \
  ARN_BINARY(thresholded_relu, type, a > b ? a : T(0))                        \
  ARN_TERNARY(hardsigmoid, type, relu_to_one(a* b + c))                       \
  ARN_TERNARY(shrink, type, a < -b ? a + c : (a > b ? a - c : T(0)))          \
  ARN_BINARY_TO(t_bool, eq, type, a == b)                                     \
  ARN_BINARY_TO(t_bool, lt, type, a < b)                                      \
  ARN_BINARY_TO(t_bool, le, type, a <= b)                                     \
  ARN_UNARY_TO(t_bool, isnan, type, a != a)                                   \
  ARN_UNARY_TO(t_bool, isinf, type, a == a && a - a != a - a)

ARN_FLOAT(f32)
ARN_FLOAT(f64)

}  // namespace ARN_NS
