// Reduce over any set of axes, one instantiation a type.
#pragma once

#include "kernels/reduce/fold.h"
#include "kernels/reduce/params.h"
#include "kernels/reduce/space.h"
#include "kernels/reduce/wide.h"

namespace ARN_NS {

struct ReduceBound {
  ReduceSpace space;
  int64_t panels;  // units along the column dim
  int64_t units, tasks;
  int32_t kind;
  int32_t is_bool;
};

template <typename T>
struct IsFloat {
  static constexpr bool value = false;
};
template <>
struct IsFloat<float> {
  static constexpr bool value = true;
};
template <>
struct IsFloat<double> {
  static constexpr bool value = true;
};

// To the nearest value towards zero; NaN is 0, what does not fit is the limit.
template <typename T>
static inline T from_double(double x) {
  if (IsFloat<T>::value) return static_cast<T>(x);
  if (x != x) return 0;
  if (x <= static_cast<double>(Limits<T>::low)) return Limits<T>::low;
  if (x >= static_cast<double>(Limits<T>::high)) return Limits<T>::high;
  return static_cast<T>(x);
}

// These are folded in double.
template <typename T>
static inline bool goes_through_double(int64_t kind) {
  const bool real = kind == ARN_REDUCE_MEAN || kind == ARN_REDUCE_L2 || kind == ARN_REDUCE_LOG_SUM;
  return kind == ARN_REDUCE_LOG_SUM_EXP || (real && !IsFloat<T>::value);
}

constexpr int kPanel = 4;  // vectors of columns folded together

template <typename F, typename T>
static inline T result(const ReduceBound& b, typename F::Wide total) {
  if (b.kind == ARN_REDUCE_MEAN || b.kind == ARN_REDUCE_L2 || b.kind == ARN_REDUCE_LOG_SUM)
    return static_cast<T>(wide_finish(b.kind, static_cast<double>(total), b.space.count));
  const T x = static_cast<T>(total);
  return b.is_bool ? static_cast<T>(x != 0) : x;
}

template <typename F, typename T>
static void reduce_columns(const ReduceBound& b, const T* in, T* out, int64_t first) {
  const ReduceSpace& s = b.space;
  constexpr int C = Lanes<T>::kCount;
  typename F::Wide total[kPanel * C];
  const F op[kPanel] = {};
  const int64_t end = min64(s.inner, first + kPanel * C);
  const auto store = [&](int64_t at, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[(at + i) * s.inner_out] = result<F, T>(b, total[i]);
  };
  if (s.inner_in == 1 && end - first == kPanel * C) {
    fold_columns<F, T, kPanel, true>(op, s.reduced, 0, s.inner_in, in + first, kPanel * C, total);
    return store(first, kPanel * C);
  }
  if (s.inner_in != 1 || s.inner < C) {
    if (end - first <= C)
      fold_columns<F, T, 1, false>(op, s.reduced, 0, s.inner_in, in + first * s.inner_in, end - first, total);
    else
      fold_columns<F, T, kPanel, false>(op, s.reduced, 0, s.inner_in, in + first * s.inner_in, end - first, total);
    return store(first, end - first);
  }
  for (int64_t at = first; at < end; at += C) {
    const int64_t from = min64(at, s.inner - C);  // the last vector overlaps its neighbour: same bytes
    fold_columns<F, T, 1, true>(op, s.reduced, 0, s.inner_in, in + from, C, total);
    store(from, C);
  }
}

template <typename F, typename T>
static int32_t reduce_units(const ReduceBound& b, const T* in, T* out, int64_t from, int64_t to) {
  const ReduceSpace& s = b.space;
  Cursor<2> c;
  walk_seek(s.kept, from / b.panels, &c);
  int64_t panel = from % b.panels;
  for (int64_t unit = from; unit < to; ++unit) {
    const T* x = in + c.offset[0];
    T* y = out + c.offset[1];
    if (s.columns)
      reduce_columns<F, T>(b, x, y, panel * kPanel * Lanes<T>::kCount);
    else
      *y = result<F, T>(b, fold_rows(F{}, s.reduced, 0, s.inner, s.inner_in, x));
    if (++panel < b.panels) continue;
    panel = 0;
    walk_next(s.kept, &c);
  }
  return ARN_OK;
}

template <typename T>
static int32_t reduce_units_in_double(const ReduceBound& b, const T* in, T* out, int64_t from, int64_t to) {
  const ReduceSpace& s = b.space;
  constexpr int64_t kWidth = kPanel * Lanes<T>::kCount, kPart = kWidePanel * kLanesF64;
  for (int64_t unit = from; unit < to; ++unit) {
    Cursor<2> c;
    walk_seek(s.kept, unit / b.panels, &c);
    const T* x = in + c.offset[0];
    T* y = out + c.offset[1];
    if (!s.columns) {
      *y = from_double<T>(wide_row_result(s, b.kind, x));
      continue;
    }
    const int64_t first = unit % b.panels * kWidth, end = min64(s.inner, first + kWidth);
    for (int64_t at = first; at < end; at += kPart) {
      const int64_t n = min64(kPart, end - at);
      double results[kPart];
      wide_column_results(s, b.kind, x + at * s.inner_in, n, results);
      for (int64_t i = 0; i < n; ++i) y[(at + i) * s.inner_out] = from_double<T>(results[i]);
    }
  }
  return ARN_OK;
}

template <typename T>
static int32_t reduce_range(const ReduceBound& b, const T* in, T* out, int64_t from, int64_t to) {
  if (goes_through_double<T>(b.kind)) return reduce_units_in_double<T>(b, in, out, from, to);
  switch (b.kind) {
    case ARN_REDUCE_MAX:
      return reduce_units<MaxFold<T>, T>(b, in, out, from, to);
    case ARN_REDUCE_MIN:
      return reduce_units<MinFold<T>, T>(b, in, out, from, to);
    case ARN_REDUCE_PROD:
      return reduce_units<ProdFold<T>, T>(b, in, out, from, to);
    case ARN_REDUCE_L1:
      return reduce_units<AbsFold<T>, T>(b, in, out, from, to);
    case ARN_REDUCE_L2:
    case ARN_REDUCE_SUM_SQUARE:
      return reduce_units<SquareFold<T>, T>(b, in, out, from, to);
    default:
      return reduce_units<SumFold<T>, T>(b, in, out, from, to);
  }
}

// Only max and min: for types whose sums the standard does not define.
template <typename T>
static int32_t extreme_range(const ReduceBound& b, const T* in, T* out, int64_t from, int64_t to) {
  if (b.kind == ARN_REDUCE_MAX) return reduce_units<MaxFold<T>, T>(b, in, out, from, to);
  return reduce_units<MinFold<T>, T>(b, in, out, from, to);
}

template <typename T, int32_t (*kRange)(const ReduceBound&, const T*, T*, int64_t, int64_t)>
static int32_t reduce_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                            const arn_state* state) {
  const ReduceBound& b = *static_cast<const ReduceBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    return from == to ? static_cast<int32_t>(ARN_OK)
                      : kRange(b, static_cast<const T*>(operand[0]), static_cast<T*>(operand[1]), from, to);
  });
}

template <typename T>
static int32_t bind_reduce(const arn_bind_args* args, arn_bound* out, void* bound, arn_run_fn run) {
  const arn_reduce_params* p = static_cast<const arn_reduce_params*>(args->params);
  ReduceBound* b = static_cast<ReduceBound*>(bound);
  const arn_desc &from = args->operand[0], &to = args->operand[1];
  const int32_t status = plan_space(from, to, p->axes, &b->space);
  if (status != ARN_OK) return status;
  b->kind = static_cast<int32_t>(p->kind);
  b->is_bool = from.dtype == ARN_BOOL;
  const ReduceSpace& s = b->space;
  b->panels = s.columns ? ceil_div(s.inner, kPanel * Lanes<T>::kCount) : 1;
  b->units = walk_count(s.kept) * b->panels;
  b->tasks = tasks_for(b->units, element_count(to) * max64(1, s.count) * static_cast<int64_t>(sizeof(T)));
  if (s.count == 0 && b->units > 0 && b->kind == ARN_REDUCE_MEAN && !IsFloat<T>::value) return ARN_DIVISION_BY_ZERO;
  return bind_done(out, run, b->tasks, sizeof(ReduceBound), s.columns ? "columns" : "rows");
}

}  // namespace ARN_NS
