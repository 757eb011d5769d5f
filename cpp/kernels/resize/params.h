#pragma once

#include "kernels/params.h"

ARN_ENUM(arn_resize_mode, ARN_RESIZE_NEAREST = 0, ARN_RESIZE_LINEAR = 1, ARN_RESIZE_CUBIC = 2);
ARN_ENUM(arn_resize_coordinates,
  ARN_RESIZE_HALF_PIXEL = 0,
  ARN_RESIZE_HALF_PIXEL_SYMMETRIC = 1,
  ARN_RESIZE_PYTORCH_HALF_PIXEL = 2,
  ARN_RESIZE_ALIGN_CORNERS = 3,
  ARN_RESIZE_ASYMMETRIC = 4,
  ARN_RESIZE_TF_CROP_AND_RESIZE = 5);
ARN_ENUM(arn_resize_rounding,
  ARN_RESIZE_PREFER_FLOOR = 0, ARN_RESIZE_PREFER_CEIL = 1, ARN_RESIZE_FLOOR = 2, ARN_RESIZE_CEIL = 3);

ARN_PARAMS(arn_resize_params,
  (int64_t, mode), (int64_t, coordinates), (int64_t, rounding),  // rounding: of nearest
  (int64_t, antialias), (int64_t, exclude_outside),
  (double, cubic_coeff_a), (double, extrapolation_value),
  (double, scales, [ARN_MAX_RANK]),     // by dim of x; 0: output extent / input extent
  (double, roi_begin, [ARN_MAX_RANK]),  // by dim, of tf_crop_and_resize, in units of the extent
  (double, roi_end, [ARN_MAX_RANK]),
  // By dim: 1 + the index of its scale in the operand of scales; 0: it is in `scales`.
  (int64_t, fed, [ARN_MAX_RANK]));

ARN_PARAMS(arn_resize_sizes_params,
  (int64_t, extents, [ARN_MAX_RANK]));  // of x along the axes that the scales belong to
