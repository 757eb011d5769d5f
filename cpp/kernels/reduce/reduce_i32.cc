#include "kernels/reduce/reduce.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(reduce_i32) {
  using namespace ARN_NS;
  return bind_reduce<int32_t>(args, out, bound, reduce_tasks<int32_t, reduce_range<int32_t>>);
}
#endif
