#include "kernels/reduce/reduce.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(reduce_f64) {
  using namespace ARN_NS;
  return bind_reduce<double>(args, out, bound, reduce_tasks<double, reduce_range<double>>);
}
#endif
