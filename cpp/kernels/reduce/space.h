// How an input's dims split into those an output keeps and those it reduces over, and how the kernel walks them.
#pragma once

#include "kernels/walk.h"

namespace ARN_NS {

// If the input's smallest stride lies in a reduced dim, each output folds whole runs of it ("rows"); if it lies in a
// kept dim, a panel of neighbouring outputs is folded together ("columns"). Strides count elements.
struct ReduceSpace {
  Walk<2> kept;                        // operand 0: input, 1: output; without the column dim
  Walk<1> reduced;                     // without the run dim
  int64_t inner, inner_in, inner_out;  // extent and strides of the run (rows) or of the column dim
  int64_t count;                       // elements folded into one output
  int64_t folds;                       // runs (rows) or elements (columns) folded into one output
  int32_t columns;
};

constexpr int64_t kShortRun = 16;

static inline int32_t plan_space(const arn_desc& in, const arn_desc& out, int64_t axes, ReduceSpace* s) {
  if (in.rank != out.rank) return ARN_SHAPE_MISMATCH;
  walk_clear(&s->kept);
  walk_clear(&s->reduced);
  s->count = 1;
  for (int i = 0; i < in.rank; ++i) {
    const bool reduce = (axes >> i) & 1;
    if (out.dims[i] != (reduce ? 1 : in.dims[i])) return ARN_SHAPE_MISMATCH;
    if (reduce) {
      walk_push(&s->reduced, in.dims[i], {in.strides[i]});
      s->count *= in.dims[i];
    } else {
      walk_push(&s->kept, in.dims[i], {in.strides[i], out.strides[i]});
    }
  }
  // The extent of the kept dim with the smallest stride, before merging: the choice must not depend on the output.
  int64_t neighbours = 1, nearest = INT64_MAX;
  for (int i = 0; i < in.rank; ++i) {
    const int64_t stride = __builtin_llabs(in.strides[i]);
    if (((axes >> i) & 1) || in.dims[i] == 1 || stride > nearest) continue;
    neighbours = in.dims[i];
    nearest = stride;
  }
  walk_sort(&s->kept, 0);
  walk_sort(&s->reduced, 0);
  s->inner = 1;
  s->inner_in = s->inner_out = 1;
  const int k = s->kept.rank - 1, r = s->reduced.rank - 1;
  // Runs much shorter than a vector are dearer than gathering neighbouring outputs.
  const bool nearer = r < 0 || (k >= 0 && __builtin_llabs(s->kept.step[0][k]) < __builtin_llabs(s->reduced.step[0][r]));
  const bool shorter = k >= 0 && r >= 0 && s->reduced.dims[r] < kShortRun && neighbours >= kShortRun;
  s->columns = k >= 0 && ARN_CHOICE("reduce/columns", nearer || shorter);
  if (s->columns) {
    s->inner = s->kept.dims[k];
    s->inner_in = s->kept.step[0][k];
    s->inner_out = s->kept.step[1][k];
    walk_remove(&s->kept, k);
  } else if (r >= 0) {
    s->inner = s->reduced.dims[r];
    s->inner_in = s->reduced.step[0][r];
    walk_remove(&s->reduced, r);
  }
  s->folds = walk_count(s->reduced);
  return ARN_OK;
}

}  // namespace ARN_NS
