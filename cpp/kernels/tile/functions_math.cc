// Transcendental tile functions on f32 vectors: those of simd/math.h, and the activations made of them.
#include "kernels/tile/functions.h"
//
// Each is one long chain of dependent instructions: two vectors at a time, interleaved by the compiler's scheduler.
#ifndef __clang__
#pragma GCC optimize("schedule-insns", "sched-pressure")
#endif

#include "simd/math.h"

namespace ARN_NS {
namespace {

inline vf32 load_some(const float* p, int64_t n) {
  vf32 v{};
  __builtin_memcpy(&v, p, static_cast<size_t>(n) * 4);
  return v;
}

// The tail goes through the same vector code, on lanes filled with zero.
template <typename F>
inline void map1(int64_t n, void* dst, const void* pa, F f) {
  float* d = static_cast<float*>(dst);
  const float* a = static_cast<const float*>(pa);
  int64_t i = 0;
  for (; i + 2 * kLanesF32 <= n; i += 2 * kLanesF32) {
    const vf32 first = load_f32(a + i), second = load_f32(a + i + kLanesF32);
    const vf32 x = f(first), y = f(second);
    store_f32(d + i, x);
    store_f32(d + i + kLanesF32, y);
  }
  for (; i + kLanesF32 <= n; i += kLanesF32) store_f32(d + i, f(load_f32(a + i)));
  if (i == n) return;
  const vf32 last = f(load_some(a + i, n - i));
  __builtin_memcpy(d + i, &last, static_cast<size_t>(n - i) * 4);
}

template <typename F>
inline void map3(int64_t n, void* dst, const void* pa, const void* pb, const void* pc, F f) {
  float* d = static_cast<float*>(dst);
  const float *a = static_cast<const float*>(pa), *b = static_cast<const float*>(pb),
              *c = static_cast<const float*>(pc);
  int64_t i = 0;
  for (; i + kLanesF32 <= n; i += kLanesF32) store_f32(d + i, f(load_f32(a + i), load_f32(b + i), load_f32(c + i)));
  if (i == n) return;
  const int64_t left = n - i;
  const vf32 last = f(load_some(a + i, left), load_some(b + i, left), load_some(c + i, left));
  __builtin_memcpy(d + i, &last, static_cast<size_t>(left) * 4);
}

}  // namespace

#define ARN_VECTOR1(op)                                                           \
  void op##_f32(int64_t n, void* dst, const void* pa, const void*, const void*) { \
    map1(n, dst, pa, [](vf32 a) { return v##op(a); });                            \
  }
ARN_VECTOR1(exp)
ARN_VECTOR1(log)
ARN_VECTOR1(tanh)
ARN_VECTOR1(erf)
ARN_VECTOR1(sigmoid)
ARN_VECTOR1(softplus)
ARN_VECTOR1(gelu)
ARN_VECTOR1(gelu_tanh)
ARN_VECTOR1(silu)
ARN_VECTOR1(mish)

void elu_f32(int64_t n, void* dst, const void* pa, const void* pb, const void*) {
  map3(n, dst, pa, pb, pb, [](vf32 a, vf32 alpha, vf32) { return a < 0.0f ? alpha * vexpm1(vat_most(a, 0.0f)) : a; });
}

void celu_f32(int64_t n, void* dst, const void* pa, const void* pb, const void*) {
  map3(n, dst, pa, pb, pb,
       [](vf32 a, vf32 alpha, vf32) { return a < 0.0f ? alpha * vexpm1(vat_most(a / alpha, 88.0f)) : a; });
}

void selu_f32(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) {
  map3(n, dst, pa, pb, pc,
       [](vf32 a, vf32 alpha, vf32 gamma) { return gamma * (a < 0.0f ? alpha * vexpm1(vat_most(a, 0.0f)) : a); });
}

}  // namespace ARN_NS
