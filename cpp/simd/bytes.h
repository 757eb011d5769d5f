// Bytes as vectors of 32 bits and back, and masks. Compilers take convertvector between them apart, lane by lane.
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "simd/vector.h"

namespace ARN_NS {

// Whether any lane of a mask is set.
static inline bool any_lane(vi32 mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX__)
  return _mm256_movemask_ps((__m256)mask) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_ps((__m128)mask) != 0;
#else
  int32_t some = 0;
  for (int l = 0; l < kLanesF32; ++l) some |= mask[l];
  return some != 0;
#endif
}

// A vector's number of bytes from p on, each widened.
static inline vi32 load_u8(const void* p) {
#if defined(__AVX512F__)
  return (vi32)_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(static_cast<const __m128i*>(p)));
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
  return (vi32)_mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
#elif defined(__SSE2__) && ARN_VECTOR_BYTES == 16
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  const __m128i none = _mm_setzero_si128();
  return (vi32)_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), none), none);
#else
  vi32 v;
  for (int i = 0; i < kLanesF32; ++i) v[i] = static_cast<const uint8_t*>(p)[i];
  return v;
#endif
}
static inline vi32 load_i8(const void* p) {
#if defined(__AVX512F__)
  return (vi32)_mm512_maskz_cvtepi8_epi32(0xffff, _mm_loadu_si128(static_cast<const __m128i*>(p)));
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
  return (vi32)_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
#else
  return load_u8(p) << 24 >> 24;
#endif
}

// The low byte of every lane to p.
static inline void store_bytes(void* p, vi32 v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v));
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
  const __m256i low = _mm256_and_si256((__m256i)v, _mm256_set1_epi32(255));
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#elif defined(__SSE2__) && ARN_VECTOR_BYTES == 16
  const __m128i low = _mm_and_si128((__m128i)v, _mm_set1_epi32(255)), words = _mm_packs_epi32(low, low);
  const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  __builtin_memcpy(p, &four, 4);
#else
  for (int i = 0; i < kLanesF32; ++i) static_cast<uint8_t*>(p)[i] = static_cast<uint8_t>(v[i]);
#endif
}

}  // namespace ARN_NS
