// How softmax walks its lines: one at a time where the axis has the smallest stride of x ("rows"), a panel of
// neighbouring lines together where another dim has it, or where lines are very short ("columns").
#pragma once

#include "kernels/softmax/params.h"
#include "kernels/walk.h"

namespace ARN_NS {

enum SoftmaxRole { kSoftX, kSoftY, kSoftMask, kSoftRoles };

constexpr int64_t kShort = 6;  // lines of so few elements fill vectors better side by side

struct SoftmaxBound {
  Walk<kSoftRoles> kept;  // lines; without the column dim
  int64_t length, axis_step[kSoftRoles];
  int64_t inner, inner_step[kSoftRoles];  // the column dim
  int64_t panels, units, tasks;
  double scale;
  int32_t slot[kSoftRoles];  // index into the step's operands, -1: absent
  int32_t columns, log;
};

static inline int32_t plan_softmax(const arn_bind_args* args, bool log, int64_t panel, int64_t bytes, SoftmaxBound* b) {
  const auto* p = static_cast<const arn_softmax_params*>(args->params);
  const int out = args->n_in;
  const arn_desc &x = args->operand[0], &y = args->operand[out];
  if (p->axis < 0 || p->axis >= x.rank || !same_dims(x, y)) return ARN_SHAPE_MISMATCH;
  b->slot[kSoftX] = 0;
  b->slot[kSoftY] = out;
  b->slot[kSoftMask] = out > 1 && args->operand[1].dtype != ARN_NONE ? 1 : -1;
  b->scale = p->scale == 0 ? 1 : p->scale;
  b->log = log;
  b->columns = 0;
  walk_clear(&b->kept);
  const bool masked = b->slot[kSoftMask] >= 0;
  if (masked && args->operand[1].rank > x.rank) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < x.rank; ++i) {
    int64_t step[kSoftRoles] = {x.strides[i], y.strides[i], 0};
    const int at = masked ? i - x.rank + args->operand[1].rank : -1;
    if (at >= 0) {
      const arn_desc& mask = args->operand[1];
      if (mask.dims[at] != 1 && mask.dims[at] != x.dims[i]) return ARN_SHAPE_MISMATCH;
      step[kSoftMask] = mask.dims[at] == 1 ? 0 : mask.strides[at];
    }
    if (i != p->axis) {
      walk_push(&b->kept, x.dims[i], step);
      continue;
    }
    b->length = x.dims[i];
    for (int r = 0; r < kSoftRoles; ++r) b->axis_step[r] = step[r];
  }
  walk_sort(&b->kept, kSoftX);
  const int k = b->kept.rank - 1;
  b->inner = 1;
  for (int r = 0; r < kSoftRoles; ++r) b->inner_step[r] = 0;
  const int64_t nearest = k < 0 ? 0 : __builtin_llabs(b->kept.step[kSoftX][k]);
  const bool across = nearest < __builtin_llabs(b->axis_step[kSoftX]);
  const bool shorter = b->length <= kShort && k >= 0 && b->kept.dims[k] >= panel;
  if (panel > 1 && b->length > 1 && k >= 0 && ARN_CHOICE("softmax/columns", across || shorter)) {
    b->columns = 1;
    b->inner = b->kept.dims[k];
    for (int r = 0; r < kSoftRoles; ++r) b->inner_step[r] = b->kept.step[r][k];
    walk_remove(&b->kept, k);
  }
  b->panels = b->columns ? ceil_div(b->inner, panel) : 1;
  b->units = element_count(x) == 0 ? 0 : walk_count(b->kept) * b->panels;
  b->tasks = tasks_for(b->units, element_count(x) * bytes * 4);
  return ARN_OK;
}

}  // namespace ARN_NS
