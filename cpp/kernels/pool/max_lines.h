// MaxPool by lines: the rows of a window are folded into one line, then its columns, of which the strides pick. Where
// channels of bytes lie innermost, vectors of channels are folded tap by tap. A maximum may be taken twice, so the last
// vector of a line overlaps the one before.
#pragma once

#include "kernels/pool/pool.h"

namespace ARN_NS {
namespace {

template <typename T>
struct Line {
  static constexpr int64_t kBytes = sizeof(T) == 1 || ARN_VECTOR_BYTES == 16 ? 16 : 32;
  static constexpr int64_t L = kBytes / static_cast<int64_t>(sizeof(T));
  typedef T V __attribute__((vector_size(kBytes)));
  typedef T U __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
  static constexpr bool kFloat = static_cast<T>(0.5) != T(0);
  static T lowest() {
    if constexpr (kFloat) return -static_cast<T>(__builtin_inf());
    return static_cast<T>(-1) < T(0) ? static_cast<T>(1ull << (sizeof(T) * 8 - 1)) : T(0);
  }
  static V load(const T* p) { return *reinterpret_cast<const U*>(p); }
  static void store(T* p, V v) { *reinterpret_cast<U*>(p) = v; }
  // NaN wins and stays.
  static V larger(V best, V x) {
    if constexpr (kFloat) return (x > best) | (x != x) ? x : best;
    return x > best ? x : best;
  }
  static T larger_one(T best, T x) { return x > best || (kFloat && x != x) ? x : best; }
  // a[0], a[2], ..., b[0], b[2], ...
  static V even(V a, V b) {
    if constexpr (sizeof(T) == 1)
      return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    else if constexpr (L == 8)
      return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
    else if constexpr (L == 4)
      return __builtin_shufflevector(a, b, 0, 2, 4, 6);
    else
      return __builtin_shufflevector(a, b, 0, 2);
  }
};

// to[i] = the larger of to[i] and from[i * step], i < n; first: to[i] = from[i * step].
template <typename T>
inline void fold_line(T* to, const T* from, int64_t step, int64_t n, bool first) {
  typedef Line<T> B;
  if (step != 1 || n < B::L) {
    for (int64_t i = 0; i < n; ++i) to[i] = first ? from[i * step] : B::larger_one(to[i], from[i * step]);
    return;
  }
  if (first) {
    __builtin_memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  for (int64_t i = 0;; i = min64(i + B::L, n - B::L)) {
    B::store(to + i, B::larger(B::load(to + i), B::load(from + i)));
    if (i == n - B::L) return;
  }
}

// to[i] = the largest of to[i] (not if first) and rows[k][i], i < n, k < count.
template <typename T>
inline void fold_rows_of(T* to, const T* const* rows, int64_t count, int64_t n, bool first) {
  typedef Line<T> B;
  for (int64_t i = 0;; i = min64(i + B::L, n - B::L)) {
    typename B::V most = B::load(first ? rows[0] + i : to + i);
    for (int64_t k = first ? 1 : 0; k < count; ++k) most = B::larger(most, B::load(rows[k] + i));
    B::store(to + i, most);
    if (i == n - B::L) return;
  }
}

// PoolBound: at_column is the length of a line.
template <typename T>
struct LineRun {
  typedef Line<T> B;
  typedef typename B::V V;
  const PoolBound& b;
  const T* x;
  T *y, *line;

  // line[i]: the largest of the window's rows at column first + i of the padded image.
  void fold_rows(const T* plane, int64_t z, int64_t row) const {
    const ConvShape& s = b.s;
    const int64_t length = b.at_column, skip = min64(length, max64(0, -s.first[2])), column = max64(0, s.first[2]);
    int64_t n = max64(0, min64(s.in[2] - column, length - skip));
    const TapRange zs = taps_inside(s, 0, z), ys = taps_inside(s, 1, row);
    constexpr int64_t kRows = 16;
    const T* rows[kRows];
    int64_t count = 0;
    bool first = true;
    const auto fold = [&] {
      if (count == 0) return;
      if (s.x[2] == 1 && n >= B::L) {
        fold_rows_of(line + skip, rows, count, n, first);
        first = false;
      }
      for (int64_t k = 0; (s.x[2] != 1 || n < B::L) && k < count; ++k, first = false)
        fold_line(line + skip, rows[k], s.x[2], n, first);
      count = 0;
    };
    for (int64_t tz = zs.lo; tz < zs.hi; ++tz)
      for (int64_t ty = ys.lo; ty < ys.hi; ++ty) {
        const int64_t at[2] = {z * s.step[0] + s.first[0] + tz * s.tap_step[0],
                               row * s.step[1] + s.first[1] + ty * s.tap_step[1]};
        rows[count++] = plane + at[0] * s.x[0] + at[1] * s.x[1] + column * s.x[2];
        if (count == kRows) fold();
      }
    fold();
    if (first) n = 0;
    for (int64_t i = 0; i < skip; ++i) line[i] = B::lowest();
    for (int64_t i = skip + n; i < length; ++i) line[i] = B::lowest();
  }

  V columns(int64_t at) const {
    const ConvShape& s = b.s;
    V most = B::load(line + at);
    for (int64_t tx = 1; tx < s.taps[2]; ++tx) most = B::larger(most, B::load(line + at + tx * s.tap_step[2]));
    return most;
  }

  // Outputs o to o + L of the line; what a vector reads past the line is written to no output.
  V outputs(int64_t o) const {
    if (b.s.step[2] == 1) return columns(o);
    return B::even(columns(2 * o), columns(2 * o + B::L));
  }

  void plane_row(int64_t n, int64_t c, int64_t z, int64_t row) const {
    const ConvShape& s = b.s;
    fold_rows(x + n * s.xn + c * s.xc, z, row);
    T* to = y + n * s.yn + c * s.yc + z * s.y[0] + row * s.y[1];
    if (s.step[2] > 2) {
      for (int64_t o = 0; o < s.out[2]; ++o) {
        T most = line[o * s.step[2]];
        for (int64_t tx = 1; tx < s.taps[2]; ++tx) most = B::larger_one(most, line[o * s.step[2] + tx * s.tap_step[2]]);
        to[o * s.y[2]] = most;
      }
      return;
    }
    if (s.y[2] == 1 && s.out[2] >= B::L) {
      for (int64_t o = 0;; o = min64(o + B::L, s.out[2] - B::L)) {
        B::store(to + o, outputs(o));
        if (o == s.out[2] - B::L) return;
      }
    }
    for (int64_t o = 0; o < s.out[2]; o += B::L) {
      T some[B::L];
      B::store(some, outputs(o));
      for (int64_t i = 0; i < min64(B::L, s.out[2] - o); ++i) to[(o + i) * s.y[2]] = some[i];
    }
  }

  void channel_row(int64_t n, int64_t z, int64_t row) const {
    const ConvShape& s = b.s;
    const TapRange zs = taps_inside(s, 0, z), ys = taps_inside(s, 1, row);
    for (int64_t o = 0; o < s.out[2]; ++o) {
      T* to = y + n * s.yn + z * s.y[0] + row * s.y[1] + o * s.y[2];
      const TapRange xs = taps_inside(s, 2, o);
      bool first = true;
      for (int64_t tz = zs.lo; tz < zs.hi; ++tz)
        for (int64_t ty = ys.lo; ty < ys.hi; ++ty)
          for (int64_t tx = xs.lo; tx < xs.hi; ++tx, first = false)
            fold_line(to,
                      x + n * s.xn + (z * s.step[0] + s.first[0] + tz * s.tap_step[0]) * s.x[0] +
                          (row * s.step[1] + s.first[1] + ty * s.tap_step[1]) * s.x[1] +
                          (o * s.step[2] + s.first[2] + tx * s.tap_step[2]) * s.x[2],
                      1, s.groups, first);
      for (int64_t c = 0; first && c < s.groups; ++c) to[c] = B::lowest();
    }
  }

  void unit(int64_t u) const {
    const ConvShape& s = b.s;
    const int64_t row = u % s.out[1];
    u /= s.out[1];
    if (b.by_channels != 0) return channel_row(u / s.out[0], u % s.out[0], row);
    const int64_t z = u % s.out[0];
    u /= s.out[0];
    plane_row(u / s.groups, u % s.groups, z, row);
  }
};

template <typename T>
int32_t line_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                   const arn_state* state) {
  const PoolBound& b = *static_cast<const PoolBound*>(bound);
  const LineRun<T> r{b, static_cast<const T*>(operand[0]), static_cast<T*>(operand[b.out_operand]),
                     static_cast<T*>(scratch)};
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { r.unit(u); });
}

// After read_pool, without epilogue and indices.
template <typename T>
int32_t plan_lines(const arn_bind_args* args, PoolBound* b, arn_bound* out) {
  const ConvShape& s = b->s;
  const bool any = element_count(args->operand[args->n_in]) != 0, planes = b->by_channels == 0;
  if (args->operand[args->n_in].dtype != args->operand[0].dtype) return ARN_UNSUPPORTED;
  int64_t work = s.groups * s.out[2] * tap_count(s) * static_cast<int64_t>(sizeof(T));
  out->thread_scratch = 0;
  if (planes) {
    b->at_column = any ? (s.out[2] - 1) * s.step[2] + (s.taps[2] - 1) * s.tap_step[2] + 1 : 0;
    out->thread_scratch = round_up((b->at_column + 4 * Line<T>::L) * static_cast<int64_t>(sizeof(T)), ARN_ALIGN);
    work = b->at_column * (s.taps[0] * s.taps[1] + s.taps[2] + 4) * static_cast<int64_t>(sizeof(T));
  }
  b->units = any ? s.batch * (planes ? s.groups : 1) * s.out[0] * s.out[1] : 0;
  b->units_per_task = max64(1, (1 << 18) / max64(1, work));
  out->run = line_tasks<T>;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->bound_bytes = sizeof(PoolBound);
  out->variant = planes ? "lines" : "channels";
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS
