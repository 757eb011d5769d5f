#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_rotary_params,
  (int64_t, width),         // how many elements of a head turn, even; the rest is copied
  (int64_t, interleaved));  // 1: elements 2i and 2i + 1 are a pair; 0: i and i + width / 2
