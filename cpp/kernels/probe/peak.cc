// The rate of multiply-adds that this tier's vectors reach on this machine: what the kernel bench divides by.
#include "simd/vector.h"

// 12 independent multiply-adds of f32 vectors, `rounds` times; returns the floating point operations done.
extern "C" double ARN_CONCAT(arn_peak_, ARN_TIER_NAME, )(int64_t rounds, float* sink) {
  using namespace ARN_NS;
  constexpr int kChains = 12;
  const vf32 half = splat_f32(0.5f), one = splat_f32(1.0f);
  vf32 x[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) x[i] = one;
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
#if defined(__AVX512F__)
      __asm__("" : "+v"(x[i]));
#elif defined(__x86_64__)
      __asm__("" : "+x"(x[i]));
#endif
      x[i] = x[i] * half + one;
    }
  }
  vf32 sum{};
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum += x[i];
  store_f32(sink, sum);
  return static_cast<double>(rounds) * kChains * 2 * kLanesF32;
}
