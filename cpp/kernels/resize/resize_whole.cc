// Resize of integers, summed in f64: what lies halfway between two is rounded as exact sums would be.
#include "kernels/resize/interpolate.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(resize_whole) {
  using namespace ARN_NS;
  switch (args->operand[0].dtype) {
    case ARN_U8:
      return bind_resize<uint8_t, double>(args, out, bound);
    case ARN_I8:
      return bind_resize<int8_t, double>(args, out, bound);
    case ARN_U16:
      return bind_resize<uint16_t, double>(args, out, bound);
    case ARN_I16:
      return bind_resize<int16_t, double>(args, out, bound);
    case ARN_I32:
      return bind_resize<int32_t, double>(args, out, bound);
    case ARN_U32:
      return bind_resize<uint32_t, double>(args, out, bound);
    case ARN_I64:
      return bind_resize<int64_t, double>(args, out, bound);
    default:
      return bind_resize<uint64_t, double>(args, out, bound);
  }
}
#endif
