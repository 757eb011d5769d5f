// Two-dimensional copies per element size, in bytes of stride:  dst[i * d1 + k * d0] = src[i * s1 + k * s0],
// i < n1, k < n0. Each size is instantiated in its own source, plane_<bytes>.cc.
#pragma once

#include "kernels/kernel.h"
#include "simd/shuffle.h"

namespace ARN_NS {

struct Plane {
  int64_t n1, n0;  // extents
  int64_t s1, s0;  // strides of the source, in bytes
  int64_t d1, d0;  // strides of the destination, in bytes
};

// Compiled up to v3, since v4 moves data no faster; the templates below are for all.
// s1 == d0 == the element's size: the source is contiguous along i, the destination along k.
void transpose_1(const char* src, char* dst, const Plane& p);
void transpose_2(const char* src, char* dst, const Plane& p);
void transpose_4(const char* src, char* dst, const Plane& p);
void transpose_8(const char* src, char* dst, const Plane& p);
void transpose_16(const char* src, char* dst, const Plane& p);

// Any strides, 0 and negative ones too.
void strided_1(const char* src, char* dst, const Plane& p);
void strided_2(const char* src, char* dst, const Plane& p);
void strided_4(const char* src, char* dst, const Plane& p);
void strided_8(const char* src, char* dst, const Plane& p);
void strided_16(const char* src, char* dst, const Plane& p);

// Elements that follow each other, each written `times` times in a row, the line made `copies` times: dst[i * d1 + c *
// dc + (k * times + t) * size] = src[i * s1 + k * size], i < n1, c < copies, k < n, t < times.
struct Repeats {
  int64_t n1, s1, d1;
  int64_t copies, dc;
  int64_t n, times;
};
void repeat_1(const char* src, char* dst, const Repeats& r);
void repeat_2(const char* src, char* dst, const Repeats& r);
void repeat_4(const char* src, char* dst, const Repeats& r);
void repeat_8(const char* src, char* dst, const Repeats& r);

// Contiguous runs of `bytes` on both sides: rows only, p.n0 == 1.
void copy_runs(const char* src, char* dst, const Plane& p, int64_t bytes);

template <int kBytes>
struct Element;
template <>
struct Element<1> {
  typedef uint8_t type;
};
template <>
struct Element<2> {
  typedef uint16_t type;
};
template <>
struct Element<4> {
  typedef uint32_t type;
};
template <>
struct Element<8> {
  typedef uint64_t type;
};
template <>
struct Element<16> {
  typedef uint64_t type __attribute__((vector_size(16), aligned(1)));
};

template <typename T>
static inline T get(const char* p) {
  T x;
  __builtin_memcpy(&x, p, sizeof(T));
  return x;
}

template <typename T>
static inline void put(char* p, T x) {
  __builtin_memcpy(p, &x, sizeof(T));
}

// Every kStride-th of the elements that vectors read from src on. The last vector of a run would read past its end.
template <typename T, int kStride>
static inline auto every(const char* src) {
  typedef T V __attribute__((vector_size(16)));
  if constexpr (kStride == 1)
    return get<V>(src);
  else
    return even_lanes(every<T, kStride / 2>(src), every<T, kStride / 2>(src + kStride / 2 * 16));
}

// dst[k] = src[kStride * k]; returns how many of the n are done.
template <typename T, int kStride>
static inline int64_t every_row(const char* src, char* dst, int64_t n) {
  constexpr int64_t kSize = sizeof(T), kLanes = 16 / kSize;
  int64_t k = 0;
  for (; k + kLanes < n; k += kLanes) put(dst + k * kSize, every<T, kStride>(src + k * kStride * kSize));
  return k;
}

template <typename T>
static inline void strided_row(const char* src, char* dst, int64_t n, int64_t s, int64_t d) {
  constexpr int64_t kSize = sizeof(T);
  if (s == 0) {
    const T x = get<T>(src);
    if (d == kSize)
      for (int64_t k = 0; k < n; ++k) put(dst + k * kSize, x);
    else
      for (int64_t k = 0; k < n; ++k) put(dst + k * d, x);
  } else if (d == kSize) {
    int64_t k = 0;
    if constexpr (kSize < 8) {
      if (s == 2 * kSize) k = every_row<T, 2>(src, dst, n);
      if (s == 4 * kSize) k = every_row<T, 4>(src, dst, n);
      src += k * s;
    }
    for (; k + 4 <= n; k += 4, src += 4 * s) {
      const T a = get<T>(src), b = get<T>(src + s), c = get<T>(src + 2 * s), e = get<T>(src + 3 * s);
      put(dst + k * kSize, a);
      put(dst + (k + 1) * kSize, b);
      put(dst + (k + 2) * kSize, c);
      put(dst + (k + 3) * kSize, e);
    }
    for (; k < n; ++k, src += s) put(dst + k * kSize, get<T>(src));
  } else {
    for (int64_t k = 0; k < n; ++k) put(dst + k * d, get<T>(src + k * s));
  }
}

// Loops along the longer side, so that a plane of many short rows is not all loop overhead.
template <typename T>
static inline void strided_plane(const char* src, char* dst, const Plane& p) {
  if (p.n0 >= 8 || p.n0 >= p.n1) {
    for (int64_t i = 0; i < p.n1; ++i) strided_row<T>(src + i * p.s1, dst + i * p.d1, p.n0, p.s0, p.d0);
  } else {
    for (int64_t k = 0; k < p.n0; ++k) strided_row<T>(src + k * p.s0, dst + k * p.d0, p.n1, p.s1, p.d1);
  }
}

// One square tile through registers: log2(lanes) rounds of a perfect shuffle transpose it.
template <typename T, int kLanes>
struct Tile {
  typedef T V __attribute__((vector_size(16)));
  static inline void turn(const char* src, int64_t s, char* dst, int64_t d) {
    V a[kLanes], b[kLanes];
    for (int i = 0; i < kLanes; ++i) a[i] = get<V>(src + i * s);
    for (int width = 1; width < kLanes; width *= 2) {
      for (int i = 0; i < kLanes / 2; ++i) {
        b[2 * i] = interleave_lanes<0>(a[i], a[i + kLanes / 2]);
        b[2 * i + 1] = interleave_lanes<kLanes / 2>(a[i], a[i + kLanes / 2]);
      }
      for (int i = 0; i < kLanes; ++i) a[i] = b[i];
    }
    for (int i = 0; i < kLanes; ++i) put(dst + i * d, a[i]);
  }
};

// Every element twice, vectors of kBytes at a time; the last one overlaps the one before.
template <typename T, int64_t kBytes>
static inline void double_line(const char* src, char* dst, const Repeats& r) {
  constexpr int64_t kSize = sizeof(T), kLanes = kBytes / kSize;
  typedef T V __attribute__((vector_size(kBytes)));
  for (int64_t k = 0;; k = min64(k + kLanes, r.n - kLanes)) {
    const V v = get<V>(src + k * kSize), low = interleave_lanes<0>(v, v), high = interleave_lanes<kLanes / 2>(v, v);
    for (int64_t c = 0; c < r.copies; ++c) {
      put(dst + c * r.dc + 2 * k * kSize, low);
      put(dst + c * r.dc + 2 * k * kSize + kBytes, high);
    }
    if (k == r.n - kLanes) return;
  }
}

template <typename T>
static inline void repeat_line(const char* src, char* dst, const Repeats& r) {
  constexpr int64_t kSize = sizeof(T);
  if (r.times == 2 && r.n * kSize >= 16) return double_line<T, 16>(src, dst, r);
  if constexpr (kSize < 8)
    if (r.times == 2 && r.n * kSize >= 8) return double_line<T, 8>(src, dst, r);
  for (int64_t c = 0; c < r.copies; ++c) {
    char* to = dst + c * r.dc;
    for (int64_t k = 0; k < r.n; ++k) {
      const T x = get<T>(src + k * kSize);
      for (int64_t t = 0; t < r.times; ++t, to += kSize) put(to, x);
    }
  }
}

template <typename T>
static inline void repeat_plane(const char* src, char* dst, const Repeats& r) {
  for (int64_t i = 0; i < r.n1; ++i) repeat_line<T>(src + i * r.s1, dst + i * r.d1, r);
}

template <typename T>
static inline void transpose_plane(const char* src, char* dst, const Plane& p) {
  constexpr int kSize = sizeof(T), kLanes = 16 / kSize;
  if (p.n0 < kLanes || p.n1 < kLanes || kLanes < 2) return strided_plane<T>(src, dst, p);
  const int64_t n1 = p.n1 / kLanes * kLanes, n0 = p.n0 / kLanes * kLanes;
  // A strip of the destination one cache line wide at a time: of a power of two as stride, few lines fit into their
  // set.
  constexpr int64_t kStrip = 64 / kSize;
  for (int64_t from = 0; from < n0; from += kStrip)
    for (int64_t i = 0; i < n1; i += kLanes)
      for (int64_t k = from; k < min64(n0, from + kStrip); k += kLanes)
        Tile<T, kLanes>::turn(src + i * kSize + k * p.s0, p.s0, dst + i * p.d1 + k * kSize, p.d1);
  if (n0 < p.n0) strided_plane<T>(src + n0 * p.s0, dst + n0 * kSize, {n1, p.n0 - n0, p.s1, p.s0, p.d1, p.d0});
  if (n1 < p.n1) strided_plane<T>(src + n1 * kSize, dst + n1 * p.d1, {p.n1 - n1, p.n0, p.s1, p.s0, p.d1, p.d0});
}

}  // namespace ARN_NS
