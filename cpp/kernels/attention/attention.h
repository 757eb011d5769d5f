// What a bound attention step is, and the two products of a block of keys.
#pragma once

#include "kernels/half/half.h"
#include "kernels/matmul/gemm.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

struct Strides4 {
  int64_t at[4];
};

struct AttentionBound {
  int64_t heads, group, rows, keys, depth, values;  // H, H / G, S, T, D, E
  int64_t row_blocks, row_block, key_block;
  Strides4 q, k, v, mask, out;
  float scale, softcap;
  int64_t causal_offset;
  bool causal, keys_in_place, values_in_place;
  int8_t mask_kind;  // 0 none, 1 added, 2 boolean
  // Scratch, in floats from its start. `panels` holds the keys of a block, then its values.
  int64_t panels, scores, sums, maxima, accumulators, compact, edge;
  int64_t score_row, accumulator_row;
  // HalfAttention alone: what operands are, whether they are rounded to bfloat16, and whether tiles multiply them.
  bool half, rounded, tiles;
  bool late;  // scores are scaled when their weights are made
  int32_t q_dtype, k_dtype, v_dtype, mask_dtype, out_dtype;
  HalfGemm score_gemm, value_gemm;
  int64_t wide_q, wide_k, mask_row;                      // operands as float32
  int64_t query_planes, weight_planes, columns, turned;  // planes of rows, and a block of columns as planes
  int64_t codes, row_scales;                             // of rows of bytes: as bfloat16, and what they stand for
  int64_t query_row, query_plane, weight_row, weight_plane;
};

constexpr int64_t lanes() { return kLanes<float>; }

// A matrix of float32 at any strides.
struct Matrix {
  const float* at;
  int64_t row, step;
};

template <int S = kLanesF32 / 2>
float reduce_sum(vf32 v) {
  const vf32 total = v + rotate_lanes<S>(v);
  if constexpr (S > 1) return reduce_sum<S / 2>(total);
  return total[0];
}

// scores = scale * Q K^T for m query rows and n keys, rounded up to whole vectors.
void score_block(const AttentionBound& b, const Matrix& q, const Matrix& k, int64_t m, int64_t n, float* scratch) {
  float* panels = scratch + b.panels;
  pack_panels(panels, b.depth * lanes(), k.at, b.depth, n, k.step, k.row);
  GemmPass<float> p{};
  p.m = m;
  p.n = round_up(n, lanes());
  p.a_row = q.row;
  p.a_k = q.step;
  p.b_vec = b.depth * lanes();
  p.b_k = lanes();
  p.partial = p.out = scratch + b.scores;
  p.partial_row = p.out_row = b.score_row;
  p.out_col = 1;
  p.alpha = b.late ? 1.0f : b.scale;
  p.beta = 1.0f;
  p.compact = q.step == 1 ? nullptr : scratch + b.compact;
  p.edge = scratch + b.edge;
  const int64_t step = depth_block(b.depth);
  for (int64_t d = 0; d < b.depth; d += step) {
    p.depth = min64(step, b.depth - d);
    p.a = q.at + d * q.step;
    p.b = panels + d * lanes();
    p.first = d == 0;
    p.last = d + step >= b.depth;
    gemm_pass<float>(p);
  }
}

void accumulate_block(const AttentionBound& b, const Matrix& v, int64_t m, int64_t n, bool first, float* scratch) {
  GemmPass<float> p{};
  p.m = m;
  p.n = b.values;
  p.depth = n;
  p.a = scratch + b.scores;
  p.a_row = b.score_row;
  p.a_k = 1;
  float* panels = scratch + b.panels;
  pack_panels(panels, n * lanes(), v.at, n, b.values, v.row, v.step);
  p.b = panels;
  p.b_vec = n * lanes();
  p.b_k = lanes();
  p.partial = scratch + b.accumulators;
  p.partial_row = b.accumulator_row;
  p.first = first;
  p.last = false;
  p.edge = scratch + b.edge;
  gemm_pass<float>(p);
}

}  // namespace
}  // namespace ARN_NS
