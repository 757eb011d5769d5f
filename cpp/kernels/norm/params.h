#pragma once

#include "kernels/params.h"

// LayerNormalization, RMSNormalization
ARN_PARAMS(arn_layer_norm_params,
  (int64_t, axis),  // the first normalised axis, 0 <= axis < rank
  (double, epsilon));

// InstanceNormalization, BatchNormalization
ARN_PARAMS(arn_channel_norm_params,
  (double, epsilon));

ARN_PARAMS(arn_group_norm_params,
  (int64_t, num_groups),
  (double, epsilon));

ARN_PARAMS(arn_lp_norm_params,
  (int64_t, axis),  // 0 <= axis < rank
  (int64_t, p));  // 1 or 2

ARN_PARAMS(arn_lrn_params,
  (int64_t, size),
  (double, alpha), (double, beta), (double, bias));
