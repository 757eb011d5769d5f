// BlockMatMul: Y = A B^T, B being n columns of k weights of `bits` bits in blocks of `block` along k that share a
// scale.
#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_block_matmul_params,
  (int64_t, bits),       // 2, 3, 4 or 8
  (int64_t, block),      // a power of two, at least 16
  (int64_t, k), (int64_t, n),
  (int64_t, accuracy),  // 4: A may be rounded to 8 bits by block, or as below; else products are of f32
  (int64_t, rounded));  // 1: A and the weights may become the nearest bfloat16, weights at ties away from zero
