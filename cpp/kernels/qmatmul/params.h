// QMatMul: op(A) op(B) over bytes in exact sums; op transposes the last two dims when its flag is set.
#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_qmatmul_params,
  (int64_t, trans_a), (int64_t, trans_b));
