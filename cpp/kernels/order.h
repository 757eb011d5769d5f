// Elements as unsigned integers in the order of their values.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

// The bits of a float in the order of its values, 0 and -0 being one, every NaN on top.
template <typename U, U kInfinity>
static inline uint64_t float_key(U bits) {
  constexpr U kSign = static_cast<U>(U{1} << (8 * sizeof(U) - 1));
  const U size = static_cast<U>(bits & static_cast<U>(~kSign));
  if (size > kInfinity) return static_cast<U>(~U{0});
  if (size == 0) return kSign;
  return (bits & kSign) != 0 ? static_cast<U>(~bits) : static_cast<U>(bits | kSign);
}

template <typename U, bool kSigned>
static inline uint64_t int_key(U bits) {
  return kSigned ? static_cast<U>(bits ^ static_cast<U>(U{1} << (8 * sizeof(U) - 1))) : bits;
}

// Calls f(U{}, key) for an element type: U holds an element's bits, key(U) is its place in the order.
template <typename F>
static inline void with_order(int32_t dtype, F&& f) {
  switch (dtype) {
    case ARN_F32:
      return f(uint32_t{}, float_key<uint32_t, 0x7f800000u>);
    case ARN_F64:
      return f(uint64_t{}, float_key<uint64_t, 0x7ff0000000000000u>);
    case ARN_F16:
      return f(uint16_t{}, float_key<uint16_t, 0x7c00>);
    case ARN_BF16:
      return f(uint16_t{}, float_key<uint16_t, 0x7f80>);
    case ARN_I8:
      return f(uint8_t{}, int_key<uint8_t, true>);
    case ARN_U8:
    case ARN_BOOL:
      return f(uint8_t{}, int_key<uint8_t, false>);
    case ARN_I16:
      return f(uint16_t{}, int_key<uint16_t, true>);
    case ARN_U16:
      return f(uint16_t{}, int_key<uint16_t, false>);
    case ARN_I32:
      return f(uint32_t{}, int_key<uint32_t, true>);
    case ARN_U32:
      return f(uint32_t{}, int_key<uint32_t, false>);
    case ARN_I64:
      return f(uint64_t{}, int_key<uint64_t, true>);
    default:
      return f(uint64_t{}, int_key<uint64_t, false>);
  }
}

}  // namespace ARN_NS
