// CumSum and CumProd, and Range, which counts up.
#include "kernels/index/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

constexpr int64_t kPanelColumns = 128;  // neighbouring lines walked together

struct RunningBound {
  Walk<2> lines;  // operand 0: x, 1: y; in elements, without the panel dim
  int64_t length, step[2];
  int64_t inner, inner_step[2];  // the panel dim: of the smallest stride, if that is not the axis
  int64_t panels, units, tasks;
  int32_t exclusive, product, dtype;
};

template <typename T, typename W, bool kProduct>
void run_panel(const RunningBound& b, const T* x, T* y, int64_t n) {
  W sum[kPanelColumns];
  for (int64_t i = 0; i < n; ++i) sum[i] = kProduct ? 1 : 0;
  const int64_t sx = b.inner_step[0], sy = b.inner_step[1];
  for (int64_t r = 0; r < b.length; ++r, x += b.step[0], y += b.step[1]) {
    for (int64_t i = 0; i < n; ++i) {
      const W before = sum[i], t = static_cast<W>(x[i * sx]);
      sum[i] = kProduct ? before * t : before + t;
      y[i * sy] = static_cast<T>(b.exclusive ? before : sum[i]);
    }
  }
}

template <typename T, typename W>
int32_t run_units(const RunningBound& b, const void* from_x, void* to_y, int64_t from, int64_t to) {
  const T* x = static_cast<const T*>(from_x);
  T* y = static_cast<T*>(to_y);
  for (int64_t unit = from; unit < to; ++unit) {
    Cursor<2> c;
    walk_seek(b.lines, unit / b.panels, &c);
    const int64_t first = unit % b.panels * kPanelColumns, n = min64(kPanelColumns, b.inner - first);
    const T* px = x + c.offset[0] + first * b.inner_step[0];
    T* py = y + c.offset[1] + first * b.inner_step[1];
    if (b.product)
      run_panel<T, W, true>(b, px, py, n);
    else
      run_panel<T, W, false>(b, px, py, n);
  }
  return ARN_OK;
}

int32_t running_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                      const arn_state* state) {
  const RunningBound& b = *static_cast<const RunningBound*>(bound);
  // A walk from the last element to the first starts there, with the strides turned round by bind.
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    switch (b.dtype) {
      case ARN_F32:
        return run_units<float, double>(b, operand[0], operand[1], from, to);
      case ARN_F64:
        return run_units<double, double>(b, operand[0], operand[1], from, to);
      case ARN_I32:
      case ARN_U32:
        return run_units<uint32_t, uint32_t>(b, operand[0], operand[1], from, to);
      default:
        return run_units<uint64_t, uint64_t>(b, operand[0], operand[1], from, to);
    }
  });
}

// The same, from the end: the walk's operands are addressed at the last element of each line.
struct ReversedBound {
  RunningBound base;
  int64_t last[2];  // offset of the last element of a line, in bytes
};

int32_t reversed_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void* step, void* thread,
                       const arn_state* state) {
  const ReversedBound& b = *static_cast<const ReversedBound*>(bound);
  void* const moved[2] = {static_cast<char*>(operand[0]) + b.last[0], static_cast<char*>(operand[1]) + b.last[1]};
  return running_tasks(&b.base, moved, begin, end, step, thread, state);
}

int32_t bind_running(const arn_bind_args* args, bool product, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_running_params*>(args->params);
  const arn_desc &x = args->operand[0], &y = args->operand[1];
  if (!same_dims(x, y) || x.dtype != y.dtype || p->axis < 0 || p->axis >= x.rank) return ARN_SHAPE_MISMATCH;
  ReversedBound* r = static_cast<ReversedBound*>(bound);
  RunningBound* b = &r->base;
  walk_clear(&b->lines);
  for (int i = 0; i < x.rank; ++i)
    if (i != p->axis) walk_push(&b->lines, x.dims[i], {x.strides[i], y.strides[i]});
  walk_sort(&b->lines, 0);
  b->length = x.dims[p->axis];
  b->step[0] = x.strides[p->axis];
  b->step[1] = y.strides[p->axis];
  b->inner = 1;
  b->inner_step[0] = b->inner_step[1] = 1;
  const int k = b->lines.rank - 1;
  if (k >= 0 && __builtin_llabs(b->lines.step[0][k]) < __builtin_llabs(b->step[0])) {
    b->inner = b->lines.dims[k];
    for (int i = 0; i < 2; ++i) b->inner_step[i] = b->lines.step[i][k];
    walk_remove(&b->lines, k);
  }
  b->exclusive = p->exclusive != 0;
  b->product = product;
  b->dtype = x.dtype;
  b->panels = ceil_div(b->inner, kPanelColumns);
  b->units = element_count(x) == 0 ? 0 : walk_count(b->lines) * b->panels;
  b->tasks = tasks_for(b->units, element_count(x) * element_bytes(x.dtype));
  if (p->reverse == 0) return bind_done(out, running_tasks, b->tasks, sizeof(RunningBound), "forward");
  for (int i = 0; i < 2; ++i) {
    r->last[i] = max64(0, b->length - 1) * b->step[i] * element_bytes(x.dtype);
    b->step[i] = -b->step[i];
  }
  return bind_done(out, reversed_tasks, b->tasks, sizeof(ReversedBound), "reverse");
}

