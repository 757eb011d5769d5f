// Operands of a matrix product as stacks of matrices: sizes, strides and batch dims that broadcast.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {
namespace {

constexpr int kMaxBatch = ARN_MAX_RANK - 2;
// One operand as a stack of matrices: the strides of the last two dims and of the batch dims, in elements.
struct Stack {
  int64_t row, col;
  int64_t batch[kMaxBatch];
};

struct ProductShape {
  int64_t m, n, k;
  int64_t batch_rank, batch_dims[kMaxBatch];
  Stack a, b, c, out;
  int32_t a_operand, b_operand, c_operand, out_operand;  // -1: absent
};

inline Stack read_stack(const arn_desc& d, int64_t batch_rank, bool transposed) {
  Stack s{};
  s.row = d.strides[d.rank - 2];
  s.col = d.strides[d.rank - 1];
  if (transposed) {
    s.row = d.strides[d.rank - 1];
    s.col = d.strides[d.rank - 2];
  }
  const int64_t own = d.rank - 2;
  for (int64_t i = 0; i < own; ++i) {
    const int64_t at = batch_rank - own + i;
    s.batch[at] = d.dims[i] == 1 ? 0 : d.strides[i];
  }
  return s;
}

// True when every batch dim of d is 1 or that of the output.
inline bool batch_fits(const arn_desc& d, const ProductShape& b) {
  const int64_t own = d.rank - 2;
  if (own > b.batch_rank) return false;
  for (int64_t i = 0; i < own; ++i)
    if (d.dims[i] != 1 && d.dims[i] != b.batch_dims[b.batch_rank - own + i]) return false;
  return true;
}

// C has any rank up to the output's; missing and unit dims repeat.
inline bool read_c(const arn_desc& d, const arn_desc& o, ProductShape* b) {
  if (d.rank > o.rank) return false;
  int64_t strides[ARN_MAX_RANK] = {};
  for (int i = 0; i < d.rank; ++i) {
    const int at = o.rank - d.rank + i;
    if (d.dims[i] != 1 && d.dims[i] != o.dims[at]) return false;
    strides[at] = d.dims[i] == 1 ? 0 : d.strides[i];
  }
  b->c.row = strides[o.rank - 2];
  b->c.col = strides[o.rank - 1];
  for (int64_t i = 0; i < b->batch_rank; ++i) b->c.batch[i] = strides[i];
  return true;
}

// Sizes and strides of operands 0 and 1 and of output 0; c is left absent. Each is transposed where told.
inline int32_t read_product(const arn_bind_args* args, bool trans_a, bool trans_b, ProductShape* b) {
  const arn_desc &da = args->operand[0], &db = args->operand[1], &o = args->operand[args->n_in];
  if (args->n_out < 1 || da.rank < 2 || db.rank < 2 || o.rank != max64(da.rank, db.rank)) return ARN_SHAPE_MISMATCH;
  b->batch_rank = o.rank - 2;
  for (int64_t i = 0; i < b->batch_rank; ++i) b->batch_dims[i] = o.dims[i];
  b->m = o.dims[o.rank - 2];
  b->n = o.dims[o.rank - 1];
  b->k = da.dims[da.rank - (trans_a ? 2 : 1)];
  if (b->k != db.dims[db.rank - (trans_b ? 1 : 2)] || b->m != da.dims[da.rank - (trans_a ? 1 : 2)] ||
      b->n != db.dims[db.rank - (trans_b ? 2 : 1)] || !batch_fits(da, *b) || !batch_fits(db, *b))
    return ARN_SHAPE_MISMATCH;
  b->a = read_stack(da, b->batch_rank, trans_a);
  b->b = read_stack(db, b->batch_rank, trans_b);
  b->out = read_stack(o, b->batch_rank, false);
  b->a_operand = 0;
  b->b_operand = 1;
  b->c_operand = -1;
  b->out_operand = args->n_in;
  return ARN_OK;
}

// Drops unit batch dims, then joins the last batch dims to the rows where the operands allow it.
inline void flatten_batch(ProductShape* b) {
  int64_t rank = 0;
  Stack* all[] = {&b->a, &b->b, &b->c, &b->out};
  for (int64_t i = 0; i < b->batch_rank; ++i) {
    if (b->batch_dims[i] == 1) continue;
    b->batch_dims[rank] = b->batch_dims[i];
    for (Stack* s : all) s->batch[rank] = s->batch[i];
    ++rank;
  }
  while (rank > 0) {
    const int64_t i = rank - 1;
    if (b->m == 1) {
      b->a.row = b->a.batch[i];
      b->c.row = b->c.batch[i];
      b->out.row = b->out.batch[i];
    }
    if (b->b.batch[i] != 0 || b->a.batch[i] != b->a.row * b->m || b->c.batch[i] != b->c.row * b->m ||
        b->out.batch[i] != b->out.row * b->m)
      break;
    b->m *= b->batch_dims[i];
    rank = i;
  }
  b->batch_rank = rank;
}

inline int64_t stack_height(const arn_desc& d) {
  int64_t n = 1;
  for (int i = 0; i < d.rank - 2; ++i) n *= d.dims[i];
  return n;
}

// Matrix i of a stack, in the row-major order of its batch dims: elements from the first.
inline int64_t matrix_offset(const arn_desc& d, int64_t i) {
  int64_t at = 0;
  for (int x = d.rank - 3; x >= 0; --x) {
    at += i % d.dims[x] * d.strides[x];
    i /= d.dims[x];
  }
  return at;
}

// Batch strides of a packed B of `matrix` elements each: matrices follow each other in the row-major order of B's own
// batch dims.
inline void packed_batch(const arn_desc& d, int64_t matrix, ProductShape* b) {
  int64_t step = matrix;
  for (int i = d.rank - 3; i >= 0; --i) {
    b->b.batch[b->batch_rank - (d.rank - 2) + i] = d.dims[i] == 1 ? 0 : step;
    step *= d.dims[i];
  }
}

}  // namespace
}  // namespace ARN_NS
