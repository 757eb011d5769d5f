// MaxPool, AveragePool, LpPool: `spatial` (1 to 3) of each list are in use. pads are the op's own, begins then ends;
// the output's dims are given, with ceil_mode already applied, so the last window may reach past the padding.
// AveragePool: count_include_pad counts taps that lie in the padding (never past it). MaxPool: storage_order 1 numbers
// the indices with the first spatial axis fastest. LpPool: p is 1 or 2.
#pragma once

#include "contract.h"

typedef struct {
  int64_t spatial, kernel[3], strides[3], dilations[3], pads[6];
  int64_t count_include_pad, storage_order, p;
} arn_pool_params;
