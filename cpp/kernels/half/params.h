// HalfMatMul: as MatMul. rounded: operands become the nearest bfloat16 first.
#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_half_matmul_params,
  (int64_t, trans_a), (int64_t, trans_b), (double, alpha), (double, beta), (int64_t, rounded));
