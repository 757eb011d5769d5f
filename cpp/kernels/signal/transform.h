// The complex transform behind the Fft rows: a Stockham autosort of radices 2 to 5 and of any prime up to kMostRadix.
// Every element is a V: one number of one line, or a vector that holds that number of several lines side by side, so
// that no step mixes lanes.
#pragma once

#include "simd/vector.h"

namespace ARN_NS {

constexpr int64_t kMostRadix = 61;
constexpr int kMostStages = 48;

// The radices of a transform of `length`, in the order of its stages; count -1 when a prime factor is too large.
struct Radices {
  int32_t count;
  uint8_t radix[kMostStages];
};
static inline Radices radices_of(int64_t length) {
  Radices r{};
  const auto take = [&](int64_t p) {
    while (length % p == 0 && r.count < kMostStages) {
      r.radix[r.count++] = static_cast<uint8_t>(p);
      length /= p;
    }
  };
  take(4);
  take(2);
  for (int64_t p = 3; p <= kMostRadix && length > 1; p += 2) take(p);
  if (length != 1) r.count = -1;
  return r;
}

template <typename V>
struct Complex {
  V re, im;
};

template <typename V>
static inline Complex<V> operator+(Complex<V> a, Complex<V> b) {
  return {a.re + b.re, a.im + b.im};
}
template <typename V>
static inline Complex<V> operator-(Complex<V> a, Complex<V> b) {
  return {a.re - b.re, a.im - b.im};
}
template <typename V>
static inline Complex<V> times_i(Complex<V> a) {
  return {-a.im, a.re};
}
template <typename T, typename V>
static inline Complex<V> scaled(T s, Complex<V> a) {
  return {s * a.re, s * a.im};
}
template <typename T, typename V>
static inline Complex<V> turned(const T* root, Complex<V> a) {
  return {root[0] * a.re - root[1] * a.im, root[0] * a.im + root[1] * a.re};
}

// a[j], j < R, becomes sum over j of a[j] exp(-2 pi i j k / R).
template <typename T, typename V>
static inline void butterfly_2(Complex<V>* a) {
  const Complex<V> t = a[0] - a[1];
  a[0] = a[0] + a[1];
  a[1] = t;
}
template <typename T, typename V>
static inline void butterfly_3(Complex<V>* a) {
  constexpr T kSin = static_cast<T>(0.86602540378443864676);
  const Complex<V> sum = a[1] + a[2], low = a[0] - scaled(T(0.5), sum), high = times_i(scaled(kSin, a[1] - a[2]));
  a[0] = a[0] + sum;
  a[1] = low - high;
  a[2] = low + high;
}
template <typename T, typename V>
static inline void butterfly_4(Complex<V>* a) {
  const Complex<V> s = a[0] + a[2], d = a[0] - a[2], t = a[1] + a[3], e = times_i(a[1] - a[3]);
  a[0] = s + t;
  a[1] = d - e;
  a[2] = s - t;
  a[3] = d + e;
}
template <typename T, typename V>
static inline void butterfly_5(Complex<V>* a) {
  constexpr T kCos1 = static_cast<T>(0.30901699437494742410), kCos2 = static_cast<T>(-0.80901699437494742410);
  constexpr T kSin1 = static_cast<T>(0.95105651629515357212), kSin2 = static_cast<T>(0.58778525229247312917);
  const Complex<V> s1 = a[1] + a[4], d1 = a[1] - a[4], s2 = a[2] + a[3], d2 = a[2] - a[3];
  const Complex<V> low1 = a[0] + scaled(kCos1, s1) + scaled(kCos2, s2);
  const Complex<V> low2 = a[0] + scaled(kCos2, s1) + scaled(kCos1, s2);
  const Complex<V> high1 = times_i(scaled(kSin1, d1) + scaled(kSin2, d2));
  const Complex<V> high2 = times_i(scaled(kSin2, d1) - scaled(kSin1, d2));
  a[0] = a[0] + s1 + s2;
  a[1] = low1 - high1;
  a[2] = low2 - high2;
  a[3] = low2 + high2;
  a[4] = low1 + high1;
}
template <typename T, typename V>
static inline void butterfly_any(Complex<V>* a, int64_t radix, const T* roots, int64_t root_step) {
  Complex<V> sum[kMostRadix];
  for (int64_t k = 0; k < radix; ++k) {
    sum[k] = a[0];
    for (int64_t j = 1, at = k; j < radix; ++j, at = at + k < radix ? at + k : at + k - radix)
      sum[k] = sum[k] + turned(roots + 2 * at * root_step, a[j]);
  }
  for (int64_t k = 0; k < radix; ++k) a[k] = sum[k];
}

// One stage: `groups` transforms of `radix` points, each for `stride` neighbouring elements, and their twiddles.
// roots[root_step * k] is exp(-2 pi i k / (radix * groups)).
template <int R, typename T, typename V>
static inline void stage(const Complex<V>* from, Complex<V>* to, int64_t radix, int64_t groups, int64_t stride,
                         const T* roots, int64_t root_step) {
  const int64_t r = R > 0 ? R : radix;
  Complex<V> a[R > 0 ? R : kMostRadix];
  for (int64_t p = 0; p < groups; ++p) {
    const Complex<V>* x = from + stride * p;
    Complex<V>* y = to + stride * r * p;
    for (int64_t q = 0; q < stride; ++q) {
      for (int64_t j = 0; j < r; ++j) a[j] = x[q + stride * groups * j];
      if (R == 2)
        butterfly_2<T>(a);
      else if (R == 3)
        butterfly_3<T>(a);
      else if (R == 4)
        butterfly_4<T>(a);
      else if (R == 5)
        butterfly_5<T>(a);
      else
        butterfly_any(a, r, roots, root_step * groups);
      y[q] = a[0];
      if (p == 0) {
        for (int64_t k = 1; k < r; ++k) y[q + stride * k] = a[k];
      } else {
        for (int64_t k = 1; k < r; ++k) y[q + stride * k] = turned(roots + 2 * p * k * root_step, a[k]);
      }
    }
  }
}

// The transform of x [length], with `spare` of the same size; returns which of the two holds it. roots[root_step * k]
// is exp(-2 pi i k / length).
template <typename T, typename V>
Complex<V>* transform(Complex<V>* x, Complex<V>* spare, int64_t length, const Radices& radices, const T* roots,
                      int64_t root_step) {
  int64_t n = length, stride = 1;
  for (int32_t i = 0; i < radices.count; ++i) {
    const int64_t r = radices.radix[i], groups = n / r, step = root_step * stride;
    switch (r) {
      case 2:
        stage<2>(x, spare, r, groups, stride, roots, step);
        break;
      case 3:
        stage<3>(x, spare, r, groups, stride, roots, step);
        break;
      case 4:
        stage<4>(x, spare, r, groups, stride, roots, step);
        break;
      case 5:
        stage<5>(x, spare, r, groups, stride, roots, step);
        break;
      default:
        stage<0>(x, spare, r, groups, stride, roots, step);
    }
    Complex<V>* swap = x;
    x = spare;
    spare = swap;
    n = groups;
    stride *= r;
  }
  return x;
}

}  // namespace ARN_NS
