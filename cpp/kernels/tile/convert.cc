#include "kernels/tile/convert.h"

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "kernels/copy/plane.h"
#include "kernels/tile/functions.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

inline float as_float(uint32_t u) {
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}
inline uint32_t as_bits(float f) {
  uint32_t u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}

// A small binary float of 1 + E + M bits: bias B, largest finite code `top` (sign off), what lies above it.
enum Above { kInfinity, kNaN, kNegativeZeroIsNaN, kSaturate };
template <int M_, int B_, uint32_t top_, Above above_>
struct Small {
  static constexpr int M = M_, B = B_;
  static constexpr uint32_t top = top_;
  static constexpr Above above = above_;
};
typedef Small<10, 15, 0x7bff, kInfinity> F16;
typedef Small<3, 7, 0x7e, kNaN> E4M3FN;
typedef Small<3, 8, 0x7f, kNegativeZeroIsNaN> E4M3FNUZ;
typedef Small<2, 15, 0x7b, kInfinity> E5M2;
typedef Small<2, 16, 0x7f, kNegativeZeroIsNaN> E5M2FNUZ;
typedef Small<1, 1, 0x7, kSaturate> E2M1;
typedef Small<3, 1, 0x1f, kSaturate> E2M3;
typedef Small<2, 3, 0x1f, kSaturate> E3M2;

template <typename S, int sign_bit>
inline float small_to_float(uint32_t code) {
  const uint32_t em = code & ((1u << sign_bit) - 1), sign = (code >> sign_bit & 1) << 31;
  // Normal numbers shift into place; below them, one more exponent step and a subtraction of the hidden bit is exact.
  const uint32_t shifted = (em << (23 - S::M)) + (static_cast<uint32_t>(127 - S::B) << 23);
  const float hidden = as_float(static_cast<uint32_t>(128 - S::B) << 23);
  uint32_t bits = em < (1u << S::M) ? as_bits(as_float(shifted + (1u << 23)) - hidden) : shifted;
  if (S::above == kInfinity) {  // NaN becomes quiet, as the processor's conversion makes it
    const uint32_t quiet = em > S::top + 1 ? 0x400000u : 0;
    bits = em > S::top ? ((em << (23 - S::M)) | 0x7f800000u | quiet) : bits;
  }
  if (S::above == kNaN) bits = em > S::top ? 0x7fc00000u : bits;
  bits |= sign;
  if (S::above == kNegativeZeroIsNaN) bits = code == (1u << sign_bit) ? 0x7fc00000u : bits;
  return as_float(bits);
}

template <typename S, int sign_bit>
inline uint32_t float_to_small(float f) {
  const uint32_t all = as_bits(f), u = all & 0x7fffffffu;
  constexpr int drop = 23 - S::M;
  constexpr uint32_t first_normal = static_cast<uint32_t>(128 - S::B) << 23;
  // Adding 2^23 times the smallest subnormal leaves the rounded count of them in the low bits.
  constexpr uint32_t magic = static_cast<uint32_t>(128 - S::B - S::M + 23) << 23;
  const uint32_t below = as_bits(as_float(u) + as_float(magic)) - magic;
  const uint32_t rounded = (u + ((1u << (drop - 1)) - 1) + (u >> drop & 1)) >> drop;
  uint32_t code = u < first_normal ? below : rounded - (static_cast<uint32_t>(127 - S::B) << S::M);
  const bool over = u >= first_normal && code > S::top, nan = u > 0x7f800000u;
  constexpr uint32_t sign_mask = 1u << sign_bit;
  const uint32_t sign = all >> 31 << sign_bit;
  if (S::above == kInfinity) {
    code = over ? S::top + 1 : code;
    code = nan ? (S::top + 1) | (1u << (S::M - 1)) | (u >> drop & ((1u << S::M) - 1)) : code;
    return code | sign;
  }
  if (S::above == kNaN) return (over || nan ? S::top + 1 : code) | sign;
  if (S::above == kSaturate) return nan ? sign ^ sign_mask : (over ? S::top : code) | sign;
  return over || nan ? sign_mask : (code == 0 ? 0 : code | sign);
}

inline uint16_t float_to_bf16(float f) {
  const uint32_t u = as_bits(f);
  const uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
  return static_cast<uint16_t>(f != f ? (u >> 16 | 0x40) : rounded);
}

void f16_to_f32(int64_t n, void* dst, const void* src) {
  int64_t i = 0;
  float* d = static_cast<float*>(dst);
  const uint16_t* s = static_cast<const uint16_t*>(src);
#if defined(__AVX512F__)
  for (; i + 16 <= n; i += 16)
    _mm512_storeu_ps(d + i, _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(s + i))));
