// Integer products without dot products of bytes: both sides widened to 16 bits, whose products are added in pairs
// exactly. B is widened as it is read, A beforehand.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/qmatmul/block.h"

namespace ARN_NS {
namespace {

typedef int16_t vi16 __attribute__((vector_size(ARN_VECTOR_BYTES)));

// Sums of two products of 16 bits in each lane of 32.
inline vi32 multiply_pairs(vi16 a, vi16 b) {
#if defined(__AVX512BW__)
  return (vi32)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
  return (vi32)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__) && ARN_VECTOR_BYTES == 16
  return (vi32)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  const vi32 wide_a = (vi32)a, wide_b = (vi32)b;
  return (wide_a >> 16) * (wide_b >> 16) + (wide_a << 16 >> 16) * (wide_b << 16 >> 16);
#endif
}

struct Pairs {
  typedef vi32 V;
  struct B {
    vi16 even, odd;
  };
  struct A {
    vi16 even, odd;
  };
  static constexpr int64_t kGroupBytes = 8;
  static constexpr int rows_for(int vectors) {
    return ARN_TIER_LEVEL >= 2 ? (vectors <= 2 ? 9 : vectors == 3 ? 6 : 4) : (vectors == 1 ? 6 : vectors == 2 ? 4 : 2);
  }
  static B load_b(const int8_t* p) {
    const vi16 both = (vi16) * reinterpret_cast<const vi32u*>(p);
    return {(vi16)(both << 8) >> 8, both >> 8};
  }
  static A load_a(const uint8_t* p) {
    int32_t x[2];
    __builtin_memcpy(x, p, 8);
    return {(vi16)(x[0] - vi32{}), (vi16)(x[1] - vi32{})};
  }
  static V step(V sum, const A& a, const B& b) {
    return sum + multiply_pairs(a.even, b.even) + multiply_pairs(a.odd, b.odd);
  }
};

}  // namespace
}  // namespace ARN_NS
