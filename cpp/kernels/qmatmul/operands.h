// Operands of the integer products that stand for single values or for columns.
#pragma once

#include "kernels/qmatmul/qgemm.h"

namespace ARN_NS {

// Where values that stand for columns lie: count as in QPerColumn, operand -1 when absent.
struct ColumnOperand {
  int64_t count, step;
  int32_t operand;
};

static inline bool present(const arn_bind_args* args, int32_t i) {
  return i < args->n_in && args->operand[i].dtype != ARN_NONE;
}

static inline bool read_scalar(const arn_bind_args* args, int32_t i, int32_t* operand) {
  *operand = present(args, i) ? i : -1;
  return *operand < 0 || element_count(args->operand[i]) == 1;
}

// One value, or n of them along the last dim.
static inline bool read_columns(const arn_bind_args* args, int32_t i, int64_t n, ColumnOperand* c) {
  *c = {0, 0, -1};
  if (!present(args, i)) return true;
  const arn_desc& d = args->operand[i];
  const int64_t count = element_count(d);
  c->operand = i;
  c->count = count;
  if (count == 1) return true;
  if (count != n || d.rank < 1 || d.dims[d.rank - 1] != n) return false;
  c->step = d.strides[d.rank - 1];
  return true;
}

static inline QPerColumn per_column(const ColumnOperand& c, void* const* operand) {
  return {c.operand < 0 ? nullptr : operand[c.operand], c.count, c.step};
}

// The scales, zero points and bias of a product: operands first, first + 1, ... in this order.
struct QuantOperands {
  int32_t a_scale, a_zero;  // operands, -1 when absent
  ColumnOperand b_scale, b_zero, bias;
  int32_t a_dtype, b_dtype, bias_dtype, block_dtype;  // block_dtype: of a product, f32 or i32
};

static inline int32_t read_quant_operands(const arn_bind_args* args, int32_t first, int64_t n, QuantOperands* q) {
  if (!read_scalar(args, first, &q->a_scale) || !read_scalar(args, first + 1, &q->a_zero) ||
      !read_columns(args, first + 2, n, &q->b_scale) || !read_columns(args, first + 3, n, &q->b_zero) ||
      !read_columns(args, first + 4, n, &q->bias))
    return ARN_SHAPE_MISMATCH;
  q->a_dtype = args->operand[0].dtype;
  q->b_dtype = args->operand[1].dtype;
  q->bias_dtype = q->bias.operand < 0 ? int32_t(ARN_NONE) : args->operand[first + 4].dtype;
  if (q->a_zero >= 0 && args->operand[first + 1].dtype != q->a_dtype) return ARN_UNSUPPORTED;
  if (q->b_zero.operand >= 0 && args->operand[first + 3].dtype != q->b_dtype) return ARN_UNSUPPORTED;
  const bool real = q->a_scale >= 0 || q->b_scale.operand >= 0 || q->bias_dtype == ARN_F32;
  q->block_dtype = real ? ARN_F32 : ARN_I32;
  return ARN_OK;
}

// What columns are made of; `sums` and `per_quantum` are left to the caller.
static inline QColumnSource column_source(const QuantOperands& q, void* const* operand) {
  QColumnSource s{};
  s.a_scale = q.a_scale < 0 ? 1.0f : *static_cast<const float*>(operand[q.a_scale]);
  if (q.a_zero >= 0)
    s.a_zero = q.a_dtype == ARN_I8 ? *static_cast<const int8_t*>(operand[q.a_zero])
                                   : *static_cast<const uint8_t*>(operand[q.a_zero]);
  s.b_zero = per_column(q.b_zero, operand);
  s.b_scale = per_column(q.b_scale, operand);
  s.bias = per_column(q.bias, operand);
  s.b_signed = q.b_dtype == ARN_I8;
  s.bias_dtype = q.bias_dtype;
  return s;
}

}  // namespace ARN_NS
