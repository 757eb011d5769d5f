#pragma once

#include "kernels/params.h"

ARN_ENUM(arn_scatter_reduction,
  ARN_SCATTER_NONE = 0, ARN_SCATTER_ADD = 1, ARN_SCATTER_MUL = 2, ARN_SCATTER_MAX = 3, ARN_SCATTER_MIN = 4);

ARN_PARAMS(arn_gather_params,
  (int64_t, axis));  // 0 <= axis < rank of data

ARN_PARAMS(arn_gather_nd_params,
  (int64_t, batch_dims));

ARN_PARAMS(arn_scatter_elements_params,
  (int64_t, axis),        // 0 <= axis < rank of output
  (int64_t, reduction));  // ARN_SCATTER_*

ARN_PARAMS(arn_scatter_nd_params,
  (int64_t, reduction));  // ARN_SCATTER_*

ARN_PARAMS(arn_tensor_scatter_params,
  (int64_t, axis),       // 0 < axis < rank of output
  (int64_t, circular));  // positions are taken modulo the axis
