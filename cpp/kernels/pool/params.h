// MaxPool, AveragePool, LpPool: `spatial` (1 to 3) of each list are in use. pads are the op's own, begins then ends;
// the output's dims are given, with ceil_mode already applied, so the last window may reach past the padding.
// AveragePool: count_include_pad counts taps that lie in the padding (never past it). MaxPool: storage_order 1 numbers
// the indices with the first spatial axis fastest. LpPool: p is 1 or 2.
#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_pool_params,
  (int64_t, spatial), (int64_t, kernel, [3]), (int64_t, strides, [3]), (int64_t, dilations, [3]), (int64_t, pads, [6]),
  (int64_t, count_include_pad), (int64_t, storage_order), (int64_t, p));
