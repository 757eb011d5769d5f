#pragma once

#include <stdint.h>

typedef struct {
  int64_t axis;  // 0 <= axis < rank
  double scale;  // x is multiplied by it first; 0 stands for 1
} arn_softmax_params;
