#pragma once

#include <stdint.h>

enum { ARN_SCATTER_NONE = 0, ARN_SCATTER_ADD = 1, ARN_SCATTER_MUL = 2, ARN_SCATTER_MAX = 3, ARN_SCATTER_MIN = 4 };

typedef struct {
  int64_t axis;  // 0 <= axis < rank of data
} arn_gather_params;

typedef struct {
  int64_t batch_dims;
} arn_gather_nd_params;

typedef struct {
  int64_t axis;       // 0 <= axis < rank of output
  int64_t reduction;  // ARN_SCATTER_*
} arn_scatter_elements_params;

typedef struct {
  int64_t reduction;  // ARN_SCATTER_*
} arn_scatter_nd_params;

typedef struct {
  int64_t axis;      // 0 < axis < rank of output
  int64_t circular;  // positions are taken modulo the axis
} arn_tensor_scatter_params;
