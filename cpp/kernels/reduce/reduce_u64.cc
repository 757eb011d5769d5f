#include "kernels/reduce/reduce.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(reduce_u64) {
  using namespace ARN_NS;
  return bind_reduce<uint64_t>(args, out, bound, reduce_tasks<uint64_t, reduce_range<uint64_t>>);
}
#endif
