// QMatMul: op(A) op(B) over bytes in exact sums; op transposes the last two dims when its flag is set.
#pragma once

#include "contract.h"

typedef struct {
  int64_t trans_a, trans_b;
} arn_qmatmul_params;
