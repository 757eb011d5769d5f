// Linear quantisation. quantize: clamp(rint(x / scale) + zero, low, high), the quotient rounded to f32 and then to
// nearest even; NaN gives low. dequantize: (x - zero) * scale in f32.
#include "kernels/tile/functions.h"
#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer of |x| < 2^22 in the low bits

inline vf32 magnitude(vf32 x) { return (vf32)((vi32)x & INT32_MAX); }

// NaN gives low.
inline vf32 clamp(vf32 x, vf32 low, vf32 high) {
  const vf32 up = x > low ? x : low;
  return up < high ? up : high;
}
inline float clamp(float x, float low, float high) {
  const float up = x > low ? x : low;
  return up < high ? up : high;
}

// Quotients by way of the reciprocal are within 2^-22 of the divided ones, relative: where such a quotient of a byte is
// not that close to a tie, both round to the same integer. All others are divided.
template <int32_t low, int32_t high>
void quantize(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) {
  constexpr bool kBytes = high - low <= 255;
  constexpr float kSure = 0.4998f;
  constexpr int64_t L = kLanesF32;
  const float *x = static_cast<const float*>(pa), *scale = static_cast<const float*>(pb);
  const int32_t* zero = static_cast<const int32_t*>(pc);
  int32_t* d = static_cast<int32_t*>(dst);
  vf32 known{}, inverse{};
  bool inverts = false;
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    const vf32 v = load_f32(x + i), s = load_f32(scale + i);
    const vi32 z = *reinterpret_cast<const vi32u*>(zero + i);
    const vf32 shift = __builtin_convertvector(z, vf32);
    const vf32 least = static_cast<float>(low) - shift, most = static_cast<float>(high) - shift;
    if (kBytes && any_lane((vi32)s != (vi32)known)) {
      known = s;
      inverse = 1.0f / s;
      inverts = !any_lane(~((magnitude(s) > 1e-30f) & (magnitude(s) < 1e30f)));
    }
    vf32 whole = {};
    bool sure = false;
    if (kBytes && inverts) {
      const vf32 quotient = clamp(v * inverse, least, most);
      whole = quotient + kWhole;
      sure = !any_lane(magnitude(quotient - (whole - kWhole)) > kSure);
    }
    if (!sure) whole = clamp(v / s, least, most) + kWhole;
    *reinterpret_cast<vi32u*>(d + i) = (vi32)whole - (vi32)splat_f32(kWhole) + z;
  }
  for (; i < n; ++i) {
    const float shift = static_cast<float>(zero[i]);
    const float q = clamp(x[i] / scale[i], static_cast<float>(low) - shift, static_cast<float>(high) - shift) + kWhole;
    int32_t bits;
    __builtin_memcpy(&bits, &q, sizeof(bits));
    d[i] = bits - 0x4b400000 + zero[i];
  }
}

}  // namespace

#define ARN_QUANTIZE(type, low, high)                                                                \
  void quantize_##type##_f32(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) { \
    quantize<low, high>(n, dst, pa, pb, pc);                                                         \
  }
ARN_QUANTIZE(u8, 0, 255)
ARN_QUANTIZE(i8, -128, 127)
ARN_QUANTIZE(u16, 0, 65535)
ARN_QUANTIZE(i16, -32768, 32767)

void dequantize_i32(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) {
  float* d = static_cast<float*>(dst);
  const uint32_t *x = static_cast<const uint32_t*>(pa), *zero = static_cast<const uint32_t*>(pb);
  const float* scale = static_cast<const float*>(pc);
  ARN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) d[i] = static_cast<float>(static_cast<int32_t>(x[i] - zero[i])) * scale[i];
}

}  // namespace ARN_NS
