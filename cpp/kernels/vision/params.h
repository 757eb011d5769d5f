#pragma once

#include <stdint.h>

typedef struct {
  int64_t centered;  // boxes are (centre, size), else two opposite corners
} arn_nms_params;

typedef struct {
  int64_t half_pixel;      // coordinates are shifted by half a pixel, and regions may be smaller than one
  int64_t maximum;         // of the weighted corners, else the mean of the samples
  int64_t sampling_ratio;  // samples along each axis of a bin; 0: as many as it spans pixels
  double spatial_scale;
} arn_roi_align_params;

enum { ARN_GRID_LINEAR = 0, ARN_GRID_NEAREST = 1, ARN_GRID_CUBIC = 2 };
enum { ARN_GRID_ZEROS = 0, ARN_GRID_BORDER = 1, ARN_GRID_REFLECTION = 2 };

typedef struct {
  int64_t mode;     // ARN_GRID_*
  int64_t padding;  // ARN_GRID_*
  int64_t align_corners;
} arn_grid_sample_params;

typedef struct {
  double spatial_scale;
} arn_max_roi_params;

typedef struct {
  int64_t groups;  // of channels that share offsets
  int64_t kernel[2], strides[2], dilations[2], pads[2];
} arn_deform_params;
