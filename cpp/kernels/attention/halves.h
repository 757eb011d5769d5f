// Attention on 16-bit floats, and on any floats rounded to bfloat16: planes of bfloat16 (kernels/half) where there are
// tiles, else float32 a block at a time. Rows of bytes are multiplied as the codes that they hold, their scales come to
// the scores, and to the weights.
#pragma once

#include "kernels/attention/few.h"
#include "kernels/quantize/rows.h"
#include "kernels/tile/convert.h"

namespace ARN_NS {
namespace {

// Operands of HalfAttention, made ready for products: planes for tiles, or float32.
class Halves {
 public:
  Halves(const AttentionBound& b, float* scratch) : b_(b), scratch_(scratch), kernel_(half_kernel(b.score_gemm)) {}

  // The task's m queries.
  void queries(const char* q, int64_t m) {
    q_ = q;
    m_ = m;
    wide_ = false;
    if (!b_.tiles) return;
    const arn_half_split split = half_split(b_.score_gemm);
    splits_ = true;
    for (int64_t i = 0; i < m; ++i) {
      uint16_t* plane[ARN_HALF_PLANES];
      planes_at(b_.query_planes, b_.query_plane, b_.query_row, i, plane);
      splits_ &= split(row_of(b_.q_dtype, q + i * b_.q.at[2] * element_bytes(b_.q_dtype), b_.q.at[3], b_.depth),
                       b_.depth, plane) != 0;
    }
  }

  void score(const char* k, int64_t n) {
    multiply_keys(k, n);
    if (b_.k_dtype != ARN_I8) return;
    take_scales(k, b_.k.at[2], n, b_.depth);
    float* row = at<float>(b_.scores);
    for (int64_t i = 0; i < m_; ++i, row += b_.score_row) scale_columns(row, n);
  }

  // A row's n weights are there. v: the values that they will meet.
  void weights(int64_t i, int64_t n, const char* v) {
    float* row = at<float>(b_.scores) + i * b_.score_row;
    if (i == 0) weighed_ = true;
    if (b_.v_dtype == ARN_I8) {
      if (i == 0) take_scales(v, b_.v.at[2], n, b_.values);
      scale_columns(row, n);
    }
    if (b_.tiles) {
      uint16_t* plane[ARN_HALF_PLANES];
      planes_at(b_.weight_planes, b_.weight_plane, b_.weight_row, i, plane);
      weighed_ &= half_split(b_.value_gemm)(row, n, plane) != 0;
    } else if (b_.rounded) {
      for (int64_t j = 0; j < n; j += lanes()) store_f32(row + j, (vf32)nearest_bf16(load_f32(row + j)));
    }
  }

  void accumulate(const char* v, int64_t n, bool first) {
    uint16_t* slab = at<uint16_t>(b_.columns);
    if (b_.tiles && weighed_) {
      const Rows rows = multiplied(b_.v_dtype, v, b_.v, n, b_.values);
      const HalfColumns columns{nullptr, rows.at, rows.row, rows.step};
      if (half_slab_planes(b_.value_gemm, columns, 0, n, 0, b_.values, slab, at<float>(b_.turned)))
        return multiply(b_.value_gemm, b_.weight_planes, b_.weight_plane, b_.weight_row, n, b_.values, !first,
                        at<float>(b_.accumulators), b_.accumulator_row);
    }
    if (b_.values_in_place) return accumulate_in_place(b_, v, m_, n, first, scratch_);
    widen_rows(b_.v_dtype, v, b_.v.at[2], b_.v.at[3], n, b_.values, at<float>(b_.wide_k));
    accumulate_block(b_, {at<float>(b_.wide_k), b_.values, 1}, m_, n, first, scratch_);
  }

  void end() {
    if (begun_ >= 0) kernel_->end();
    begun_ = -1;
  }

 private:
  struct Rows {
    const void* at;
    int64_t row, step;
  };

  void multiply_keys(const char* k, int64_t n) {
    uint16_t* slab = at<uint16_t>(b_.columns);
    if (b_.tiles && splits_) {
      const Rows rows = multiplied(b_.k_dtype, k, b_.k, n, b_.depth);
      const HalfColumns columns{nullptr, rows.at, rows.step, rows.row};
      if (half_slab_planes(b_.score_gemm, columns, 0, b_.depth, 0, n, slab, at<float>(b_.turned))) {
        multiply(b_.score_gemm, b_.query_planes, b_.query_plane, b_.query_row, b_.depth, n, false, at<float>(b_.scores),
                 b_.score_row);
        return b_.late ? void() : scale(n);
      }
    }
    if (!wide_) widen_rows(b_.q_dtype, q_, b_.q.at[2], b_.q.at[3], m_, b_.depth, at<float>(b_.wide_q));
    wide_ = true;
    if (b_.keys_in_place) return score_in_place(b_, at<float>(b_.wide_q), b_.depth, k, m_, n, scratch_);
    widen_rows(b_.k_dtype, k, b_.k.at[2], b_.k.at[3], n, b_.depth, at<float>(b_.wide_k));
    score_block(b_, {at<float>(b_.wide_q), b_.depth, 1}, {at<float>(b_.wide_k), b_.depth, 1}, m_, n, scratch_);
  }

