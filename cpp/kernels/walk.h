// Walking several strided operands together: dims merged where every operand walks them as one, and an odometer over
// what is left. Strides and offsets are in the unit the caller chose (bytes or elements).
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

template <int N>
struct Walk {
  int64_t dims[ARN_MAX_RANK];     // outermost first, all > 1 (or 0)
  int64_t step[N][ARN_MAX_RANK];  // stride of operand k along dim i
  int32_t rank;
};

template <int N>
struct Cursor {
  int64_t at[ARN_MAX_RANK];
  int64_t offset[N];
};

template <int N>
static inline void walk_clear(Walk<N>* w) {
  w->rank = 0;
}

// Appends an innermost dim. Extent 1 is dropped; a dim that continues the previous one on every operand is merged.
template <int N>
static inline void walk_push(Walk<N>* w, int64_t n, const int64_t (&step)[N]) {
  if (n == 1) return;
  bool merge = w->rank > 0;
  for (int k = 0; k < N && merge; ++k) merge = w->step[k][w->rank - 1] == step[k] * n;
  const int at = merge ? w->rank - 1 : w->rank++;
  w->dims[at] = merge ? w->dims[at] * n : n;
  for (int k = 0; k < N; ++k) w->step[k][at] = step[k];
}

template <int N>
static inline void walk_remove(Walk<N>* w, int dim) {
  for (int i = dim + 1; i < w->rank; ++i) {
    w->dims[i - 1] = w->dims[i];
    for (int k = 0; k < N; ++k) w->step[k][i - 1] = w->step[k][i];
  }
  --w->rank;
}

template <int N>
static inline int64_t walk_count(const Walk<N>& w) {
  int64_t n = 1;
  for (int i = 0; i < w.rank; ++i) n *= w.dims[i];
  return n;
}

// Sorts dims by the magnitude of operand `key`'s stride, largest outermost (stable), and merges neighbours again. The
// order of iteration changes, so only for walks whose elements are independent or whose order is free by contract.
template <int N>
static inline void walk_sort(Walk<N>* w, int key) {
  const Walk<N> from = *w;
  int order[ARN_MAX_RANK];
  for (int i = 0; i < from.rank; ++i) {
    int at = i;
    const int64_t size = __builtin_llabs(from.step[key][i]);
    for (; at > 0 && __builtin_llabs(from.step[key][order[at - 1]]) < size; --at) order[at] = order[at - 1];
    order[at] = i;
  }
  walk_clear(w);
  for (int i = 0; i < from.rank; ++i) {
    int64_t step[N];
    for (int k = 0; k < N; ++k) step[k] = from.step[k][order[i]];
    walk_push(w, from.dims[order[i]], step);
  }
}

template <int N>
static inline void walk_seek(const Walk<N>& w, int64_t index, Cursor<N>* c) {
  for (int k = 0; k < N; ++k) c->offset[k] = 0;
  for (int i = w.rank - 1; i >= 0; --i) {
    c->at[i] = 0;
    if (index == 0) continue;  // nothing to divide, by dims that may be 0
    const int64_t at = w.rank == 1 ? index : index % w.dims[i];
    index /= w.dims[i];
    c->at[i] = at;
    for (int k = 0; k < N; ++k) c->offset[k] += at * w.step[k][i];
  }
}

template <int N>
static inline void walk_next(const Walk<N>& w, Cursor<N>* c) {
  for (int i = w.rank - 1; i >= 0; --i) {
    if (++c->at[i] < w.dims[i]) {
      for (int k = 0; k < N; ++k) c->offset[k] += w.step[k][i];
      return;
    }
    for (int k = 0; k < N; ++k) c->offset[k] -= (w.dims[i] - 1) * w.step[k][i];
    c->at[i] = 0;
  }
}

// Runs f(first_unit, end_unit) -> status for each task of [begin, end), `units` being cut evenly over `tasks`; polls
// `stop` between tasks.
template <typename F>
static inline int32_t for_tasks(int64_t begin, int64_t end, int64_t tasks, int64_t units, const arn_state* state,
                                F&& f) {
  for (int64_t t = begin; t < end; ++t) {
    if (arn_stopped(state)) return ARN_CANCELLED;
    const int32_t status = f(task_begin(t, tasks, units), task_begin(t + 1, tasks, units));
    if (status != ARN_OK) return status;
  }
  return ARN_OK;
}

// How many tasks for `units` independent units that move or compute about `bytes` bytes in all.
static inline int64_t tasks_for(int64_t units, int64_t bytes) {
  constexpr int64_t kGrain = 64 << 10, kMost = 256;
  return units == 0 ? 0 : min64(units, task_count(bytes, kGrain, kMost));
}

static inline bool same_dims(const arn_desc& a, const arn_desc& b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; ++i)
    if (a.dims[i] != b.dims[i]) return false;
  return true;
}

// Fills what every bind fills alike. `bytes` is the size of the row's bound.
static inline int32_t bind_done(arn_bound* out, arn_run_fn run, int64_t tasks, int64_t bytes, const char* variant) {
  out->run = run;
  out->tasks = tasks;
  out->step_scratch = 0;
  out->thread_scratch = 0;
  out->bound_bytes = bytes;
  out->variant = variant;
  return ARN_OK;
}

}  // namespace ARN_NS
