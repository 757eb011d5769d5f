// Tasks of several units: what kernels whose grid is a row of equal units have in common.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

// How many of `units` units, worth `work` together, make a task that is worth at least `least`.
static inline int64_t units_for_task(double work, int64_t units, double least) {
  const double each = work / static_cast<double>(max64(1, units));
  return each >= least ? 1 : static_cast<int64_t>(least / (each < 1 ? 1 : each)) + 1;
}

// Calls unit(u) for the units of tasks [begin, end), `per_task` of them each; polls `stop` between tasks.
template <typename Unit>
static inline int32_t for_units(int64_t begin, int64_t end, int64_t units, int64_t per_task, const arn_state* state,
                                Unit&& unit) {
  for (int64_t t = begin; t < end; ++t) {
    if (arn_stopped(state)) return ARN_CANCELLED;
    const int64_t last = min64(units, (t + 1) * per_task);
    for (int64_t u = t * per_task; u < last; ++u) unit(u);
  }
  return ARN_OK;
}

}  // namespace ARN_NS