  // n rows as tiles take them: codes as bfloat16, which holds each of them.
  Rows multiplied(int32_t dtype, const char* from, const Strides4& s, int64_t n, int64_t numbers) {
    if (dtype != ARN_I8) return {from, s.at[2], s.at[3]};
    uint16_t* to = at<uint16_t>(b_.codes);
    for (int64_t j = 0; j < n; ++j, from += s.at[2], to += numbers) {
      int64_t d = 0;
      for (; d + L <= numbers; d += L) store_bits(to + d, (hu32)load_as_float<ARN_I8>(from + d) >> 16);
      for (; d < numbers; ++d) {
        const float code = static_cast<int8_t>(from[d]);
        uint32_t bits;
        __builtin_memcpy(&bits, &code, 4);
        to[d] = static_cast<uint16_t>(bits >> 16);
      }
    }
    return {at<uint16_t>(b_.codes), numbers, 1};
  }

  // What the codes of n rows of bytes, `row` bytes apart, stand for; zeros up to a whole vector.
  void take_scales(const char* from, int64_t row, int64_t n, int64_t numbers) {
    float* to = at<float>(b_.row_scales);
    for (int64_t j = 0; j < n; ++j) __builtin_memcpy(to + j, from + j * row + numbers, kScaleBytes);
    for (int64_t j = n; j < round_up(n, lanes()); ++j) to[j] = 0.0f;
  }
  void scale_columns(float* row, int64_t n) {
    const float* by = at<float>(b_.row_scales);
    for (int64_t j = 0; j < n; j += lanes()) store_f32(row + j, load_f32(row + j) * load_f32(by + j));
  }

  void scale(int64_t n) {
    const vf32 by = splat_f32(b_.scale);
    float* row = at<float>(b_.scores);
    for (int64_t i = 0; i < m_; ++i, row += b_.score_row)
      for (int64_t j = 0; j < n; j += lanes()) store_f32(row + j, load_f32(row + j) * by);
  }

  void multiply(const HalfGemm& g, int64_t rows, int64_t plane_size, int64_t row_size, int64_t depth, int64_t columns,
                bool add, float* out, int64_t out_row) {
    arn_half_dots d{};
    d.a_row = row_size;
    d.panel = half_depth(depth) * ARN_HALF_LANES;
    d.steps = half_depth(depth) / ARN_HALF_STEP;
    d.panels = half_panels(columns);
    d.a_planes = g.a_planes;
    d.b_planes = g.b_planes;
    d.order = g.order;
    d.add = add ? 1 : 0;
    d.out_row = out_row;
    for (int i = 0; i < g.b_planes; ++i) d.b[i] = at<uint16_t>(b_.columns) + i * d.panels * d.panel;
    for (int64_t i = 0; i < m_; i += kHalfStrip) {
      uint16_t* plane[ARN_HALF_PLANES];
      planes_at(rows, plane_size, row_size, i, plane);
      for (int p = 0; p < ARN_HALF_PLANES; ++p) d.a[p] = plane[p];
      d.rows = min64(kHalfStrip, m_ - i);
      d.out = out + i * out_row;
      if (d.rows != begun_) kernel_->begin(begun_ = d.rows);
      kernel_->run(&d);
    }
  }

  // n elements `step` apart, next to each other.
  const void* row_of(int32_t dtype, const char* from, int64_t step, int64_t n) {
    if (step == 1) return from;
    char* to = at<char>(b_.compact);
    move_block(element_bytes(dtype), 1, n, to, n, 1, from, 0, step);
    return to;
  }
  void widen_rows(int32_t dtype, const char* from, int64_t row, int64_t step, int64_t rows, int64_t n, float* to) {
    const HalfWiden widen = half_widen(dtype, b_.rounded);
    for (int64_t i = 0; i < rows; ++i)
      widen(row_of(dtype, from + i * row * element_bytes(dtype), step, n), n, to + i * n);
  }
  void planes_at(int64_t rows, int64_t plane_size, int64_t row_size, int64_t row, uint16_t** plane) const {
    for (int i = 0; i < ARN_HALF_PLANES; ++i) plane[i] = at<uint16_t>(rows) + i * plane_size + row * row_size;
  }
  template <typename T>
  T* at(int64_t offset) const {
    return reinterpret_cast<T*>(scratch_ + offset);
  }

  const AttentionBound& b_;
  float* scratch_;
  const arn_half_kernel* kernel_;
  const char* q_ = nullptr;
  int64_t m_ = 0, begun_ = -1;
  bool wide_ = false, splits_ = false, weighed_ = false;
};

}  // namespace
}  // namespace ARN_NS
