// What follows the sums of a strip: a factor, one value a column or an element of another matrix, then what a register
// form says (another operand, an activation), and the store. Other programs run as an epilogue.
#pragma once

#include "kernels/half/half.h"
#include "kernels/half/vectors.h"
#include "kernels/matmul/forms.h"
#include "kernels/matmul/micro.h"
#include "kernels/tile/convert.h"

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
    if (alpha != 1.0f) x = rounded(x * factor);
    if (terms != nullptr) x += load_f32(terms + i);
    store_f32(sums + i, x);
  }
}

inline bool is_float(int32_t dtype) { return dtype == ARN_F32 || dtype == ARN_F16 || dtype == ARN_BF16; }

// The register form of a program on floats of any storage; the plain store without one.
inline RegisterForm half_form(const arn_bind_args* args) {
  if (args->tile == nullptr) return {args->n_out == 1 && is_float(args->operand[args->n_in].dtype), -1, {}};
  arn_desc wide[ARN_MAX_OPERANDS];
  const int32_t count = args->n_in + args->n_out;
  if (count > ARN_MAX_OPERANDS) return {false, -1, {}};
  for (int32_t i = 0; i < count; ++i) {
    wide[i] = args->operand[i];
    if (is_float(wide[i].dtype)) wide[i].dtype = ARN_F32;
  }
  arn_bind_args alike = *args;
  alike.operand = wide;
  return register_form(&alike);
}

// A row of the output: sums * alpha + terms + added, activated.
struct FinishedRow {
  float* sums;  // overwritten
  int64_t n;
  float alpha;
  const float* terms;  // null for none; read in whole vectors
  const void* added;   // null for none
  int32_t added_dtype, out_dtype;
  void* out;
};

template <int kAdded>
inline vf32 some_added(const char* at, int64_t n) {
  alignas(64) char some[kVectorBytes] = {};
  __builtin_memcpy(some, at, static_cast<size_t>(n * (kAdded == ARN_F32 ? 4 : 2)));
  return load_as_float<kAdded>(some);
}

template <int kAdded>
void finish_row(const FinishedRow& r, const BlockActivation& form, const ActivationRows& after) {
  constexpr int64_t size = kAdded == ARN_F32 ? 4 : 2;
  const char* added = static_cast<const char*>(r.added);
  const vf32 low = splat_f32(form.low), high = splat_f32(form.high);
  const bool limited = form.limited != 0, straight = r.out_dtype == ARN_F32 && !after.any();
  float* to = straight ? static_cast<float*>(r.out) : r.sums;
  for (int64_t i = 0; i < r.n; i += L) {
    const int64_t left = r.n - i;
    vf32 x = load_f32(r.sums + i);
    if (r.terms != nullptr) x += load_f32(r.terms + i);
    if constexpr (kAdded != ARN_NONE)
      x += left >= L ? load_as_float<kAdded>(added + i * size) : some_added<kAdded>(added + i * size, left);
    if (limited) {
      x = x < low ? low : x;
      x = x > high ? high : x;
    }
    if (!straight || left >= L)
      store_f32(to + i, x);
    else
      __builtin_memcpy(to + i, &x, static_cast<size_t>(left) * sizeof(float));
  }
  if (straight) return;
  if (after.any()) after.run(r.sums, r.sums, r.n);
  if (r.out_dtype == ARN_F32)
    __builtin_memcpy(r.out, r.sums, static_cast<size_t>(r.n) * sizeof(float));
  else
    narrow(r.out_dtype, r.n, r.out, r.sums);
}

inline void finish_row(FinishedRow r, const BlockActivation& form, const ActivationRows& after) {
  if (r.alpha != 1.0f) {
    add_terms(r.sums, r.terms, r.n, r.alpha);
    r.terms = nullptr;
  }
  if (r.added == nullptr) return finish_row<ARN_NONE>(r, form, after);
  if (r.added_dtype == ARN_F32) return finish_row<ARN_F32>(r, form, after);
  return r.added_dtype == ARN_F16 ? finish_row<ARN_F16>(r, form, after) : finish_row<ARN_BF16>(r, form, after);
}

}  // namespace
}  // namespace ARN_NS
