// Both products of attention for few queries, which read each key and value once: where they lie, as they are stored.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/half/vectors.h"

namespace ARN_NS {
namespace {

constexpr int64_t kFewRows = 8;                               // up to here keys and values are read where they lie
constexpr int kRowsTogether = kVectorBytes == 64 ? 4 : 2;     // queries that a key or value, once read, serves
constexpr int kKeysTogether = 4;                              // keys whose sums do not wait for each other
constexpr int kValueRegisters = kVectorBytes == 64 ? 16 : 8;  // sums of a pass over the values

template <int kType>
constexpr int64_t kBytes = kType == ARN_F32  ? 4
                           : kType == ARN_I8 ? 1
                                             : 2;

// scores[i][j] = scale * (query i . key j) for kRows queries and n keys, `row` bytes apart; depth in whole vectors.
template <int kType, int kRows>
void score_few(const float* q, int64_t q_row, const char* k, int64_t row, int64_t n, int64_t depth, float scale,
               float* scores, int64_t score_row) {
  for (int64_t j = 0; j < n; j += kKeysTogether) {
    const char* key[kKeysTogether];
    for (int64_t x = 0; x < kKeysTogether; ++x) key[x] = k + min64(j + x, n - 1) * row;
    vf32 sums[kRows][kKeysTogether] = {};
    for (int64_t d = 0; d < depth; d += L) {
      vf32 read[kKeysTogether];
#pragma GCC unroll 4
      for (int x = 0; x < kKeysTogether; ++x) read[x] = load_as_float<kType>(key[x] + d * kBytes<kType>);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const vf32 query = load_f32(q + i * q_row + d);
#pragma GCC unroll 4
        for (int x = 0; x < kKeysTogether; ++x) sums[i][x] += query * read[x];
      }
    }
    const int64_t some = min64(kKeysTogether, n - j);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
      for (int x = 0; x < kKeysTogether; ++x) {
        const float sum = scale * reduce_sum(sums[i][x]);
        if (x < some) scores[i * score_row + j + x] = sum;
      }
  }
}

// out[i] (+)= weights[i] . values of n rows `row` bytes apart, kVectors vectors of each.
template <int kType, int kRows, int kVectors>
void accumulate_few(const float* weights, int64_t weight_row, const char* v, int64_t row, int64_t n, bool first,
                    float* out, int64_t out_row) {
  vf32 sums[kRows][kVectors] = {};
  if (!first)
    for (int i = 0; i < kRows; ++i)
      for (int x = 0; x < kVectors; ++x) sums[i][x] = load_f32(out + i * out_row + x * L);
  for (int64_t j = 0; j < n; ++j, v += row) {
    vf32 by[kRows];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) by[i] = splat_f32(weights[i * weight_row + j]);
#pragma GCC unroll 16
    for (int x = 0; x < kVectors; ++x) {
      const vf32 read = load_as_float<kType>(v + x * L * kBytes<kType>);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) sums[i][x] += by[i] * read;
    }
  }
  for (int i = 0; i < kRows; ++i)
    for (int x = 0; x < kVectors; ++x) store_f32(out + i * out_row + x * L, sums[i][x]);
}

template <int N>
struct Number {
  static constexpr int value = N;
};

// run(type, rows, i): for queries [i, i + rows) at a time; both are constants.
template <typename F>
void for_few(int32_t dtype, int64_t m, F&& run) {
  const auto rows = [&](auto type) {
    int64_t i = 0;
    for (; i + kRowsTogether <= m; i += kRowsTogether) run(type, Number<kRowsTogether>{}, i);
    for (; i + 2 <= m; i += 2) run(type, Number<2>{}, i);
    if (i < m) run(type, Number<1>{}, i);
  };
  if (dtype == ARN_F32) return rows(Number<ARN_F32>{});
  if (dtype == ARN_F16) return rows(Number<ARN_F16>{});
  if (dtype == ARN_I8) return rows(Number<ARN_I8>{});
  rows(Number<ARN_BF16>{});
}

// score_block where keys are read in place. q: float32 rows.
void score_in_place(const AttentionBound& b, const float* q, int64_t q_row, const char* k, int64_t m, int64_t n,
                    float* scratch) {
  for_few(b.k_dtype, m, [&](auto type, auto rows, int64_t i) {
    constexpr int kType = decltype(type)::value;
    score_few<kType, decltype(rows)::value>(q + i * q_row, q_row, k, b.k.at[2] * kBytes<kType>, n, b.depth,
                                            b.late ? 1.0f : b.scale, scratch + b.scores + i * b.score_row, b.score_row);
  });
}

// Columns of values from c on, as many vectors at a time as there are: one walk over the rows wherever they fit.
template <int kType, int kRows, int kVectors>
void accumulate_columns(const AttentionBound& b, const float* weights, const char* v, int64_t n, bool first, float* out,
                        int64_t c) {
  const int64_t row = b.v.at[2] * kBytes<kType>;
  for (; c + kVectors * L <= b.values; c += kVectors * L)
    accumulate_few<kType, kRows, kVectors>(weights, b.score_row, v + c * kBytes<kType>, row, n, first, out + c,
                                           b.accumulator_row);
  if constexpr (kVectors > 1)
    if (c < b.values) accumulate_columns<kType, kRows, kVectors / 2>(b, weights, v, n, first, out, c);
}

// accumulate_block where values are read in place.
void accumulate_in_place(const AttentionBound& b, const char* v, int64_t m, int64_t n, bool first, float* scratch) {
  for_few(b.v_dtype, m, [&](auto type, auto rows, int64_t i) {
    constexpr int kType = decltype(type)::value, kRows = decltype(rows)::value;
    constexpr int kVectors = kValueRegisters / kRows < 8 ? kValueRegisters / kRows : 8;
    accumulate_columns<kType, kRows, kVectors>(b, scratch + b.scores + i * b.score_row, v, n, first,
                                               scratch + b.accumulators + i * b.accumulator_row, 0);
  });
}

}  // namespace
}  // namespace ARN_NS
