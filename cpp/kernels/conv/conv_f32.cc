// The rows Conv and ConvTranspose on f32.
#include "kernels/conv/depthwise/depthwise.h"
#include "kernels/conv/entry.h"
#include "kernels/conv/winograd/winograd.h"

ARN_DEFINE_BIND(conv_f32) {
  using namespace ARN_NS;
  if (is_depthwise(args)) return depthwise_bind(args, out, bound);
  if ((args->packed & 2u) != 0 && winograd_tile(args) != 0) return winograd_bind(args, out, bound);
  return conv_bind(args, false, out, bound);
}
ARN_DEFINE_PACK_BYTES(conv_f32) {
  using namespace ARN_NS;
  if (operand != 1) return 0;
  if (is_depthwise(args)) return depthwise_pack_bytes(args);
  return winograd_tile(args) != 0 ? winograd_pack_bytes(args) : conv_pack_bytes(args, false);
}
ARN_DEFINE_PACK(conv_f32) {
  using namespace ARN_NS;
  if (operand != 1) return;
  if (is_depthwise(args))
    depthwise_pack(args, static_cast<float*>(dst));
  else if (winograd_tile(args) != 0)
    winograd_pack(args, static_cast<float*>(dst));
  else
    conv_pack(args, false, static_cast<float*>(dst));
}

ARN_DEFINE_BIND(conv_transpose_f32) { return ARN_NS::conv_bind(args, true, out, bound); }
ARN_DEFINE_PACK_BYTES(conv_transpose_f32) { return operand == 1 ? ARN_NS::conv_pack_bytes(args, true) : 0; }
ARN_DEFINE_PACK(conv_transpose_f32) {
  if (operand == 1) ARN_NS::conv_pack(args, true, static_cast<float*>(dst));
}
