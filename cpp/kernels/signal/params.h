#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_fft_params,
  (int64_t, length),   // of the transform: lines are cut, or padded with zeros
  (int64_t, inverse),  // 1: with the conjugate roots, divided by length
  (int64_t, half),     // forward: only bins 0 .. length / 2 are written; inverse: only they are given, the result is real
  (int64_t, power));  // forward, 1: of each bin the sum of its parts' squares is written
