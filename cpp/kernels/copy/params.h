#pragma once

#include <stdint.h>

typedef struct {
  int64_t bits[2];  // one element's bytes, little-endian, in its first bytes
} arn_fill_params;
