#pragma once

#include "kernels/params.h"

ARN_ENUM(arn_draw_kind, ARN_DRAW_UNIFORM, ARN_DRAW_NORMAL);

ARN_PARAMS(arn_draw_params,
  (int64_t, kind),           // ARN_DRAW_*
  (int64_t, seeded),         // 1: every run draws the same numbers, those of the seed
  (int64_t, seed),
  (double, first),           // least number, or mean
  (double, second));  // width, or deviation
