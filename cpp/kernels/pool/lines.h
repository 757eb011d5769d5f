// Pooling by lines: the rows of a window are folded into one line, then its columns, of which the strides pick. Some
// rows of outputs are folded before the first of their columns, since a line that was just stored cannot be read at
// once at another alignment. Where channels of bytes lie innermost, vectors of channels are folded tap by tap. A fold F
// says how taps combine, on vectors of kBytes.
#pragma once

#include "kernels/pool/pool.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

template <typename T, int64_t Bytes>
struct Line {
  static constexpr int64_t kBytes = Bytes;
  static constexpr int64_t L = kBytes / static_cast<int64_t>(sizeof(T));
  typedef T V __attribute__((vector_size(Bytes)));
  typedef T U __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias));
  static constexpr bool kFloat = static_cast<T>(0.5) != T(0);
  static V load(const T* p) { return *reinterpret_cast<const U*>(p); }
  static void store(T* p, V v) { *reinterpret_cast<U*>(p) = v; }
  // a[0], a[2], ..., b[0], b[2], ...
  static V even(V a, V b) { return even_lanes(a, b); }
};

template <typename T, int64_t Bytes>
struct MaxLine : Line<T, Bytes> {
  typedef Line<T, Bytes> Base;
  typedef typename Base::V V;
  static constexpr bool kTwice = true;  // a tap may count twice
  static constexpr bool kCounts = false;
  static T pad() {
    if constexpr (Base::kFloat) return -static_cast<T>(__builtin_inf());
    return static_cast<T>(-1) < T(0) ? static_cast<T>(1ull << (sizeof(T) * 8 - 1)) : T(0);
  }
  // NaN wins and stays.
  static V step(V best, V x) {
    if constexpr (Base::kFloat) return (x > best) | (x != x) ? x : best;
    return x > best ? x : best;
  }
  static T step_one(T best, T x) { return x > best || (Base::kFloat && x != x) ? x : best; }
};

template <typename T, int64_t Bytes>
struct MeanLine : Line<T, Bytes> {
  typedef typename Line<T, Bytes>::V V;
  static constexpr bool kTwice = false, kCounts = true;
  static T pad() { return T(0); }
  static V step(V sum, V x) { return sum + x; }
  static T step_one(T sum, T x) { return sum + x; }
};

