// What depthwise convolution and pooling share: windows that slide over one channel. Two ways through the data:
// by channels (X and Y have unit channel stride: vectors over channels), or by planes (any strides: the input rows that
// some output rows need are staged in scratch with their padding, vectors over output columns).
#pragma once

#include "kernels/conv/shape.h"

namespace ARN_NS {
namespace {

// Taps of an axis whose input coordinate lies inside the image.
struct TapRange {
  int64_t lo, hi;
};
inline TapRange taps_inside(const ConvShape& s, int axis, int64_t out) {
  const int64_t base = out * s.step[axis] + s.first[axis], d = s.tap_step[axis];
  TapRange r;
  r.lo = base < 0 ? min64(s.taps[axis], ceil_div(-base, d)) : 0;
  r.hi = base >= s.in[axis] ? 0 : min64(s.taps[axis], ceil_div(s.in[axis] - base, d));
  if (r.hi < r.lo) r.hi = r.lo;
  return r;
}

// Loads and stores of the first n lanes.
template <typename T>
inline typename Simd<T>::V load_some(const T* p, int64_t n) {
  typename Simd<T>::V v{};
  __builtin_memcpy(&v, p, static_cast<size_t>(n) * sizeof(T));
  return v;
}
template <typename T>
inline void store_some(T* p, typename Simd<T>::V v, int64_t n) {
  __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(T));
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
  g.phase = round_up(max64(1, s.out[2]), 4 * kLanes<T>) + (s.taps[2] - 1) * s.tap_step[2] / s.step[2] + 1;
  g.phase = round_up(g.phase, kLanes<T>);
  g.row = g.phase * s.step[2];
  g.block = 1;
  while (g.block < s.out[1] && s.taps[0] * reach(s, 1, g.block + 1) * g.row <= budget) ++g.block;
  g.rows_per_tap = reach(s, 1, g.block);
  g.elements = s.taps[0] * g.rows_per_tap * g.row;
  return g;
}

template <typename T>
void stage_row(const ConvShape& s, const Stage& g, const T* src, T* dst, T pad) {
  const int64_t step = s.step[2], stride = s.x[2];
  for (int64_t q = 0; q < step; ++q) {
    T* to = dst + q * g.phase;
    const int64_t base = q + s.first[2];  // input column of element 0
    const int64_t lo = base < 0 ? min64(g.phase, ceil_div(-base, step)) : 0;
    const int64_t hi = max64(lo, base >= s.in[2] ? 0 : min64(g.phase, ceil_div(s.in[2] - base, step)));
    for (int64_t i = 0; i < lo; ++i) to[i] = pad;
    const T* from = src + base * stride;
    if (step * stride == 1)
      __builtin_memcpy(to + lo, from + lo, static_cast<size_t>(hi - lo) * sizeof(T));
    else
      for (int64_t i = lo; i < hi; ++i) to[i] = from[i * step * stride];
    for (int64_t i = hi; i < g.phase; ++i) to[i] = pad;
  }
}

// Stages what output rows [y0, y0 + rows) at depth z need. Rows outside the image are left as they are: never read.
template <typename T>
void stage_rows(const ConvShape& s, const Stage& g, const T* plane, T* dst, T pad, int64_t z, int64_t y0,
                int64_t rows) {
  const TapRange tz = taps_inside(s, 0, z);
  const int64_t top = y0 * s.step[1] + s.first[1], count = reach(s, 1, rows);
  for (int64_t t = tz.lo; t < tz.hi; ++t) {
    const T* slice = plane + (z * s.step[0] + s.first[0] + t * s.tap_step[0]) * s.x[0];
    for (int64_t i = 0; i < count; ++i)
      if (top + i >= 0 && top + i < s.in[1])
        stage_row(s, g, slice + (top + i) * s.x[1], dst + (t * g.rows_per_tap + i) * g.row, pad);
  }
}

// Where tap tx of column 0 is in a staged row.
inline int64_t staged_column(const ConvShape& s, const Stage& g, int64_t tx) {
  const int64_t x = tx * s.tap_step[2];
  return x % s.step[2] * g.phase + x / s.step[2];
}

}  // namespace
}  // namespace ARN_NS
