// What depthwise convolution and pooling share: windows that slide over one channel. Two ways through the data:
// by channels (X and Y have unit channel stride: vectors over channels), or by planes (any strides: the input rows that
// some output rows need are staged in scratch with their padding, vectors over output columns).
#pragma once

#include "kernels/conv/shape.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

// Taps of an axis whose input coordinate lies inside the image.
struct TapRange {
  int64_t lo, hi;
};
inline TapRange taps_inside(const ConvShape& s, int axis, int64_t out) {
  const int64_t base = out * s.step[axis] + s.first[axis], d = s.tap_step[axis];
  if (base >= 0 && base + (s.taps[axis] - 1) * d < s.in[axis]) return TapRange{0, s.taps[axis]};
  TapRange r;
  r.lo = base < 0 ? min64(s.taps[axis], ceil_div(-base, d)) : 0;
  r.hi = base >= s.in[axis] ? 0 : min64(s.taps[axis], ceil_div(s.in[axis] - base, d));
  if (r.hi < r.lo) r.hi = r.lo;
  return r;
}

// n elements, fewer than 2 * Width, in pieces of constant size.
template <int64_t Width, typename T>
inline void copy_pieces(T* to, const T* from, int64_t n) {
  if ((n & Width) != 0) {
    __builtin_memcpy(to, from, Width * sizeof(T));
    to += Width;
    from += Width;
  }
  if constexpr (Width > 1) copy_pieces<Width / 2>(to, from, n);
}

// Loads and stores of the first n < kLanes lanes.
template <typename T>
inline typename Simd<T>::V load_some(const T* p, int64_t n) {
  T lanes[kLanes<T>] = {};
  copy_pieces<kLanes<T> / 2>(lanes, p, n);
  return load(lanes);
}
template <typename T>
inline void store_some(T* p, typename Simd<T>::V v, int64_t n) {
  T lanes[kLanes<T>];
  store(lanes, v);
  copy_pieces<kLanes<T> / 2>(p, lanes, n);
}

// Staged rows of one plane. A row is split by column modulo the step, so that neighbouring outputs read neighbouring
// elements: column x of the padded row is at (x % step) * phase + x / step.
struct Stage {
  int64_t phase, row;    // elements of one residue, of one row
  int64_t rows_per_tap;  // staged rows for one z tap
  int64_t block;         // output rows that are staged together
  int64_t elements;      // scratch for a block
};

// Elements between the first and the last input row or column of `count` outputs.
inline int64_t reach(const ConvShape& s, int axis, int64_t count) {
  return (count - 1) * s.step[axis] + (s.taps[axis] - 1) * s.tap_step[axis] + 1;
}

template <typename T>
inline Stage plan_stage(const ConvShape& s, int64_t budget) {
  Stage g;
  g.phase = round_up(max64(1, s.out[2]), kLanes<T>) + (s.taps[2] - 1) * s.tap_step[2] / s.step[2] + 1;
  g.phase = round_up(g.phase, kLanes<T>);
  g.row = g.phase * s.step[2];
  g.block = 1;
  while (g.block < s.out[1] && s.taps[0] * reach(s, 1, g.block + 1) * g.row <= budget) ++g.block;
  g.rows_per_tap = reach(s, 1, g.block);
  g.elements = s.taps[0] * g.rows_per_tap * g.row;
  return g;
}

// n is a multiple of kLanes.
template <typename T>
inline void fill(T* to, int64_t n, T value) {
  for (int64_t i = 0; i < n; i += kLanes<T>) store(to + i, splat(value));
}

template <typename T>
void stage_row(const ConvShape& s, const Stage& g, const T* src, T* dst, T pad) {
  constexpr int64_t L = kLanes<T>;
  const int64_t step = s.step[2], hop = step * s.x[2];
  for (int64_t q = 0; q < step; ++q) {
    T* to = dst + q * g.phase;
    const int64_t base = q + s.first[2];  // input column of element 0
    const int64_t lo = base < 0 ? min64(g.phase, ceil_div(-base, step)) : 0;
    const int64_t hi = max64(lo, base >= s.in[2] ? 0 : min64(g.phase, ceil_div(s.in[2] - base, step)));
    if (lo > 0 || hi < g.phase) fill(to, g.phase, pad);
    const T* from = src + base * s.x[2];
    int64_t i = lo;
    if (hop == 1) {
      for (; i + L <= hi; i += L) store(to + i, load(from + i));
      copy_pieces<L / 2>(to + i, from + i, hi - i);
      continue;
    }
    if (hop == 2)
      for (; i + L < hi; i += L) store(to + i, even_lanes(load(from + 2 * i), load(from + 2 * i + L)));
    for (; i < hi; ++i) to[i] = from[i * hop];
  }
}