// to[i] = step(to[i], from[i * step]), i < n; first: to[i] = from[i * step].
template <typename F, typename T>
inline void fold_line(T* to, const T* from, int64_t step, int64_t n, bool first) {
  if (first && step == 1) {
    __builtin_memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  int64_t i = 0;
  if (step == 1)
    for (; i + F::L <= n; i += F::L) F::store(to + i, F::step(F::load(to + i), F::load(from + i)));
  for (; i < n; ++i) to[i] = first ? from[i * step] : F::step_one(to[i], from[i * step]);
}

// Folds to[i] (not if first) and rows[k][i], L <= n, i < n, k < count.
template <typename F, typename T>
inline void fold_rows_of(T* to, const T* const* rows, int64_t count, int64_t n, bool first) {
  const int64_t L = F::L;
  if (!first && !F::kTwice) {
    for (int64_t k = 0; k < count; ++k) fold_line<F>(to, rows[k], 1, n, false);
    return;
  }
  for (int64_t i = 0;; i = min64(i + L, n - L)) {
    typename F::V sum = F::load(first ? rows[0] + i : to + i);
    for (int64_t k = first ? 1 : 0; k < count; ++k) sum = F::step(sum, F::load(rows[k] + i));
    F::store(to + i, sum);
    if (i == n - L) return;
  }
}

// The rows of most windows, all there: to[i] = rows[0][i] and so on, L <= n.
template <typename F, int Count, typename T>
inline void fold_few(T* to, const T* const* rows, int64_t n) {
  const int64_t L = F::L;
  const T* from[Count];
  for (int k = 0; k < Count; ++k) from[k] = rows[k];
  for (int64_t i = 0;; i = min64(i + L, n - L)) {
    typename F::V sum = F::load(from[0] + i);
#pragma GCC unroll 3
    for (int k = 1; k < Count; ++k) sum = F::step(sum, F::load(from[k] + i));
    F::store(to + i, sum);
    if (i == n - L) return;
  }
}

// PoolBound: at_column is the length of a line, at_counts where the columns' counts lie in scratch, at_block the
// elements from line to line, run how many rows of outputs make a unit.
template <typename F, typename T>
struct LineRun {
  typedef typename F::V V;
  const PoolBound& b;
  const T* x;
  T *y, *scratch;
  void* const* operand;
  void* epilogue_scratch;

  // line[i]: the largest of the window's rows at column first + i of the padded image.
  void fold_rows(const T* plane, int64_t z, int64_t row, T* line) const {
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
      if (s.x[2] == 1 && n >= F::L) {
        if (count == 3 && first)
          fold_few<F, 3>(line + skip, rows, n);
        else if (count == 2 && first)
          fold_few<F, 2>(line + skip, rows, n);
        else
          fold_rows_of<F>(line + skip, rows, count, n, first);
        first = false;
      }
      for (int64_t k = 0; (s.x[2] != 1 || n < F::L) && k < count; ++k, first = false)
        fold_line<F>(line + skip, rows[k], s.x[2], n, first);
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
    for (int64_t i = 0; i < skip; ++i) line[i] = F::pad();
    for (int64_t i = skip + n; i < length; ++i) line[i] = F::pad();
  }

  // Taps: of the window, 0 for any.
  template <int Taps>
  V columns(const T* line, int64_t at) const {
    const int64_t taps = Taps != 0 ? Taps : b.s.taps[2], step = b.s.tap_step[2];
    V sum = F::load(line + at);
#pragma GCC unroll 3
    for (int64_t tx = 1; tx < taps; ++tx) sum = F::step(sum, F::load(line + at + tx * step));
    return sum;
  }

  V divided(V sum, int64_t o, V rows) const {
    if constexpr (!F::kCounts) return sum;
    const V count = F::load(scratch + b.at_counts + o) * rows, one = V{} + T(1);
    return (sum + T(0)) / (count < one ? one : count);  // zeros of a window are +0, as sums from 0 on are
  }

  // Outputs o to o + L of the line; what a vector reads past the line is written to no output.
  template <int Taps>
  V outputs(const T* line, int64_t o, V rows) const {
    if (b.s.step[2] == 1) return divided(columns<Taps>(line, o), o, rows);
    return divided(F::even(columns<Taps>(line, 2 * o), columns<Taps>(line, 2 * o + F::L)), o, rows);
  }

  void fold_columns(const T* line, T* to, int64_t step, int64_t lines) const {
    if (b.s.taps[2] == 2) return fold_columns_of<2>(line, to, step, lines);
    if (b.s.taps[2] == 3) return fold_columns_of<3>(line, to, step, lines);
    fold_columns_of<0>(line, to, step, lines);
  }

  template <int Taps>
  void fold_columns_of(const T* line, T* to, int64_t step, int64_t lines) const {
    const ConvShape& s = b.s;
    const V rows = V{} + static_cast<T>(lines);
    if (s.step[2] > 2) {
      for (int64_t o = 0; o < s.out[2]; ++o) {
        T sum = line[o * s.step[2]];
        for (int64_t tx = 1; tx < s.taps[2]; ++tx) sum = F::step_one(sum, line[o * s.step[2] + tx * s.tap_step[2]]);
        if constexpr (F::kCounts) {
          const T count = scratch[b.at_counts + o] * static_cast<T>(lines);
          sum = (sum + T(0)) / (count < T(1) ? T(1) : count);
        }
        to[o * step] = sum;
      }
      return;
    }
    if (step == 1 && s.out[2] >= F::L) {
      for (int64_t o = 0;; o = min64(o + F::L, s.out[2] - F::L)) {
        F::store(to + o, outputs<Taps>(line, o, rows));
        if (o == s.out[2] - F::L) return;
      }
    }
    for (int64_t o = 0; o < s.out[2]; o += F::L) {
      T some[F::L];
      F::store(some, outputs<Taps>(line, o, rows));
      const int64_t n = min64(F::L, s.out[2] - o);
      if (step == 1)
        __builtin_memcpy(to + o, some, static_cast<size_t>(n) * sizeof(T));
      else
        for (int64_t i = 0; i < n; ++i) to[(o + i) * step] = some[i];
    }
  }

  void plane_rows(int64_t n, int64_t c, int64_t z, int64_t row, int64_t count) const {
    const ConvShape& s = b.s;
    for (int64_t i = 0; i < count; ++i) fold_rows(x + n * s.xn + c * s.xc, z, row + i, scratch + i * b.at_block);
    const bool apart = b.use_epilogue != 0;
    T* to = apart ? scratch + b.at_result : y + n * s.yn + c * s.yc + z * s.y[0] + row * s.y[1];
    for (int64_t i = 0; i < count; ++i) {
      const int64_t lines = F::kCounts ? counted(b, 0, z) * counted(b, 1, row + i) : 0;
      fold_columns(scratch + i * b.at_block, to + i * (apart ? s.out[2] : s.y[1]), apart ? 1 : s.y[2], lines);
    }
    if (apart) {
      const int64_t cols = count * s.out[2];
      epilogue_run(b.epilogue, operand, n * s.groups + c, 1, (z * s.out[1] + row) * s.out[2], cols, to, cols,
                   epilogue_scratch);
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
            fold_line<F>(to,
                         x + n * s.xn + (z * s.step[0] + s.first[0] + tz * s.tap_step[0]) * s.x[0] +
                             (row * s.step[1] + s.first[1] + ty * s.tap_step[1]) * s.x[1] +
                             (o * s.step[2] + s.first[2] + tx * s.tap_step[2]) * s.x[2],
                         1, s.groups, first);
      for (int64_t c = 0; first && c < s.groups; ++c) to[c] = F::pad();
    }
  }

  void unit(int64_t u) const {
    const ConvShape& s = b.s;
    const int64_t blocks = ceil_div(s.out[1], b.run), row = u % blocks * b.run, count = min64(b.run, s.out[1] - row);
    u /= blocks;
    if (b.by_channels != 0) {
      for (int64_t i = 0; i < count; ++i) channel_row(u / s.out[0], u % s.out[0], row + i);
      return;
    }
    const int64_t z = u % s.out[0];
    u /= s.out[0];
    plane_rows(u / s.groups, u % s.groups, z, row, count);
  }

  // Tables that every plane shares.
  void prepare() const {
    if (!F::kCounts || b.by_channels != 0) return;
    for (int64_t o = 0; o < b.s.out[2] + F::L; ++o)
      scratch[b.at_counts + o] = o < b.s.out[2] ? static_cast<T>(counted(b, 2, o)) : T(1);
  }
};

template <typename F, typename T>
int32_t line_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                   const arn_state* state) {
  const PoolBound& b = *static_cast<const PoolBound*>(bound);
  const LineRun<F, T> r{b,
                        static_cast<const T*>(operand[0]),
                        static_cast<T*>(operand[b.out_operand]),
                        static_cast<T*>(scratch),
                        operand,
                        static_cast<char*>(scratch) + b.epilogue_scratch};
  r.prepare();
  if (b.use_epilogue != 0) epilogue_begin(b.epilogue, operand, r.epilogue_scratch);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { r.unit(u); });
}

