// Det: determinants of square matrices, by elimination with row pivots in f64.
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

struct DetBound {
  Walk<2> matrices;  // x, y; in elements
  int64_t n, row, column, units, tasks;
};

// The matrix [n, n] is overwritten.
double determinant(double* a, int64_t n) {
  double product = 1.0;
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t i = k + 1; i < n; ++i)
      if (__builtin_fabs(a[i * n + k]) > __builtin_fabs(a[pivot * n + k])) pivot = i;
    const double head = a[pivot * n + k];
    if (head == 0) return head - head;  // a column of zeros
    if (pivot != k) {
      product = -product;
      for (int64_t j = k; j < n; ++j) {
        const double swap = a[k * n + j];
        a[k * n + j] = a[pivot * n + j];
        a[pivot * n + j] = swap;
      }
    }
    product *= head;
    for (int64_t i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / head;
      for (int64_t j = k + 1; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
    }
  }
  return product;
}

template <typename T>
int32_t det_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                  const arn_state* state) {
  const DetBound& b = *static_cast<const DetBound*>(bound);
  double* const a = static_cast<double*>(scratch);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    Cursor<2> c;
    walk_seek(b.matrices, from, &c);
    for (int64_t unit = from; unit < to; ++unit) {
      const T* x = static_cast<const T*>(operand[0]) + c.offset[0];
      for (int64_t i = 0; i < b.n; ++i)
        for (int64_t j = 0; j < b.n; ++j) a[i * b.n + j] = static_cast<double>(x[i * b.row + j * b.column]);
      static_cast<T*>(operand[1])[c.offset[1]] = static_cast<T>(determinant(a, b.n));
      walk_next(b.matrices, &c);
    }
    return ARN_OK;
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(det) {
  using namespace ARN_NS;
  const arn_desc &x = args->operand[0], &y = args->operand[1];
  const int lead = x.rank - 2;
  if (lead < 0 || y.rank != lead || y.dtype != x.dtype || x.dims[lead] != x.dims[lead + 1]) return ARN_SHAPE_MISMATCH;
  DetBound* b = static_cast<DetBound*>(bound);
  walk_clear(&b->matrices);
  for (int i = 0; i < lead; ++i) {
    if (y.dims[i] != x.dims[i]) return ARN_SHAPE_MISMATCH;
    walk_push(&b->matrices, x.dims[i], {x.strides[i], y.strides[i]});
  }
  b->n = x.dims[lead];
  b->row = x.strides[lead];
  b->column = x.strides[lead + 1];
  b->units = element_count(y);
  int64_t cells = 0;
  if (__builtin_mul_overflow(b->n, b->n, &cells) || cells > INT64_MAX / 1024) return ARN_OVERFLOW;
  b->tasks = tasks_for(b->units, element_count(x) * (8 + min64(b->n, 1024)));
  bind_done(out, x.dtype == ARN_F32 ? det_tasks<float> : det_tasks<double>, b->tasks, sizeof(DetBound), "eliminate");
  out->thread_scratch = cells * static_cast<int64_t>(sizeof(double));
  return ARN_OK;
}
#endif
