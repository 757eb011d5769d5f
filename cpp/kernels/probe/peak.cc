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
#elif ARN_VECTOR_BYTES > 32  // tier v4 emulated: no register holds such a vector
      __asm__("" : "+m"(x[i]));
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

// Reads `floats` floats (a multiple of 32 vectors) once, in four streams, which a core reads faster than one.
extern "C" void ARN_CONCAT(arn_read_, ARN_TIER_NAME, )(const float* from, int64_t floats, float* sink) {
  using namespace ARN_NS;
  constexpr int kStreams = 4, kVectors = 2;
  vf32 x[kStreams][kVectors] = {};
  const int64_t each = floats / kStreams;
  for (int64_t at = 0; at < each; at += kVectors * kLanesF32) {
#pragma GCC unroll 4
    for (int s = 0; s < kStreams; ++s) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) x[s][v] += load_f32(from + s * each + at + v * kLanesF32);
    }
  }
  vf32 sum{};
  for (int s = 0; s < kStreams; ++s)
    for (int v = 0; v < kVectors; ++v) sum += x[s][v];
  store_f32(sink, sum);
}
