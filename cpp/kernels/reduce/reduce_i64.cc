#include "kernels/reduce/reduce.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(reduce_i64) {
  using namespace ARN_NS;
  return bind_reduce<int64_t>(args, out, bound, reduce_tasks<int64_t, reduce_range<int64_t>>);
}
#endif
