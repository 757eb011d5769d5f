// Range, which counts up.
#include "kernels/index/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

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
