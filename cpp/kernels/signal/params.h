#pragma once

#include <stdint.h>

typedef struct {
  int64_t length;   // of the transform: lines are cut, or padded with zeros
  int64_t inverse;  // 1: with the conjugate roots, divided by length
  int64_t half;     // forward: only bins 0 .. length / 2 are written; inverse: only they are given, the result is real
} arn_fft_params;
