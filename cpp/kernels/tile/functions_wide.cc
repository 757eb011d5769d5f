// Tile functions on f32 that are evaluated in f64 vectors (simd/math_wide.h).
#include "kernels/tile/functions.h"
#include "simd/math_wide.h"

namespace ARN_NS {
namespace {

inline vf64 load_wide(const float* p, int64_t n) {
  vf32h v{};
  __builtin_memcpy(&v, p, static_cast<size_t>(n) * 4);
  return __builtin_convertvector(v, vf64);
}

inline void store_wide(float* p, vf64 v, int64_t n) {
  const vf32h r = __builtin_convertvector(v, vf32h);
  __builtin_memcpy(p, &r, static_cast<size_t>(n) * 4);
}

template <typename F>
inline void map2(int64_t n, void* dst, const void* pa, const void* pb, F f) {
  float* d = static_cast<float*>(dst);
  const float *a = static_cast<const float*>(pa), *b = static_cast<const float*>(pb);
  int64_t i = 0;
  for (; i + kLanesF64 <= n; i += kLanesF64)
    store_wide(d + i, f(load_wide(a + i, kLanesF64), load_wide(b + i, kLanesF64)), kLanesF64);
  if (i < n) store_wide(d + i, f(load_wide(a + i, n - i), load_wide(b + i, n - i)), n - i);
}

}  // namespace

#define ARN_WIDE1(op)                                                             \
  void op##_f32(int64_t n, void* dst, const void* pa, const void*, const void*) { \
    map2(n, dst, pa, pa, [](vf64 a, vf64) { return wide_##op(a); });              \
  }
ARN_WIDE1(sin)
ARN_WIDE1(cos)
ARN_WIDE1(tan)
ARN_WIDE1(asin)
ARN_WIDE1(acos)
ARN_WIDE1(atan)
ARN_WIDE1(sinh)
ARN_WIDE1(cosh)
ARN_WIDE1(asinh)
ARN_WIDE1(acosh)
ARN_WIDE1(atanh)

void pow_f32(int64_t n, void* dst, const void* pa, const void* pb, const void*) {
  map2(n, dst, pa, pb, [](vf64 a, vf64 b) { return wide_pow(a, b); });
}

}  // namespace ARN_NS
