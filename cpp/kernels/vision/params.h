#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_nms_params,
  (int64_t, centered));  // boxes are (centre, size), else two opposite corners

ARN_PARAMS(arn_roi_align_params,
  (int64_t, half_pixel),      // coordinates are shifted by half a pixel, and regions may be smaller than one
  (int64_t, maximum),         // of the weighted corners, else the mean of the samples
  (int64_t, sampling_ratio),  // samples along each axis of a bin; 0: as many as it spans pixels
  (double, spatial_scale));

ARN_ENUM(arn_grid_mode, ARN_GRID_LINEAR = 0, ARN_GRID_NEAREST = 1, ARN_GRID_CUBIC = 2);
ARN_ENUM(arn_grid_padding, ARN_GRID_ZEROS = 0, ARN_GRID_BORDER = 1, ARN_GRID_REFLECTION = 2);

ARN_PARAMS(arn_grid_sample_params,
  (int64_t, mode),     // ARN_GRID_*
  (int64_t, padding),  // ARN_GRID_*
  (int64_t, align_corners));

ARN_PARAMS(arn_max_roi_params,
  (double, spatial_scale));

ARN_PARAMS(arn_deform_params,
  (int64_t, groups),  // of channels that share offsets
  (int64_t, kernel, [2]), (int64_t, strides, [2]), (int64_t, dilations, [2]), (int64_t, pads, [2]));

ARN_PARAMS(arn_col2im_params,
  (int64_t, block, [3]), (int64_t, strides, [3]), (int64_t, dilations, [3]),
  (int64_t, pads, [6]));  // begins of all axes, then ends
