// The rates of multiply-adds and of loads that this tier's vectors reach on this machine: what the benches divide by.
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

// Reads `floats` floats (a multiple of 16 vectors) once, in the order they lie.
extern "C" void ARN_CONCAT(arn_read_, ARN_TIER_NAME, )(const float* from, int64_t floats, float* sink) {
  using namespace ARN_NS;
  constexpr int kChains = 8;
  vf32 x[kChains] = {};
  const float* const end = from + floats;
  for (; from < end; from += kChains * kLanesF32) {
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) x[i] += load_f32(from + i * kLanesF32);
  }
  vf32 sum{};
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) sum += x[i];
  store_f32(sink, sum);
}
