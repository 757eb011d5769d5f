#pragma once

#include "kernels/params.h"

ARN_ENUM(arn_reduce_kind,
  ARN_REDUCE_SUM = 0,
  ARN_REDUCE_MEAN = 1,
  ARN_REDUCE_MAX = 2,
  ARN_REDUCE_MIN = 3,
  ARN_REDUCE_PROD = 4,
  ARN_REDUCE_L1 = 5,
  ARN_REDUCE_L2 = 6,
  ARN_REDUCE_SUM_SQUARE = 7,
  ARN_REDUCE_LOG_SUM = 8,
  ARN_REDUCE_LOG_SUM_EXP = 9,
  ARN_REDUCE_ANY = 10,  // bool
  ARN_REDUCE_ALL = 11);  // bool

ARN_PARAMS(arn_reduce_params,
  (int64_t, kind),   // ARN_REDUCE_*
  (int64_t, axes));  // bit i: dim i of the input is reduced; the output has extent 1 there

ARN_PARAMS(arn_arg_reduce_params,
  (int64_t, axis),                // 0 <= axis < rank; the output has extent 1 there
  (int64_t, smallest),            // 0: ArgMax, 1: ArgMin
  (int64_t, select_last_index));  // among equals