#elif defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(d + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(s + i))));
#endif
  loop1<float, uint16_t>(n - i, d + i, s + i, [](uint16_t h) { return small_to_float<F16, 15>(h); });
}

void f32_to_f16(int64_t n, void* dst, const void* src) {
  int64_t i = 0;
  uint16_t* d = static_cast<uint16_t*>(dst);
  const float* s = static_cast<const float*>(src);
#if defined(__AVX512F__)
  for (; i + 16 <= n; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(d + i),
                        _mm512_maskz_cvtps_ph(0xffff, _mm512_loadu_ps(s + i), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(d + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(s + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  loop1<uint16_t, float>(n - i, d + i, s + i,
                         [](float f) { return static_cast<uint16_t>(float_to_small<F16, 15>(f)); });
}

template <typename S, int sign_bit>
void widen_small(int64_t n, void* dst, const void* src) {
  loop1<float, uint8_t>(n, dst, src, [](uint8_t c) { return small_to_float<S, sign_bit>(c); });
}
template <typename S, int sign_bit>
void narrow_small(int64_t n, void* dst, const void* src) {
  loop1<uint8_t, float>(n, dst, src, [](float f) { return static_cast<uint8_t>(float_to_small<S, sign_bit>(f)); });
}
template <typename To, typename From>
void change(int64_t n, void* dst, const void* src) {
  loop1<To, From>(n, dst, src, [](From a) { return static_cast<To>(a); });
}
template <int bits, bool is_signed>
void widen_bits(int64_t n, void* dst, const void* src) {
  loop1<int32_t, uint8_t>(n, dst, src, [](uint8_t c) {
    const int32_t v = c & ((1 << bits) - 1);
    return is_signed && (v >> (bits - 1)) != 0 ? v - (1 << bits) : v;
  });
}
template <int bits>
void narrow_bits(int64_t n, void* dst, const void* src) {
  loop1<uint8_t, int32_t>(n, dst, src, [](int32_t v) { return static_cast<uint8_t>(v & ((1 << bits) - 1)); });
}

typedef uint32_t Four __attribute__((vector_size(16)));
typedef uint32_t FourAnywhere __attribute__((vector_size(16), aligned(4), may_alias));

inline void transpose4(uint32_t* dst, int64_t dst_col, const uint32_t* src, int64_t src_row) {
  const Four a = *reinterpret_cast<const FourAnywhere*>(src);
  const Four b = *reinterpret_cast<const FourAnywhere*>(src + src_row);
  const Four e = *reinterpret_cast<const FourAnywhere*>(src + 2 * src_row);
  const Four f = *reinterpret_cast<const FourAnywhere*>(src + 3 * src_row);
  const Four ab_low = shuffle<Four, 0, 4, 1, 5>(a, b), ab_high = shuffle<Four, 2, 6, 3, 7>(a, b);
  const Four ef_low = shuffle<Four, 0, 4, 1, 5>(e, f), ef_high = shuffle<Four, 2, 6, 3, 7>(e, f);
  *reinterpret_cast<FourAnywhere*>(dst) = shuffle<Four, 0, 1, 4, 5>(ab_low, ef_low);
  *reinterpret_cast<FourAnywhere*>(dst + dst_col) = shuffle<Four, 2, 3, 6, 7>(ab_low, ef_low);
  *reinterpret_cast<FourAnywhere*>(dst + 2 * dst_col) = shuffle<Four, 0, 1, 4, 5>(ab_high, ef_high);
  *reinterpret_cast<FourAnywhere*>(dst + 3 * dst_col) = shuffle<Four, 2, 3, 6, 7>(ab_high, ef_high);
}

// dst[c * dst_col + r] = src[r * src_row + c]: both sides in runs of four. Whole lines of the side with the larger
// stride are done before the next ones, which may fall into the same cache set.
void transpose(int64_t rows, int64_t cols, uint32_t* dst, int64_t dst_col, const uint32_t* src, int64_t src_row) {
  const int64_t whole_rows = rows / 4 * 4, whole_cols = cols / 4 * 4;
  if ((src_row < 0 ? -src_row : src_row) >= (dst_col < 0 ? -dst_col : dst_col)) {
    for (int64_t r = 0; r < whole_rows; r += 4)
      for (int64_t c = 0; c < whole_cols; c += 4)
        transpose4(dst + c * dst_col + r, dst_col, src + r * src_row + c, src_row);
  } else {
    for (int64_t c = 0; c < whole_cols; c += 4)
      for (int64_t r = 0; r < whole_rows; r += 4)
        transpose4(dst + c * dst_col + r, dst_col, src + r * src_row + c, src_row);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = r < whole_rows ? whole_cols : 0; c < cols; ++c) dst[c * dst_col + r] = src[r * src_row + c];
}

template <typename T>
void move(int64_t rows, int64_t cols, T* dst, int64_t dst_row, int64_t dst_col, const T* src, int64_t src_row,
          int64_t src_col) {
  if (dst_col == 1 && src_col == 1) {
    for (int64_t r = 0; r < rows; ++r) {
      T* d = dst + r * dst_row;
      const T* s = src + r * src_row;
      if (cols < 32) {
        ARN_INDEPENDENT
        for (int64_t c = 0; c < cols; ++c) d[c] = s[c];
      } else {
        __builtin_memmove(d, s, static_cast<size_t>(cols) * sizeof(T));
      }
    }
  } else if (dst_col == 1 && src_col == 0) {
    for (int64_t r = 0; r < rows; ++r) {
      T* d = dst + r * dst_row;
      const T value = src[r * src_row];
      for (int64_t c = 0; c < cols; ++c) d[c] = value;
    }
  } else if (sizeof(T) == 4 && rows > 1 && ((dst_row == 1 && src_col == 1) || (dst_col == 1 && src_row == 1))) {
    uint32_t* d = reinterpret_cast<uint32_t*>(dst);
    const uint32_t* s = reinterpret_cast<const uint32_t*>(src);
    if (src_col == 1)
      transpose(rows, cols, d, dst_col, s, src_row);
    else
      transpose(cols, rows, d, dst_row, s, src_col);
  } else if (sizeof(T) <= 2 && rows > 1 && cols > 1 && dst_row == 1 && src_col == 1) {
    const int64_t size = sizeof(T);
    transpose_plane<T>(reinterpret_cast<const char*>(src), reinterpret_cast<char*>(dst),
                       {cols, rows, size, src_row * size, dst_col * size, size});
  } else if (sizeof(T) <= 2 && rows > 1 && cols > 1 && dst_col == 1 && src_row == 1) {
    const int64_t size = sizeof(T);
    transpose_plane<T>(reinterpret_cast<const char*>(src), reinterpret_cast<char*>(dst),
                       {rows, cols, size, src_col * size, dst_row * size, size});
  } else if (rows > 1 && (src_row == 1 || dst_row == 1)) {  // a transpose: walk lines of the strided side
    for (int64_t c = 0; c < cols; ++c) {
      T* d = dst + c * dst_col;
      const T* s = src + c * src_col;
      ARN_INDEPENDENT
      for (int64_t r = 0; r < rows; ++r) d[r * dst_row] = s[r * src_row];
    }
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      T* d = dst + r * dst_row;
      const T* s = src + r * src_row;
      ARN_INDEPENDENT
      for (int64_t c = 0; c < cols; ++c) d[c * dst_col] = s[c * src_col];
    }
  }
}

template <typename T>
void fill(int64_t n, void* dst, const void* value) {
  T v;
  __builtin_memcpy(&v, value, sizeof(T));
  T* d = static_cast<T*>(dst);
  for (int64_t i = 0; i < n; ++i) d[i] = v;
}

}  // namespace

int32_t compute_type(int32_t storage) {
  switch (storage) {
    case ARN_F32:
    case ARN_F16:
    case ARN_BF16:
    case ARN_F8E4M3FN:
    case ARN_F8E4M3FNUZ:
    case ARN_F8E5M2:
    case ARN_F8E5M2FNUZ:
    case ARN_F4E2M1:
    case ARN_F6E2M3:
    case ARN_F6E3M2:
    case ARN_F8E8M0:
      return ARN_F32;
    case ARN_I32:
    case ARN_U8:
    case ARN_I8:
    case ARN_U16:
    case ARN_I16:
    case ARN_U4:
    case ARN_I4:
    case ARN_U2:
    case ARN_I2:
      return ARN_I32;
    case ARN_I64:
    case ARN_U32:
      return ARN_I64;
    case ARN_F64:
    case ARN_U64:
    case ARN_BOOL:
      return storage;
    default:
      return ARN_NONE;
  }
}

void widen(int32_t storage, int64_t n, void* dst, const void* src) {
  switch (storage) {
    case ARN_F16:
      return f16_to_f32(n, dst, src);
    case ARN_BF16:
      return loop1<uint32_t, uint16_t>(n, dst, src, [](uint16_t h) { return static_cast<uint32_t>(h) << 16; });
    case ARN_F8E4M3FN:
      return widen_small<E4M3FN, 7>(n, dst, src);
    case ARN_F8E4M3FNUZ:
      return widen_small<E4M3FNUZ, 7>(n, dst, src);
    case ARN_F8E5M2:
      return widen_small<E5M2, 7>(n, dst, src);
    case ARN_F8E5M2FNUZ:
      return widen_small<E5M2FNUZ, 7>(n, dst, src);
    case ARN_F4E2M1:
      return widen_small<E2M1, 3>(n, dst, src);
    case ARN_F6E2M3:
      return widen_small<E2M3, 5>(n, dst, src);
    case ARN_F6E3M2:
      return widen_small<E3M2, 5>(n, dst, src);
    case ARN_F8E8M0:  // 2^(code - 127), 255 is NaN; 2^-127 is subnormal in f32
      return loop1<uint32_t, uint8_t>(n, dst, src, [](uint8_t c) {
        return c == 255 ? 0x7fc00000u : (c == 0 ? 0x00400000u : static_cast<uint32_t>(c) << 23);
      });
    case ARN_U8:
      return change<int32_t, uint8_t>(n, dst, src);
    case ARN_I8:
      return change<int32_t, int8_t>(n, dst, src);
    case ARN_U16:
      return change<int32_t, uint16_t>(n, dst, src);
    case ARN_I16:
      return change<int32_t, int16_t>(n, dst, src);
    case ARN_U4:
      return widen_bits<4, false>(n, dst, src);
    case ARN_I4:
      return widen_bits<4, true>(n, dst, src);
    case ARN_U2:
      return widen_bits<2, false>(n, dst, src);
    case ARN_I2:
      return widen_bits<2, true>(n, dst, src);
    case ARN_U32:
      return change<int64_t, uint32_t>(n, dst, src);
    default:
      break;
  }
}

void narrow(int32_t storage, int64_t n, void* dst, const void* src) {
  switch (storage) {
    case ARN_F16:
      return f32_to_f16(n, dst, src);
    case ARN_BF16:
      return loop1<uint16_t, float>(n, dst, src, float_to_bf16);
    case ARN_F8E4M3FN:
      return narrow_small<E4M3FN, 7>(n, dst, src);
    case ARN_F8E4M3FNUZ:
      return narrow_small<E4M3FNUZ, 7>(n, dst, src);
    case ARN_F8E5M2:
      return narrow_small<E5M2, 7>(n, dst, src);
    case ARN_F8E5M2FNUZ:
      return narrow_small<E5M2FNUZ, 7>(n, dst, src);
    case ARN_F4E2M1:
      return narrow_small<E2M1, 3>(n, dst, src);
    case ARN_F6E2M3:
      return narrow_small<E2M3, 5>(n, dst, src);
    case ARN_F6E3M2:
      return narrow_small<E3M2, 5>(n, dst, src);
    case ARN_U8:
    case ARN_I8:
      return change<uint8_t, int32_t>(n, dst, src);
    case ARN_U16:
    case ARN_I16:
      return change<uint16_t, int32_t>(n, dst, src);
    case ARN_U4:
    case ARN_I4:
      return narrow_bits<4>(n, dst, src);
    case ARN_U2:
    case ARN_I2:
      return narrow_bits<2>(n, dst, src);
    case ARN_U32:
      return change<uint32_t, int64_t>(n, dst, src);
    default:
      break;
  }
}

void move_block(int64_t bytes, int64_t rows, int64_t cols, void* dst, int64_t dst_row, int64_t dst_col, const void* src,
                int64_t src_row, int64_t src_col) {
#define ARN_MOVE(T) \
  move<T>(rows, cols, static_cast<T*>(dst), dst_row, dst_col, static_cast<const T*>(src), src_row, src_col)
  if (bytes == 4) return ARN_MOVE(uint32_t);
  if (bytes == 8) return ARN_MOVE(uint64_t);
  if (bytes == 2) return ARN_MOVE(uint16_t);
  ARN_MOVE(uint8_t);
#undef ARN_MOVE
}

void fill_register(int64_t bytes, int64_t n, void* dst, const void* value) {
  if (bytes == 4) return fill<uint32_t>(n, dst, value);
  if (bytes == 8) return fill<uint64_t>(n, dst, value);
  if (bytes == 2) return fill<uint16_t>(n, dst, value);
  fill<uint8_t>(n, dst, value);
}

}  // namespace ARN_NS
