#include "kernels/reduce/arg.h"

ARN_DEFINE_BIND(arg_f32) { return ARN_NS::bind_arg<float>(args, out, bound); }

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(arg_f64) { return ARN_NS::bind_arg<double>(args, out, bound); }
#endif
