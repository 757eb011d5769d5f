// Bytes that stand for real numbers, vector by vector.
#pragma once

#include "simd/bytes.h"

namespace ARN_NS {
namespace {

// n bytes, fewer than a vector.
inline void copy_some(char* to, const char* from, int64_t n) {
#if defined(__AVX512BW__)
  const uint64_t mask = (uint64_t(1) << n) - 1;
  _mm512_mask_storeu_epi8(to, mask, _mm512_maskz_loadu_epi8(mask, from));
#else
  for (int64_t piece = ARN_VECTOR_BYTES / 2; piece >= 16; piece /= 2)
    if ((n & piece) != 0) {
      __builtin_memcpy(to, from, static_cast<size_t>(piece));
      to += piece;
      from += piece;
    }
#define ARN_PIECE(bytes)               \
  if ((n & (bytes)) != 0) {            \
    __builtin_memcpy(to, from, bytes); \
    to += bytes;                       \
    from += bytes;                     \
  }
  ARN_PIECE(8)
  ARN_PIECE(4)
  ARN_PIECE(2)
  ARN_PIECE(1)
#undef ARN_PIECE
#endif
}

// Rounds quanta half to even, adds the zero point (a byte of the type) and stores the bytes; NaN gives the lowest one.
// Limits before rounding are limits of the bytes, since rounding keeps order.
class Quanta {
 public:
  // low, high: limits of the quanta, infinite for none.
  Quanta(int32_t dtype, int32_t zero, float low, float high) : is_signed_(dtype == ARN_I8), zero_(zero) {
    const int32_t least = is_signed_ ? -128 : 0;
    const auto whole = [&](float x) {
      const float most = 1024.0f, near = x < -most ? -most : x < most ? x : most;
      const float rounded = near + kWhole;
      int32_t bits;
      __builtin_memcpy(&bits, &rounded, sizeof(bits));
      const int32_t q = bits - 0x4b400000 + zero;
      return q < least ? least : q > least + 255 ? least + 255 : q;
    };
    low_ = whole(low);
    high_ = whole(high);
  }

  // One vector.
  void store(void* to, vf32 x) const { store_bytes(to, bytes(x)); }

  // The first n elements of a vector.
  void store_some(void* to, vf32 x, int64_t n) const {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    const __m128i all = _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)bytes(x));
    _mm_mask_storeu_epi8(to, static_cast<__mmask16>((1u << n) - 1), all);
#else
    alignas(64) char all[kVectorBytes];
    store(all, x);
    copy_some(static_cast<char*>(to), all, n);
#endif
  }

  // Four vectors, of columns that follow each other.
  void store(void* to, vf32 a, vf32 b, vf32 c, vf32 d) const {
#if defined(__AVX512BW__)
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(to, _mm512_maskz_permutexvar_epi32(0xffff, order, pack(a, b, c, d)));
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(static_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(pack(a, b, c, d), order));
#else
    char* at = static_cast<char*>(to);
    store(at, a);
    store(at + kLanesF32, b);
    store(at + 2 * kLanesF32, c);
    store(at + 3 * kLanesF32, d);
#endif
  }

  // Four vectors whose 16 bytes l are the columns 16 l + 4 v ... of vector v.
  void store_woven(void* to, vf32 a, vf32 b, vf32 c, vf32 d) const {
#if defined(__AVX512BW__)
    _mm512_storeu_si512(to, pack(a, b, c, d));
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
    _mm256_storeu_si256(static_cast<__m256i*>(to), pack(a, b, c, d));
#else
    const vf32 all[4] = {a, b, c, d};
    for (int v = 0; v < 4; ++v) {
      uint8_t bytes[kLanesF32];
      store(bytes, all[v]);
      for (int l = 0; l < kLanesF32 / 4; ++l)
        __builtin_memcpy(static_cast<char*>(to) + 16 * l + 4 * v, bytes + 4 * l, 4);
    }
#endif
  }

 private:
  // Integers that bytes hold.
  vi32 bytes(vf32 x) const {
    vi32 q = round(x) + zero_;
    q = q > low_ ? q : vi32{} + low_;
    return q < high_ ? q : vi32{} + high_;
  }

  static constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer of |x| < 2^22
  static constexpr float kMost = 1048576.0f;    // past all bytes
  // NaN becomes an integer below all bytes.
  static vi32 round(vf32 x) {
#if defined(__AVX512F__)
    return (vi32)_mm512_maskz_cvtps_epi32(0xffff, _mm512_maskz_min_ps(0xffff, _mm512_set1_ps(kMost), (__m512)x));
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
    return (vi32)_mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(kMost), (__m256)x));
#elif defined(__SSE2__) && ARN_VECTOR_BYTES == 16
    return (vi32)_mm_cvtps_epi32(_mm_min_ps(_mm_set1_ps(kMost), (__m128)x));
#else
    const vf32 most = splat_f32(kMost), up = x > -most ? x : -most;
    return (vi32)((up < most ? up : most) + kWhole) - (vi32)splat_f32(kWhole);
#endif
  }
#if defined(__AVX512BW__)
  __m512i pack(vf32 a, vf32 b, vf32 c, vf32 d) const {
    const __m512i zero = _mm512_set1_epi16(static_cast<int16_t>(zero_));
    const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32((__m512i)round(a), (__m512i)round(b)), zero);
    const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32((__m512i)round(c), (__m512i)round(d)), zero);
    const __m512i from = _mm512_set1_epi8(static_cast<char>(low_)), to = _mm512_set1_epi8(static_cast<char>(high_));
    if (is_signed_) return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(low, high), from), to);
    return _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(low, high), from), to);
  }
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
  __m256i pack(vf32 a, vf32 b, vf32 c, vf32 d) const {
    const __m256i zero = _mm256_set1_epi16(static_cast<int16_t>(zero_));
    const __m256i low = _mm256_adds_epi16(_mm256_packs_epi32((__m256i)round(a), (__m256i)round(b)), zero);
    const __m256i high = _mm256_adds_epi16(_mm256_packs_epi32((__m256i)round(c), (__m256i)round(d)), zero);
    const __m256i from = _mm256_set1_epi8(static_cast<char>(low_)), to = _mm256_set1_epi8(static_cast<char>(high_));
    if (is_signed_) return _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(low, high), from), to);
    return _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(low, high), from), to);
  }
#endif

  bool is_signed_;
  int32_t zero_, low_, high_;
};

}  // namespace
}  // namespace ARN_NS
