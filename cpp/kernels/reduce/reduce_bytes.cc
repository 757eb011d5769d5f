// Bytes and booleans: extremes only. Any is the maximum of booleans, All the minimum.
#include "kernels/reduce/reduce.h"

#if ARN_TIER_LEVEL <= 1
namespace ARN_NS {
namespace {

int32_t kind_of(const arn_bind_args* args) {
  const int64_t kind = static_cast<const arn_reduce_params*>(args->params)->kind;
  const bool boolean = args->operand[0].dtype == ARN_BOOL;
  if (kind == ARN_REDUCE_MAX || (boolean && kind == ARN_REDUCE_ANY)) return ARN_REDUCE_MAX;
  if (kind == ARN_REDUCE_MIN || (boolean && kind == ARN_REDUCE_ALL)) return ARN_REDUCE_MIN;
  return -1;
}

template <typename T>
int32_t bind_extreme(const arn_bind_args* args, arn_bound* out, void* bound) {
  const int32_t kind = kind_of(args);
  if (kind < 0) return ARN_UNSUPPORTED;
  const int32_t status = bind_reduce<T>(args, out, bound, reduce_tasks<T, extreme_range<T>>);
  static_cast<ReduceBound*>(bound)->kind = kind;
  return status;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(reduce_u8) {
  using namespace ARN_NS;
  return bind_extreme<uint8_t>(args, out, bound);
}

ARN_DEFINE_BIND(reduce_i8) {
  using namespace ARN_NS;
  return bind_extreme<int8_t>(args, out, bound);
}
#endif
