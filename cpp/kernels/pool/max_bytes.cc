// MaxPool of single bytes.
#include "kernels/pool/lines.h"

namespace ARN_NS {
namespace {

template <typename T>
int32_t byte_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  auto* b = cleared<PoolBound>(bound);
  const int32_t status = read_pool(args, b);
  if (status != ARN_OK) return status;
  b->by_channels = b->s.xc == 1 && b->s.yc == 1 && ARN_CHOICE("pool/channels", b->s.groups > 1);
  return plan_lines<MaxLine, T>(args, b, out);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(max_pool_u8) { return ARN_NS::byte_bind<uint8_t>(args, out, bound); }
ARN_DEFINE_BIND(max_pool_i8) { return ARN_NS::byte_bind<int8_t>(args, out, bound); }
