// A block of scores becomes weights: mask, softcap, running softmax.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/tile/convert.h"
#include "simd/math.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

template <int S = kLanesF32 / 2>
float reduce_max(vf32 v) {
  const vf32 other = rotate_lanes<S>(v), best = other > v ? other : v;
  if constexpr (S > 1) return reduce_max<S / 2>(best);
  return best[0];
}

// What hides keys from a row, or adds to its scores: at most one of the two.
struct Mask {
  const void* added;  // of mask_dtype; float32 where a row is taken
  const uint8_t* allowed;
  int64_t step;  // from key to key
};

// A row of what is added, `at` elements on, as float32: narrow ones lie in scratch, next to each other.
const float* added_row(const AttentionBound& b, const Mask& mask, int64_t at, int64_t n, float* scratch) {
  if (!is_narrow(b.mask_dtype)) return static_cast<const float*>(mask.added) + at;
  const uint16_t* from = static_cast<const uint16_t*>(mask.added) + at;
  float* to = scratch + b.mask_row;
  if (mask.step == 1)
    widen(b.mask_dtype, n, to, from);
  else
    for (int64_t j = 0; j < n; ++j) widen(b.mask_dtype, 1, to + j, from + j * mask.step);
  return to;
}

// A row's `seen` <= n scores with softcap and mask applied, and -Inf up to the next whole vector; the largest of each
// lane. A NaN score loses every comparison here, and comes back through exp.
vf32 ready_row(const AttentionBound& b, float* row, int64_t seen, const Mask& mask) {
  const float lowest = -__builtin_inff();
  const int64_t part = round_up(seen, lanes());
  if (b.softcap > 0.0f) {
    const vf32 cap = splat_f32(b.softcap), inverse = splat_f32(1.0f / b.softcap);
    for (int64_t j = 0; j < part; j += lanes()) store_f32(row + j, cap * vtanh(load_f32(row + j) * inverse));
  }
  if (mask.allowed != nullptr) {
    const uint8_t* keep = mask.allowed;
    if (mask.step == 1)
      for (int64_t j = 0; j < seen; ++j) row[j] = keep[j] == 0 ? lowest : row[j];
    else
      for (int64_t j = 0; j < seen; ++j) row[j] = keep[j * mask.step] == 0 ? lowest : row[j];
  }
  const float* given = static_cast<const float*>(mask.added);
  const float* added = mask.step == 1 ? given : nullptr;
  if (given != nullptr && added == nullptr)
    for (int64_t j = 0; j < seen; ++j) row[j] += given[j * mask.step];
  // Several running results, so that their latencies overlap.
  constexpr int64_t kSteps = 4;
  vf32 tops[kSteps];
  for (vf32& t : tops) t = splat_f32(lowest);
  const auto see = [&](int64_t at, vf32& top) __attribute__((always_inline)) {
    vf32 s = load_f32(row + at);
    if (added != nullptr) {
      s += load_f32(added + at);
      store_f32(row + at, s);
    }
    top = s > top ? s : top;
  };
  int64_t at = 0;
  for (; at + kSteps * lanes() <= seen; at += kSteps * lanes()) {
#pragma GCC unroll 4
    for (int64_t x = 0; x < kSteps; ++x) see(at + x * lanes(), tops[x]);
  }
  for (; at + lanes() <= seen; at += lanes()) see(at, tops[0]);
  if (at < seen) {
    if (added != nullptr)
      for (int64_t j = at; j < seen; ++j) row[j] += added[j];
    for (int64_t j = seen; j < part; ++j) row[j] = lowest;
    const vf32 s = load_f32(row + at);
    tops[1] = s > tops[1] ? s : tops[1];
  }
#pragma GCC unroll 4
  for (int64_t x = 1; x < kSteps; ++x) tops[0] = tops[x] > tops[0] ? tops[x] : tops[0];
  return tops[0];
}

