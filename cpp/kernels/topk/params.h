#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_top_k_params,
  (int64_t, axis),      // 0 <= axis < rank
  (int64_t, largest));  // 0: the smallest
