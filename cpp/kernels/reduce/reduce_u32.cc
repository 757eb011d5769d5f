#include "kernels/reduce/reduce.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(reduce_u32) {
  using namespace ARN_NS;
  return bind_reduce<uint32_t>(args, out, bound, reduce_tasks<uint32_t, reduce_range<uint32_t>>);
}
#endif
