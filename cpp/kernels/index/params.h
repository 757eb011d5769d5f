#pragma once

#include "kernels/params.h"

// CumSum, CumProd
ARN_PARAMS(arn_running_params,
  (int64_t, axis),       // 0 <= axis < rank
  (int64_t, exclusive),  // element i holds what comes before i
  (int64_t, reverse));  // from the last element to the first

ARN_PARAMS(arn_trilu_params,
  (int64_t, upper),  // 1: keeps column >= row + k, 0: column <= row + k
  (int64_t, k));

ARN_PARAMS(arn_one_hot_params,
  (int64_t, axis));  // of the output, 0 <= axis < rank

ARN_PARAMS(arn_reverse_sequence_params,
  (int64_t, batch_axis), (int64_t, time_axis));  // different

ARN_PARAMS(arn_unique_params,
  (int64_t, sorted));  // 0: in order of appearance
