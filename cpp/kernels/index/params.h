#pragma once

#include <stdint.h>

typedef struct {
  int64_t axis;        // 0 <= axis < rank
  int64_t exclusive;   // element i holds what comes before i
  int64_t reverse;     // from the last element to the first
} arn_running_params;  // CumSum, CumProd

typedef struct {
  int64_t upper;  // 1: keeps column >= row + k, 0: column <= row + k
  int64_t k;
} arn_trilu_params;

typedef struct {
  int64_t axis;  // of the output, 0 <= axis < rank
} arn_one_hot_params;

typedef struct {
  int64_t batch_axis, time_axis;  // different
} arn_reverse_sequence_params;

typedef struct {
  int64_t sorted;  // 0: in order of appearance
} arn_unique_params;
