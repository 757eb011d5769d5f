// MatMul on f64 and on integers (modulo 2^32 and 2^64, so signed and unsigned share a row).
#include "kernels/matmul/matmul.h"

#define ARN_MATMUL(name, T)                                                           \
  ARN_DEFINE_BIND(name) { return ARN_NS::matmul_bind<T>(args, out, bound); }          \
  ARN_DEFINE_PACK_BYTES(name) { return ARN_NS::matmul_pack_bytes<T>(args, operand); } \
  ARN_DEFINE_PACK(name) {                                                             \
    if (operand == 1) ARN_NS::matmul_pack<T>(args, static_cast<T*>(dst));             \
  }
ARN_MATMUL(matmul_f64, double)
#if ARN_TIER_LEVEL <= 1
ARN_MATMUL(matmul_i32, uint32_t)
ARN_MATMUL(matmul_i64, uint64_t)
#endif
