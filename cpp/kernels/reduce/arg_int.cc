#include "kernels/reduce/arg.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(arg_i32) { return ARN_NS::bind_arg<int32_t>(args, out, bound); }
ARN_DEFINE_BIND(arg_i64) { return ARN_NS::bind_arg<int64_t>(args, out, bound); }
ARN_DEFINE_BIND(arg_i8) { return ARN_NS::bind_arg<int8_t>(args, out, bound); }
ARN_DEFINE_BIND(arg_u8) { return ARN_NS::bind_arg<uint8_t>(args, out, bound); }
#endif
