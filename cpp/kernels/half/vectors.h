// Vectors of float32 made of 16-bit floats and bfloat16 made of float32, on the tier's vectors.
#pragma once

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;

typedef uint32_t hu32 __attribute__((vector_size(ARN_VECTOR_BYTES)));
typedef uint32_t hu32u __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(2), may_alias));
typedef uint16_t hu16 __attribute__((vector_size(ARN_VECTOR_BYTES / 2)));
typedef uint16_t hu16u __attribute__((vector_size(ARN_VECTOR_BYTES / 2), aligned(2), may_alias));

inline hu32 load_pairs(const uint16_t* p) { return *reinterpret_cast<const hu32u*>(p); }
inline void store_pairs(uint16_t* p, hu32 v) { *reinterpret_cast<hu32u*>(p) = v; }
inline hu32 widen_bits(const uint16_t* p) { return __builtin_convertvector(*reinterpret_cast<const hu16u*>(p), hu32); }
inline void store_bits(uint16_t* p, hu32 v) { *reinterpret_cast<hu16u*>(p) = __builtin_convertvector(v, hu16); }

// L elements of storage type kType from p on.
template <int kType>
inline vf32 load_as_float(const void* p);
template <>
inline vf32 load_as_float<ARN_F32>(const void* p) {
  return load_f32(static_cast<const float*>(p));
}
template <>
inline vf32 load_as_float<ARN_BF16>(const void* p) {
  return (vf32)(widen_bits(static_cast<const uint16_t*>(p)) << 16);
}
template <>
inline vf32 load_as_float<ARN_F16>(const void* p) {
#if ARN_VECTOR_BYTES == 64 && defined(__AVX512F__)
  return (vf32)_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(static_cast<const __m256i*>(p)));
#elif ARN_VECTOR_BYTES == 32 && defined(__F16C__)
  return (vf32)_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
#else
  // Normal numbers shift into place; below them, one more exponent step and the subtraction of its hidden bit is exact.
  const hu32 code = widen_bits(static_cast<const uint16_t*>(p)), size = code & 0x7fff;
  const hu32 shifted = (size << 13) + (112u << 23);
  const hu32 below = (hu32)((vf32)(shifted + (1u << 23)) - (vf32)((113u << 23) + hu32{}));
  const hu32 above = (shifted + (112u << 23)) | ((hu32)(size > 0x7c00) & 0x400000u);
  const hu32 bits = size < 0x400 ? below : size >= 0x7c00 ? above : shifted;
  return (vf32)(bits | (code & 0x8000) << 16);
#endif
}

template <>
inline vf32 load_as_float<ARN_I8>(const void* p) {
  return __builtin_convertvector(load_i8(p), vf32);
}

// The nearest bfloat16, ties to even, as a float32 that has its bits and zeros below. NaN becomes quiet.
inline hu32 nearest_bf16(vf32 x) {
  const hu32 u = (hu32)x;
  const hu32 rounded = u + 0x7fff + (u >> 16 & 1), quiet = u | 0x400000u;
  return (hu32)(x != x ? (vf32)quiet : (vf32)rounded) & 0xffff0000u;
}

// Planes of x: each holds a bfloat16 next to what the ones before leave. A plane is a float32 that has a bfloat16's
// bits and zeros below. One plane is the nearest, ties to even; of more, the sum is x, where all are finite.
template <int kPlanes>
inline void split(vf32 x, hu32 (&plane)[kPlanes]) {
  if (kPlanes == 1) {
    plane[0] = nearest_bf16(x);
    return;
  }
#pragma GCC unroll 3
  for (int i = 0; i < kPlanes; ++i) {
    plane[i] = ((hu32)x + 0x8000u) & 0xffff0000u;
    if (i + 1 < kPlanes) x -= (vf32)plane[i];
  }
}

// The greatest magnitude met, as bits.
struct Greatest {
  hu32 bits = {};
  inline void meet(vf32 x) {
    const hu32 size = (hu32)x & 0x7fffffffu;
    bits = bits > size ? bits : size;
  }
  // Whether the planes of all that was met are finite.
  inline bool splits() const {
    uint32_t most = 0;
    for (int i = 0; i < L; ++i) most = most > bits[i] ? most : bits[i];
    return most < 0x7f7f8000u;
  }
};

}  // namespace
}  // namespace ARN_NS
