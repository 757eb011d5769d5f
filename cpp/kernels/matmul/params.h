// MatMul: out = alpha * op(A) op(B) + beta * C over the last two dims; leading dims broadcast as in numpy. op
// transposes the last two dims when its flag is set.
#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_matmul_params,
  (int64_t, trans_a), (int64_t, trans_b),
  (double, alpha), (double, beta));
