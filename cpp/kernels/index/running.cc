// CumSum and CumProd.
#include "kernels/index/params.h"
#include "kernels/walk.h"

namespace ARN_NS {
namespace {

constexpr int64_t kPanelColumns = 256;  // neighbouring lines walked together

struct RunningBound {
  Walk<2> lines;  // operand 0: x, 1: y; in elements, without the panel dim
  int64_t length, step[2];
  int64_t inner, inner_step[2];  // the panel dim: of the smallest stride, if that is not the axis
  int64_t panels, units, tasks;
  int32_t exclusive, product, dtype;
};

// kDense: neighbouring lines lie side by side in x and y.
template <typename T, typename W, bool kProduct, bool kDense>
void run_panel(const RunningBound& b, const T* x, T* y, int64_t n) {
  W sum[kPanelColumns];
  for (int64_t i = 0; i < n; ++i) sum[i] = kProduct ? 1 : 0;
  const int64_t sx = kDense ? 1 : b.inner_step[0], sy = kDense ? 1 : b.inner_step[1];
  for (int64_t r = 0; r < b.length; ++r, x += b.step[0], y += b.step[1]) {
    // x and y are the same elements or none.
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
    for (int64_t i = 0; i < n; ++i) {
      const W before = sum[i], t = static_cast<W>(x[i * sx]);
      sum[i] = kProduct ? before * t : before + t;
      y[i * sy] = static_cast<T>(b.exclusive ? before : sum[i]);
    }
  }
}

// Four vectors of neighbouring lines, whose sums stay in registers.
template <typename T, typename W, bool kProduct>
void run_vectors(const RunningBound& b, const T* x, T* y) {
  constexpr int C = ARN_VECTOR_BYTES / sizeof(W);
  typedef W V __attribute__((vector_size(ARN_VECTOR_BYTES)));
  typedef T P __attribute__((vector_size(C * sizeof(T))));
  V sum[4];
  for (V& s : sum) s = V{} + (kProduct ? W(1) : W(0));
  for (int64_t r = 0; r < b.length; ++r, x += b.step[0], y += b.step[1]) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      P in;
      __builtin_memcpy(&in, x + k * C, sizeof(P));
      const V before = sum[k], t = __builtin_convertvector(in, V);
      sum[k] = kProduct ? before * t : before + t;
      const P to = __builtin_convertvector(b.exclusive ? before : sum[k], P);
      __builtin_memcpy(y + k * C, &to, sizeof(P));
    }
  }
}

template <typename T, typename W, bool kProduct>
void run_dense(const RunningBound& b, const T* x, T* y, int64_t n) {
  constexpr int64_t kAll = 4 * ARN_VECTOR_BYTES / static_cast<int64_t>(sizeof(W));
  int64_t i = 0;
  for (; i + kAll <= n; i += kAll) run_vectors<T, W, kProduct>(b, x + i, y + i);
  if (i < n) run_panel<T, W, kProduct, true>(b, x + i, y + i, n - i);
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
    const bool dense = b.inner_step[0] == 1 && b.inner_step[1] == 1;
    if (b.product)
      (dense ? run_dense<T, W, true> : run_panel<T, W, true, false>)(b, px, py, n);
    else
      (dense ? run_dense<T, W, false> : run_panel<T, W, false, false>)(b, px, py, n);
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

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(cum_sum) { return ARN_NS::bind_running(args, false, out, bound); }
ARN_DEFINE_BIND(cum_prod) { return ARN_NS::bind_running(args, true, out, bound); }
