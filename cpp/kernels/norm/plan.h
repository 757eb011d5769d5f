// How every normalisation over a set of axes is walked. Operands are named by role; each has strides over the dims of
// x, 0 where it is broadcast.
#pragma once

#include "kernels/norm/params.h"
#include "kernels/walk.h"

namespace ARN_NS {

// Residual: t = x + residual is normalised in x's place; Sum: an output that holds t. Mean and Inverse: outputs of the
// statistics, extent 1 on the normalised axes.
enum NormRole { kX, kY, kResidual, kSum, kScale, kBias, kMean, kInverse, kNormRoles };

enum NormKind : int32_t {
  kNormLayer,  // (t - mean) / sqrt(var + epsilon)
  kNormRms,    // t / sqrt(mean(t^2) + epsilon)
  kNormL1,     // t / sum|t|, 0 where that is 0
  kNormL2,     // t / sqrt(sum t^2), 0 where that is 0
};

struct NormShape {
  int64_t dims[ARN_MAX_RANK];
  int64_t stride[kNormRoles][ARN_MAX_RANK];  // in elements
  int32_t rank;
  int32_t slot[kNormRoles];  // index into the step's operands, -1: absent
};

// As in ReduceSpace: by rows where x's smallest stride is normalised, by columns where it is kept. Where rows are short
// and lie end to end (channels of a group, channels last), a panel of `group` of them is one line of columns
// ("groups").
enum NormWalk : int32_t { kNormByRows, kNormByColumns, kNormByGroups };
constexpr int64_t kNormLine = 256;  // columns of a panel of groups, at most
constexpr int64_t kShortRow = 48;

struct NormBound {
  Walk<kNormRoles> kept;            // without the column dim
  Walk<kNormRoles> over;            // the normalised dims, without the run dim
  int64_t inner, step[kNormRoles];  // extent and strides of the run (rows) or column dim
  int64_t count, folds;             // elements under one statistic; runs (rows) or elements (columns) of them
  int64_t panels, units, tasks;
  double epsilon;
  int32_t slot[kNormRoles];
  NormKind kind;
  NormWalk walk;
  int64_t groups, group_step[kNormRoles];  // by groups: the kept dim of rows lying end to end
  int64_t group;                           // rows of it in one panel
};

static inline void norm_clear(NormShape* s) {
  s->rank = 0;
  for (int r = 0; r < kNormRoles; ++r) {
    s->slot[r] = -1;
    for (int i = 0; i < ARN_MAX_RANK; ++i) s->stride[r][i] = 0;
  }
}

static inline void norm_x(const arn_desc& d, NormShape* s) {
  s->rank = d.rank;
  for (int i = 0; i < d.rank; ++i) {
    s->dims[i] = d.dims[i];
    s->stride[kX][i] = d.strides[i];
  }
  s->slot[kX] = 0;
}

// Operand `slot`, if there is one, in that role; broadcast to x by numpy's rule. Only inputs may broadcast, statistics
// have extent 1 on the axes of `folded`.
static inline bool norm_operand(const arn_bind_args* args, int slot, NormRole role, int64_t folded, NormShape* s) {
  if (slot >= args->n_in + args->n_out || args->operand[slot].dtype == ARN_NONE) return true;
  const arn_desc& d = args->operand[slot];
  s->slot[role] = slot;
  const int lead = s->rank - d.rank;
  const bool exact = role == kY || role == kSum || role == kMean || role == kInverse;
  if (lead < 0 || (exact && lead != 0)) return false;
  for (int i = 0; i < d.rank; ++i) {
    const int64_t n = (folded >> (lead + i)) & 1 ? 1 : s->dims[lead + i];
    if (d.dims[i] != n && (exact || d.dims[i] != 1)) return false;
    s->stride[role][lead + i] = d.dims[i] == 1 ? 0 : d.strides[i];
  }
  return true;
}

// Takes the innermost kept dim as groups if its rows lie end to end in every full operand and neither scale nor bias
// varies outside a panel's line.
static inline void plan_groups(NormBound* b) {
  const int k = b->kept.rank - 1;
  if (k < 0 || !ARN_CHOICE("norm/groups", b->inner < kShortRow)) return;
  for (int r = 0; r < kNormRoles; ++r) {
    const bool full = r == kX || r == kY || r == kResidual || r == kSum;
    if (!full || b->slot[r] < 0) continue;
    if (b->step[r] != 1 && b->inner > 1) return;
    if (b->kept.step[r][k] != b->inner) return;
  }
  for (int i = 0; i < b->over.rank; ++i)
    if (b->over.step[kScale][i] != 0 || b->over.step[kBias][i] != 0) return;
  b->walk = kNormByGroups;
  b->groups = b->kept.dims[k];
  for (int r = 0; r < kNormRoles; ++r) b->group_step[r] = b->kept.step[r][k];
  b->group = kNormLine / b->inner;
  b->panels = ceil_div(b->groups, b->group);
  walk_remove(&b->kept, k);
}

static inline int32_t plan_norm(const NormShape& s, int64_t axes, NormKind kind, double epsilon, int64_t panel,
                                int64_t bytes, NormBound* b) {
  walk_clear(&b->kept);
  walk_clear(&b->over);
  b->count = 1;
  b->kind = kind;
  b->epsilon = epsilon;
  int64_t total = 1;
  for (int r = 0; r < kNormRoles; ++r) b->slot[r] = s.slot[r];
  for (int i = 0; i < s.rank; ++i) {
    int64_t step[kNormRoles];
    for (int r = 0; r < kNormRoles; ++r) step[r] = s.stride[r][i];
    const bool fold = (axes >> i) & 1;
    walk_push(fold ? &b->over : &b->kept, s.dims[i], step);
    if (fold) b->count *= s.dims[i];
    total *= s.dims[i];
  }
  walk_sort(&b->kept, kX);
  walk_sort(&b->over, kX);
  const int k = b->kept.rank - 1, r = b->over.rank - 1;
  const bool columns =
      k >= 0 && r >= 0 &&
      ARN_CHOICE("norm/columns", __builtin_llabs(b->kept.step[kX][k]) < __builtin_llabs(b->over.step[kX][r]));
  b->walk = columns ? kNormByColumns : kNormByRows;
  Walk<kNormRoles>* w = columns ? &b->kept : &b->over;
  const int dim = w->rank - 1;
  b->inner = dim < 0 ? 1 : w->dims[dim];
  for (int i = 0; i < kNormRoles; ++i) b->step[i] = dim < 0 ? 1 : w->step[i][dim];
  if (dim >= 0) walk_remove(w, dim);
  b->folds = walk_count(b->over);
  b->panels = columns ? ceil_div(b->inner, panel) : 1;
  if (!columns && total > 0) plan_groups(b);
  b->units = total == 0 ? 0 : walk_count(b->kept) * b->panels;
  b->tasks = tasks_for(b->units, total * bytes);
  return ARN_OK;
}

}  // namespace ARN_NS
