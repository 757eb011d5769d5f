#pragma once

#include "kernels/params.h"

ARN_ENUM(arn_pad_mode, ARN_PAD_REFLECT = 0, ARN_PAD_EDGE = 1, ARN_PAD_WRAP = 2);

ARN_PARAMS(arn_pad_params,
  (int64_t, mode),                    // ARN_PAD_*
  (int64_t, begin, [ARN_MAX_RANK]));  // by dim: elements put before x; negative: cut off
