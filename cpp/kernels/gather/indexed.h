// What all gathers and scatters share: a table addressed through indices. For every position of `lead` the indices
// hold `depth` components; each is checked against its limit and selects a slice of the table, which `post` walks
// together with the slices on the other side (a gather's output, a scatter's updates). Strides are in bytes.
#pragma once

#include "kernels/copy/runs.h"
#include "kernels/gather/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0  // bound by memory: wider vectors move it no faster

namespace ARN_NS {

struct IndexedBound {
  Walk<3> lead;                                     // operand 0: table, 1: indices, 2: the other side
  Walk<2> post;                                     // operand 0: table, 1: the other side; without its innermost dim
  int64_t limit[ARN_MAX_RANK], step[ARN_MAX_RANK];  // of each component, in the table
  int64_t component;                                // stride between components, in the indices
  int64_t n, table_step, other_step;                // the innermost dim of post
  int64_t chunk, chunks;                            // elements of it in one unit, and units along it
  int64_t units, tasks;
  int32_t depth, bytes, wide_index;
  int32_t columns;           // gathers: all positions of the outer dim have the same few indices
  int32_t dtype, reduction;  // scatters
};

static inline int64_t load_index(const char* p, bool wide) { return wide ? get<int64_t>(p) : get<int32_t>(p); }

// The table offset that the components at `p` select; false when one is outside its dim. Negative ones count from the
// end.
static inline bool resolve(const IndexedBound& b, const char* p, int64_t* offset) {
  int64_t sum = 0;
  for (int d = 0; d < b.depth; ++d) {
    int64_t i = load_index(p + d * b.component, b.wide_index != 0);
    if (i < 0) i += b.limit[d];
    if (static_cast<uint64_t>(i) >= static_cast<uint64_t>(b.limit[d])) return false;
    sum += i * b.step[d];
  }
  *offset = sum;
  return true;
}

static inline void begin_plan(const arn_desc& table, const arn_desc& indices, IndexedBound* b) {
  walk_clear(&b->lead);
  walk_clear(&b->post);
  b->depth = 0;
  b->component = 0;
  b->bytes = static_cast<int32_t>(element_bytes(table.dtype));
  b->wide_index = indices.dtype == ARN_I64;
  b->dtype = table.dtype;
  b->reduction = ARN_SCATTER_NONE;
}

static inline void add_component(const arn_desc& table, int dim, IndexedBound* b) {
  b->limit[b->depth] = table.dims[dim];
  b->step[b->depth++] = table.strides[dim] * b->bytes;
}

// Dim `t` of the table is dim `o` of the other side: part of the slices.
static inline bool add_post(const arn_desc& table, int t, const arn_desc& other, int o, IndexedBound* b) {
  if (table.dims[t] != other.dims[o]) return false;
  walk_push(&b->post, table.dims[t], {table.strides[t] * b->bytes, other.strides[o] * b->bytes});
  return true;
}

// Splits the innermost dim of post off, in chunks of a unit's size.
static inline void end_plan(IndexedBound* b) {
  walk_sort(&b->post, 1);
  b->n = 1;
  b->table_step = b->other_step = b->bytes;
  if (b->post.rank > 0) {
    const int last = b->post.rank - 1;
    b->n = b->post.dims[last];
    b->table_step = b->post.step[0][last];
    b->other_step = b->post.step[1][last];
    walk_remove(&b->post, last);
  }
  b->chunk = max64(1, min64(b->n, (32 << 10) / b->bytes));
  b->chunks = ceil_div(b->n, b->chunk);
}

static inline int64_t moved_bytes(const IndexedBound& b) {
  return walk_count(b.lead) * walk_count(b.post) * b.n * (b.bytes + 8);
}

}  // namespace ARN_NS
#endif
