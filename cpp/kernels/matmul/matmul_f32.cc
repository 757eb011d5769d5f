// MatMul on f32.
#include "kernels/matmul/matmul.h"

ARN_DEFINE_BIND(matmul_f32) { return ARN_NS::matmul_bind<float>(args, out, bound); }
ARN_DEFINE_PACK_BYTES(matmul_f32) { return ARN_NS::matmul_pack_bytes<float>(args, operand); }
ARN_DEFINE_PACK(matmul_f32) {
  if (operand == 1) ARN_NS::matmul_pack<float>(args, static_cast<float*>(dst));
}