struct RangeBound {
  int64_t count, step, tasks;
  int32_t dtype;
};

// W holds start + i * delta without rounding it more than once.
template <typename T, typename W>
int32_t count_up(const RangeBound& b, void* const* operand, int64_t from, int64_t to) {
  const W start = static_cast<W>(*static_cast<const T*>(operand[0]));
  const W delta = static_cast<W>(*static_cast<const T*>(operand[1]));
  T* out = static_cast<T*>(operand[2]);
  for (int64_t i = from; i < to; ++i) out[i * b.step] = static_cast<T>(start + static_cast<W>(i) * delta);
  return ARN_OK;
}

int32_t range_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                    const arn_state* state) {
  const RangeBound& b = *static_cast<const RangeBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.count, state, [&](int64_t from, int64_t to) {
    switch (b.dtype) {
      case ARN_F32:
        return count_up<float, double>(b, operand, from, to);
      case ARN_F64:
        return count_up<double, double>(b, operand, from, to);
      case ARN_I16:
        return count_up<uint16_t, uint32_t>(b, operand, from, to);
      case ARN_I32:
        return count_up<uint32_t, uint32_t>(b, operand, from, to);
      default:
        return count_up<uint64_t, uint64_t>(b, operand, from, to);
    }
  });
}

struct CountBound {
  int32_t dtype;
};

template <typename T>
int32_t count_floats(const void* start, const void* limit, const void* delta, int64_t* count) {
  const double from = static_cast<double>(*static_cast<const T*>(start));
  const double to = static_cast<double>(*static_cast<const T*>(limit));
  const double n = __builtin_ceil((to - from) / static_cast<double>(*static_cast<const T*>(delta)));
  if (__builtin_isnan(n) || *static_cast<const T*>(delta) == 0) return ARN_BAD_VALUE;
  if (n > 9.0e18) return ARN_OVERFLOW;
  *count = n > 0 ? static_cast<int64_t>(n) : 0;
  return ARN_OK;
}

template <typename T>
int32_t count_ints(const void* start, const void* limit, const void* delta, int64_t* count) {
  const __int128 span = static_cast<__int128>(*static_cast<const T*>(limit)) - *static_cast<const T*>(start);
  const __int128 step = *static_cast<const T*>(delta);
  if (step == 0) return ARN_BAD_VALUE;
  const __int128 n = span / step + ((span % step != 0 && (span > 0) == (step > 0)) ? 1 : 0);
  if (n > INT64_MAX) return ARN_OVERFLOW;
  *count = n > 0 ? static_cast<int64_t>(n) : 0;
  return ARN_OK;
}

int32_t count_task(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state* state) {
  const CountBound& b = *static_cast<const CountBound*>(bound);
  const auto count = b.dtype == ARN_F32   ? count_floats<float>
                     : b.dtype == ARN_F64 ? count_floats<double>
                     : b.dtype == ARN_I16 ? count_ints<int16_t>
                     : b.dtype == ARN_I32 ? count_ints<int32_t>
                                          : count_ints<int64_t>;
  return for_tasks(begin, end, 1, 1, state, [&](int64_t, int64_t) {
    return count(operand[0], operand[1], operand[2], static_cast<int64_t*>(operand[3]));
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(cum_sum) { return ARN_NS::bind_running(args, false, out, bound); }
ARN_DEFINE_BIND(cum_prod) { return ARN_NS::bind_running(args, true, out, bound); }

ARN_DEFINE_BIND(range_row) {
  using namespace ARN_NS;
  const arn_desc &start = args->operand[0], &delta = args->operand[1], &to = args->operand[2];
  if (to.rank != 1 || element_count(start) != 1 || element_count(delta) != 1) return ARN_SHAPE_MISMATCH;
  if (start.dtype != to.dtype || delta.dtype != to.dtype) return ARN_SHAPE_MISMATCH;
  RangeBound* b = static_cast<RangeBound*>(bound);
  b->count = to.dims[0];
  b->step = to.strides[0];
  b->dtype = to.dtype;
  b->tasks = tasks_for(b->count, b->count * element_bytes(to.dtype));
  return bind_done(out, range_tasks, b->tasks, sizeof(RangeBound), "range");
}

ARN_DEFINE_BIND(range_count) {
  using namespace ARN_NS;
  CountBound* b = static_cast<CountBound*>(bound);
  b->dtype = args->operand[0].dtype;
  for (int i = 0; i < 4; ++i)
    if (element_count(args->operand[i]) != 1 || (i < 3 && args->operand[i].dtype != b->dtype))
      return ARN_SHAPE_MISMATCH;
  return bind_done(out, count_task, 1, sizeof(CountBound), "count");
}
#endif
