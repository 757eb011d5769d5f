#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_softmax_params,
  (int64_t, axis),   // 0 <= axis < rank
  (double, scale));  // x is multiplied by it first; 0 stands for 1
