// MatMul: out = alpha * op(A) op(B) + beta * C over the last two dims; leading dims broadcast as in numpy. op
// transposes the last two dims when its flag is set.
#pragma once

#include "contract.h"

typedef struct {
  int64_t trans_a, trans_b;
  double alpha, beta;
} arn_matmul_params;
