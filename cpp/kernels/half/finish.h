// What follows the sums of a strip, column by column: a factor, and one value a column or an element of another matrix.
#pragma once

#include "kernels/half/half.h"
#include "kernels/half/vectors.h"

namespace ARN_NS {
namespace {

// n elements of any storage type of floats, `step` elements apart (0: the same for all), times `scale`.
inline void read_floats(int32_t dtype, const void* from, int64_t step, int64_t n, float scale, float* to) {
  const int64_t size = dtype == ARN_F32 ? 4 : 2;
  if (step == 1) {
    half_widen(dtype, false)(from, n, to);
  } else {
    for (int64_t i = 0; i < (step == 0 ? 1 : n); ++i)
      half_widen(dtype, false)(static_cast<const char*>(from) + i * step * size, 1, to + i);
    if (step == 0)
      for (int64_t i = 1; i < n; ++i) to[i] = to[0];
  }
  if (scale != 1.0f)
    for (int64_t i = 0; i < n; ++i) to[i] *= scale;
}

// sums = sums * alpha + terms, in whole vectors.
inline void add_terms(float* sums, const float* terms, int64_t n, float alpha) {
  const vf32 factor = splat_f32(alpha);
  for (int64_t i = 0; i < n; i += L) {
    vf32 x = load_f32(sums + i);
    if (alpha != 1.0f) x *= factor;
    if (terms != nullptr) x += load_f32(terms + i);
    store_f32(sums + i, x);
  }
}

}  // namespace
}  // namespace ARN_NS
