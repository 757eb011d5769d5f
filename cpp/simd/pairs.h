// Products of 16 bits, added in pairs.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "simd/vector.h"

namespace ARN_NS {

typedef int16_t vi16 __attribute__((vector_size(ARN_VECTOR_BYTES)));

// Sums of two products of 16 bits in each lane of 32.
static inline vi32 multiply_pairs(vi16 a, vi16 b) {
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

}  // namespace ARN_NS