// Stages what output rows [y0, y0 + rows) at depth z need. Rows above and below the image hold the padding; slices
// before and behind it are left as they are: never read.
template <typename T>
void stage_rows(const ConvShape& s, const Stage& g, const T* plane, T* dst, T pad, int64_t z, int64_t y0,
                int64_t rows) {
  const TapRange tz = taps_inside(s, 0, z);
  const int64_t top = y0 * s.step[1] + s.first[1], count = reach(s, 1, rows);
  for (int64_t t = tz.lo; t < tz.hi; ++t) {
    const T* slice = plane + (z * s.step[0] + s.first[0] + t * s.tap_step[0]) * s.x[0];
    T* to = dst + t * g.rows_per_tap * g.row;
    for (int64_t i = 0; i < count; ++i, to += g.row) {
      if (top + i >= 0 && top + i < s.in[1])
        stage_row(s, g, slice + (top + i) * s.x[1], to, pad);
      else
        fill(to, g.row, pad);
    }
  }
}

// Where tap tx of column 0 is in a staged row.
inline int64_t staged_column(const ConvShape& s, const Stage& g, int64_t tx) {
  const int64_t x = tx * s.tap_step[2];
  return x % s.step[2] * g.phase + x / s.step[2];
}

// R output rows by NV vectors of columns over staged rows: acc[r][v] = step(acc[r][v], elements, tap value) for every
// tap in order. `from` is where tap (0, 0, 0) of the first row and column is; `value(tap)` gives what step's last
// argument is.
template <typename T, int R, int NV, typename Value, typename Step>
inline void slide(const ConvShape& s, const Stage& g, const T* from, const int64_t* column, TapRange z,
                  typename Simd<T>::V (&acc)[R][NV], Value value, Step step) {
  const int64_t next = s.step[1] * g.row;
  for (int64_t tz = z.lo; tz < z.hi; ++tz)
    for (int64_t ty = 0; ty < s.taps[1]; ++ty) {
      const T* line = from + (tz * g.rows_per_tap + ty * s.tap_step[1]) * g.row;
      const int64_t tap = (tz * s.taps[1] + ty) * s.taps[2];
      for (int64_t tx = 0; tx < s.taps[2]; ++tx) {
        const auto with = value(tap + tx);
        const T* at = line + column[tx];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v) acc[r][v] = step(acc[r][v], load(at + r * next + v * kLanes<T>), with);
      }
    }
}

// Calls block(rows, vectors, row, column) over rows x columns of outputs, with constants for rows and vectors.
template <int N>
struct Constant {
  static constexpr int value = N;
};
// kWidest: vectors of columns in the widest block, 4 or 1; 1 compiles to a quarter of the code.
template <typename T, int kWidest = 4, typename Block>
inline void slide_blocks(int64_t rows, int64_t columns, Block block) {
  constexpr int64_t L = kLanes<T>;
  const auto strip = [&](auto r_count, auto v_count, int64_t at) {
    constexpr int Rows = decltype(r_count)::value;
    int64_t r = 0;
    for (; r + Rows <= rows; r += Rows) block(r_count, v_count, r, at);
    for (; r < rows; ++r) block(Constant<1>(), v_count, r, at);
  };
  int64_t at = 0;
  if constexpr (kWidest > 1) {
    for (; at + 3 * L < columns; at += 4 * L) strip(Constant<2>(), Constant<4>(), at);
    const int64_t left = ceil_div(columns - at, L);
    if (left == 3) return strip(Constant<2>(), Constant<3>(), at);
    if (left == 2) return strip(Constant<2>(), Constant<2>(), at);
  }
  for (; at < columns; at += L) strip(Constant<4>(), Constant<1>(), at);
}

// The first `lanes` (at most kLanes) lanes of a vector to out, out + step, ...
template <typename T>
inline void put(typename Simd<T>::V v, int64_t lanes, T* out, int64_t step) {
  if (step != 1)
    for (int64_t l = 0; l < lanes; ++l) out[l * step] = v[l];
  else if (lanes < kLanes<T>)
    store_some(out, v, lanes);
  else
    store(out, v);
}

}  // namespace
}  // namespace ARN_NS
