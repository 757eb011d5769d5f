#pragma once

#include <stdint.h>

typedef struct {
  int64_t axis;  // the first normalised axis, 0 <= axis < rank
  double epsilon;
} arn_layer_norm_params;  // LayerNormalization, RMSNormalization

typedef struct {
  double epsilon;
} arn_channel_norm_params;  // InstanceNormalization, BatchNormalization

typedef struct {
  int64_t num_groups;
  double epsilon;
} arn_group_norm_params;

typedef struct {
  int64_t axis;  // 0 <= axis < rank
  int64_t p;     // 1 or 2
} arn_lp_norm_params;

typedef struct {
  int64_t size;
  double alpha, beta, bias;
} arn_lrn_params;
