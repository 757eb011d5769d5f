// The rows Conv and ConvTranspose on f32.
#include "kernels/conv/depthwise.h"
#include "kernels/conv/entry.h"

ARN_DEFINE_BIND(conv_f32) {
  using namespace ARN_NS;
  return is_depthwise(args) ? depthwise_bind(args, out, bound) : conv_bind(args, false, out, bound);
}
ARN_DEFINE_PACK_BYTES(conv_f32) {
  using namespace ARN_NS;
  if (operand != 1) return 0;
  return is_depthwise(args) ? depthwise_pack_bytes(args) : conv_pack_bytes(args, false);
}
ARN_DEFINE_PACK(conv_f32) {
  using namespace ARN_NS;
  if (operand != 1) return;
  if (is_depthwise(args))
    depthwise_pack(args, static_cast<float*>(dst));
  else
    conv_pack(args, false, static_cast<float*>(dst));
}

ARN_DEFINE_BIND(conv_transpose_f32) { return ARN_NS::conv_bind(args, true, out, bound); }
ARN_DEFINE_PACK_BYTES(conv_transpose_f32) { return operand == 1 ? ARN_NS::conv_pack_bytes(args, true) : 0; }
ARN_DEFINE_PACK(conv_transpose_f32) {
  if (operand == 1) ARN_NS::conv_pack(args, true, static_cast<float*>(dst));
}
