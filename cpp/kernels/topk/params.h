#pragma once

#include <stdint.h>

typedef struct {
  int64_t axis;     // 0 <= axis < rank
  int64_t largest;  // 0: the smallest
} arn_top_k_params;
