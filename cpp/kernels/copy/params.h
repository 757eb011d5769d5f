#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_fill_params,
  (int64_t, bits, [2]));  // one element's bytes, little-endian, in its first bytes
