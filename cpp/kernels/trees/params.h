#pragma once

#include "kernels/params.h"

ARN_ENUM(arn_trees_aggregate, ARN_TREES_AVERAGE = 0, ARN_TREES_SUM = 1, ARN_TREES_MIN = 2, ARN_TREES_MAX = 3);

// How a node compares a feature with its split; the numbers are those of TreeEnsemble's nodes_modes.
ARN_ENUM(arn_trees_mode,
  ARN_TREES_LEQ = 0,
  ARN_TREES_LT = 1,
  ARN_TREES_GTE = 2,
  ARN_TREES_GT = 3,
  ARN_TREES_EQ = 4,
  ARN_TREES_NEQ = 5);

ARN_PARAMS(arn_trees_params,
  (int64_t, aggregate));  // ARN_TREES_*
