// Classes drawn by their unnormalised log-probabilities.
#include "kernels/random/params.h"
#include "kernels/walk.h"
#include "simd/math_double.h"

#if ARN_TIER_LEVEL <= 1

namespace ARN_NS {
namespace {

struct MultinomialBound {
  int64_t rows, classes, draws, x_step[2], tasks;
  int32_t from, to;
};

// Adds up exp(x - the largest x); ends has room for whole vectors.
template <typename T>
void add_up(const MultinomialBound& b, const T* x, double* ends) {
  double most = -__builtin_inf();
  for (int64_t i = 0; i < b.classes; ++i) {
    ends[i] = static_cast<double>(x[i * b.x_step[1]]);
    most = ends[i] > most ? ends[i] : most;
  }
  for (int64_t i = b.classes; i % kLanesF64 != 0; ++i) ends[i] = most;
  for (int64_t i = 0; i < b.classes; i += kLanesF64) {
    vf64u& at = *reinterpret_cast<vf64u*>(ends + i);
    const vf64 below = at - most, e = exp_double(below);
    at = below >= -708.0 ? e : splat_f64(0);  // as well where it is not a number
  }
  double total = 0;
  for (int64_t i = 0; i < b.classes; ++i) ends[i] = total += ends[i];
}

template <typename T, typename O>
int32_t draw_rows(const MultinomialBound& b, void* const* operand, int64_t from, int64_t to, double* ends) {
  const double* draws = static_cast<const double*>(operand[1]) + from * b.draws;
  O* y = static_cast<O*>(operand[2]) + from * b.draws;
  for (int64_t row = from; row < to; ++row, draws += b.draws, y += b.draws) {
    add_up(b, static_cast<const T*>(operand[0]) + row * b.x_step[0], ends);
    for (int64_t i = 0; i < b.draws; ++i) {
      const double at = draws[i] * ends[b.classes - 1];
      int64_t low = 0, count = b.classes;
      while (count > 0) {
        const int64_t half = count / 2;
        if (ends[low + half] <= at) {
          low += half + 1;
          count -= half + 1;
        } else {
          count = half;
        }
      }
      y[i] = static_cast<O>(min64(low, b.classes - 1));
    }
  }
  return ARN_OK;
}

int32_t multinomial_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                          const arn_state* state) {
  const MultinomialBound& b = *static_cast<const MultinomialBound*>(bound);
  double* ends = static_cast<double*>(scratch);
  return for_tasks(begin, end, b.tasks, b.rows, state, [&](int64_t from, int64_t to) {
    if (b.from == ARN_F32)
      return b.to == ARN_I32 ? draw_rows<float, int32_t>(b, operand, from, to, ends)
                             : draw_rows<float, int64_t>(b, operand, from, to, ends);
    return b.to == ARN_I32 ? draw_rows<double, int32_t>(b, operand, from, to, ends)
                           : draw_rows<double, int64_t>(b, operand, from, to, ends);
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(multinomial) {
  using namespace ARN_NS;
  const arn_desc &x = args->operand[0], &draws = args->operand[1], &y = args->operand[2];
  if (x.rank != 2 || !same_dims(draws, y) || y.rank != 2 || x.dims[0] != y.dims[0]) return ARN_SHAPE_MISMATCH;
  if (x.dims[1] < 1 && element_count(y) > 0) return ARN_BAD_VALUE;
  MultinomialBound* b = static_cast<MultinomialBound*>(bound);
  b->rows = element_count(y) > 0 ? x.dims[0] : 0;
  b->classes = x.dims[1];
  b->draws = y.dims[1];
  for (int i = 0; i < 2; ++i) b->x_step[i] = x.strides[i];
  b->from = x.dtype;
  b->to = y.dtype;
  b->tasks = tasks_for(b->rows, b->rows * (b->classes + b->draws) * 64);
  bind_done(out, multinomial_tasks, b->tasks, sizeof(MultinomialBound), "rows");
  out->thread_scratch = (b->classes + kLanesF64) * static_cast<int64_t>(sizeof(double));
  return ARN_OK;
}
#endif