// After read_pool, without indices; with an epilogue after plan_pool has bound it, and planes only. Fold<T, Bytes> is
// the reduction.
template <template <typename, int64_t> class Fold, typename T>
int32_t plan_lines(const arn_bind_args* args, PoolBound* b, arn_bound* out) {
  constexpr int64_t kNarrow = sizeof(T) == 1 || ARN_VECTOR_BYTES == 16 ? 16 : 32;
  constexpr int64_t kWide = sizeof(T) == 1 ? 16 : ARN_VECTOR_BYTES;
  constexpr int64_t size = static_cast<int64_t>(sizeof(T)), kLines = 16;
  const ConvShape& s = b->s;
  const bool any = element_count(args->operand[args->n_in]) != 0, planes = b->by_channels == 0;
  if (b->use_epilogue == 0 && args->operand[args->n_in].dtype != args->operand[0].dtype) return ARN_UNSUPPORTED;
  const bool wide = kWide > kNarrow && s.in[2] * size >= kWide && s.out[2] * size >= kWide;
  int64_t work = s.groups * s.out[2] * tap_count(s) * size;
  out->thread_scratch = 0;
  b->run = 1;
  if (planes) {
    const int64_t lanes = kWide / size;
    b->at_column = any ? (s.out[2] - 1) * s.step[2] + (s.taps[2] - 1) * s.tap_step[2] + 1 : 0;
    b->at_block = round_up(b->at_column + 4 * lanes, ARN_ALIGN / size);
    b->run = max64(1, min64(min64(kLines, s.out[1]), (12 << 10) / (b->at_block * size)));
    b->at_counts = b->run * b->at_block;
    b->at_result = b->at_counts + round_up(s.out[2] + 2 * lanes, ARN_ALIGN / size);
    b->epilogue_scratch = round_up((b->at_result + (b->use_epilogue != 0 ? b->run * s.out[2] : 0)) * size, ARN_ALIGN);
    out->thread_scratch = b->epilogue_scratch + (b->use_epilogue != 0 ? b->epilogue.core.scratch_bytes : 0);
    work = b->at_column * (s.taps[0] * s.taps[1] + s.taps[2] + 4) * size;
  }
  b->units = any ? s.batch * (planes ? s.groups : 1) * s.out[0] * ceil_div(s.out[1], b->run) : 0;
  b->units_per_task = max64(1, (1 << 18) / max64(1, work * b->run));
  out->run = wide ? line_tasks<Fold<T, kWide>, T> : line_tasks<Fold<T, kNarrow>, T>;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->bound_bytes = sizeof(PoolBound);
  out->variant = planes ? "lines" : "channels";
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS
