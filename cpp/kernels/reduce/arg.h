// ArgMax and ArgMin along one axis. NaN is the extreme of both, as in numpy.
#pragma once

#include "kernels/reduce/params.h"
#include "kernels/reduce/space.h"

namespace ARN_NS {

struct ArgBound {
  ReduceSpace space;     // the axis is the run (rows) or the only reduced dim (columns)
  int64_t length, step;  // of the axis, in the input
  int64_t panels, units, tasks;
  int32_t smallest, last;
};

constexpr int64_t kArgPanel = 32;  // columns, or interleaved parts of a contiguous run

// The index type is as wide as the element where that lets a compiler use one mask for both.
template <int kBytes>
struct ArgIndex {
  typedef int32_t type;
};
template <>
struct ArgIndex<8> {
  typedef int64_t type;
};

template <typename T, bool kSmallest, bool kLast>
static inline bool takes(T best, T x) {
  const bool beats = kSmallest ? (kLast ? x <= best : x < best) : (kLast ? x >= best : x > best);
  const bool nan = x != x;
  return beats | (nan & (kLast | (best == best)));
}

// The best of rows p[r * step], r < rows, for n <= kArgPanel columns side by side at stride `across`.
template <typename T, bool kSmallest, bool kLast>
static void arg_panel(const T* p, int64_t rows, int64_t step, int64_t n, int64_t across, T* best, int64_t* at) {
  typedef typename ArgIndex<sizeof(T)>::type I;
  I row[kArgPanel];
  for (int64_t i = 0; i < kArgPanel; ++i) {
    row[i] = 0;
    best[i] = p[min64(i, n - 1) * across];
  }
  if (across == 1 && n == kArgPanel) {
    for (int64_t r = 1; r < rows; ++r) {
      const T* x = p + r * step;
      for (int64_t i = 0; i < kArgPanel; ++i) {
        const bool take = takes<T, kSmallest, kLast>(best[i], x[i]);
        best[i] = take ? x[i] : best[i];
        row[i] = take ? static_cast<I>(r) : row[i];
      }
    }
  } else {
    for (int64_t r = 1; r < rows; ++r) {
      for (int64_t i = 0; i < n; ++i) {
        const T x = p[r * step + i * across];
        if (!takes<T, kSmallest, kLast>(best[i], x)) continue;
        best[i] = x;
        row[i] = static_cast<I>(r);
      }
    }
  }
  for (int64_t i = 0; i < n; ++i) at[i] = row[i];
}

template <typename T, bool kSmallest, bool kLast>
static int64_t arg_run(const T* p, int64_t n) {
  T best[kArgPanel];
  int64_t at[kArgPanel];
  const int64_t rows = n / kArgPanel;
  T winner = p[0];
  int64_t index = 0;
  const auto offer = [&](T x, int64_t i) {
    // Lanes are offered out of order: among equals (all NaN count as equal) the wanted end of the axis wins.
    const bool same = x == winner || (x != x && winner != winner);
    if (same ? (kLast ? i > index : i < index) : takes<T, kSmallest, kLast>(winner, x)) {
      winner = x;
      index = i;
    }
  };
  if (rows > 0) {
    arg_panel<T, kSmallest, kLast>(p, rows, kArgPanel, kArgPanel, 1, best, at);
    for (int64_t i = 0; i < kArgPanel; ++i) offer(best[i], at[i] * kArgPanel + i);
  }
  for (int64_t i = rows * kArgPanel; i < n; ++i) offer(p[i], i);
  return index;
}

template <typename T, bool kSmallest, bool kLast>
static int32_t arg_units(const ArgBound& b, const T* in, int64_t* out, int64_t from, int64_t to) {
  const ReduceSpace& s = b.space;
  Cursor<2> c;
  walk_seek(s.kept, from / b.panels, &c);
  int64_t panel = from % b.panels;
  for (int64_t unit = from; unit < to; ++unit) {
    T best[kArgPanel];
    int64_t at[kArgPanel];
    const T* x = in + c.offset[0];
    int64_t* y = out + c.offset[1];
    if (s.columns) {
      const int64_t first = panel * kArgPanel, n = min64(kArgPanel, s.inner - first);
      arg_panel<T, kSmallest, kLast>(x + first * s.inner_in, b.length, b.step, n, s.inner_in, best, at);
      for (int64_t i = 0; i < n; ++i) y[(first + i) * s.inner_out] = at[i];
    } else if (b.step == 1) {
      *y = arg_run<T, kSmallest, kLast>(x, b.length);
    } else {
      arg_panel<T, kSmallest, kLast>(x, b.length, b.step, 1, 1, best, at);
      *y = at[0];
    }
    if (++panel < b.panels) continue;
    panel = 0;
    walk_next(s.kept, &c);
  }
  return ARN_OK;
}

template <typename T>
static int32_t arg_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                         const arn_state* state) {
  const ArgBound& b = *static_cast<const ArgBound*>(bound);
  const T* in = static_cast<const T*>(operand[0]);
  int64_t* to = static_cast<int64_t*>(operand[1]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t first, int64_t last) -> int32_t {
    if (first == last) return ARN_OK;
    if (b.smallest)
      return b.last ? arg_units<T, true, true>(b, in, to, first, last)
                    : arg_units<T, true, false>(b, in, to, first, last);
    return b.last ? arg_units<T, false, true>(b, in, to, first, last)
                  : arg_units<T, false, false>(b, in, to, first, last);
  });
}

template <typename T>
static int32_t bind_arg(const arn_bind_args* args, arn_bound* out, void* bound) {
  const arn_arg_reduce_params* p = static_cast<const arn_arg_reduce_params*>(args->params);
  ArgBound* b = static_cast<ArgBound*>(bound);
  const arn_desc &from = args->operand[0], &to = args->operand[1];
  if (p->axis < 0 || p->axis >= from.rank) return ARN_SHAPE_MISMATCH;
  const int32_t status = plan_space(from, to, int64_t{1} << p->axis, &b->space);
  if (status != ARN_OK) return status;
  b->length = from.dims[p->axis];
  b->step = from.strides[p->axis];
  b->smallest = p->smallest != 0;
  b->last = p->select_last_index != 0;
  const ReduceSpace& s = b->space;
  b->panels = s.columns ? ceil_div(s.inner, kArgPanel) : 1;
  b->units = walk_count(s.kept) * b->panels;
  if (b->length == 0 && b->units > 0) return ARN_BAD_VALUE;  // no element to name
  if (b->length > INT32_MAX) return ARN_UNSUPPORTED;
  b->tasks = tasks_for(b->units, element_count(from) * static_cast<int64_t>(sizeof(T)));
  return bind_done(out, arg_tasks<T>, b->tasks, sizeof(ArgBound), s.columns ? "columns" : "rows");
}

}  // namespace ARN_NS
