#pragma once

#include "contract.h"

enum { ARN_PAD_REFLECT = 0, ARN_PAD_EDGE = 1, ARN_PAD_WRAP = 2 };

typedef struct {
  int64_t mode;                 // ARN_PAD_*
  int64_t begin[ARN_MAX_RANK];  // by dim: elements put before x; negative: cut off
} arn_pad_params;