// exp of a score less the largest: at most 0, or NaN. Weights below the smallest normal number are zero. 1 ulp
vf32 weight_of(vf32 x) {
  const vf32 e = vexp_normal(vat_least(x, -87.0f));
  return x < -87.0f ? splat_f32(0.0f) : e;
}

// row = exp(row * scale - shift) over `seen` scores, zeros up to `padded`; returns their sum.
template <bool kScaled>
float weigh_row(float* row, int64_t seen, int64_t padded, float scale, float shift) {
  const vf32 s = splat_f32(shift), by = splat_f32(scale);
  const auto below = [&](const float* at)
                         __attribute__((always_inline)) { return kScaled ? load_f32(at) * by - s : load_f32(at) - s; };
  vf32 total = splat_f32(0.0f), odd = splat_f32(0.0f);
  int64_t j = 0;
  for (; j + lanes() < seen; j += 2 * lanes()) {
    const vf32 w = weight_of(below(row + j)), x = weight_of(below(row + j + lanes()));
    store_f32(row + j, w);
    store_f32(row + j + lanes(), x);
    total += w;
    odd += x;
  }
  if (j < seen) {
    const vf32 w = weight_of(below(row + j));
    store_f32(row + j, w);
    total += w;
    j += lanes();
  }
  for (; j < padded; j += lanes()) store_f32(row + j, splat_f32(0.0f));
  return reduce_sum(total + odd);
}

// Turns a row's scores into weights relative to the largest score so far; rescales what was accumulated before.
void soften_row(const AttentionBound& b, float* row, int64_t seen, int64_t padded, bool first, float largest,
                float* maximum, float* sum, float* accumulator) {
  const float lowest = -__builtin_inff();
  const float now = !first && *maximum > largest ? *maximum : largest;
  const float shift = now == lowest ? 0.0f : now;
  const float total =
      b.late ? weigh_row<true>(row, seen, padded, b.scale, shift) : weigh_row<false>(row, seen, padded, 1.0f, shift);
  if (first) {
    *sum = total;
  } else {
    const vf32 kept = vexp(splat_f32(*maximum - shift));
    *sum = *sum * kept[0] + total;
    if (kept[0] != 1.0f)
      for (int64_t d = 0; d < b.accumulator_row; d += lanes())
        store_f32(accumulator + d, load_f32(accumulator + d) * kept);
  }
  *maximum = now;
}

// Softens m rows that see keys from c0 on. The first row is row r0 of all. ready(i) is called for a row whose weights
// are there.
template <typename Ready>
void soften_block(const AttentionBound& b, const Mask& mask, int64_t r0, int64_t m, int64_t c0, int64_t n,
                  float* scratch, Ready&& ready) {
  constexpr int64_t kTogether = 4;  // rows whose latencies overlap
  const auto seen = [&](int64_t i) { return b.causal ? max64(0, min64(n, r0 + i + b.causal_offset + 1 - c0)) : n; };
  const auto row = [&](int64_t i) { return scratch + b.scores + i * b.score_row; };
  for (int64_t from = 0; from < m; from += kTogether) {
    const int64_t end = min64(m, from + kTogether);
    float largest[kTogether];
    for (int64_t i = from; i < end; ++i) {
      const int64_t at = i * b.mask.at[2];
      const Mask own{mask.added == nullptr ? nullptr : added_row(b, mask, at, seen(i), scratch),
                     mask.allowed == nullptr ? nullptr : mask.allowed + at,
                     mask.added != nullptr && is_narrow(b.mask_dtype) ? 1 : mask.step};
      largest[i - from] = reduce_max(ready_row(b, row(i), seen(i), own)) * (b.late ? b.scale : 1.0f);
    }
    for (int64_t i = from; i < end; ++i) {
      soften_row(b, row(i), seen(i), round_up(n, lanes()), c0 == 0, largest[i - from], scratch + b.maxima + i,
                 scratch + b.sums + i, scratch + b.accumulators + i * b.accumulator_row);
      ready(i);
    }
  }
}

}  // namespace
}  // namespace ARN_NS
