// Elements as unsigned integers in the order of their values.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

// The bits of a float in the order of its values, 0 and -0 being one, every NaN on top. Objects, so that what calls
// them is compiled for each.
template <typename U, U kInfinity>
struct FloatKey {
  inline U operator()(U bits) const {
    constexpr U kSign = static_cast<U>(U{1} << (8 * sizeof(U) - 1));
    const U size = static_cast<U>(bits & static_cast<U>(~kSign));
    const U placed = (bits & kSign) != 0 ? static_cast<U>(~bits) : static_cast<U>(bits | kSign);
    const U number = size == 0 ? kSign : placed;
    return size > kInfinity ? static_cast<U>(~U{0}) : number;
  }
};

template <typename U, bool kSigned>
struct IntKey {
  inline U operator()(U bits) const {
    return kSigned ? static_cast<U>(bits ^ static_cast<U>(U{1} << (8 * sizeof(U) - 1))) : bits;
  }
};

// Calls f(U{}, key) for an element type: U holds an element's bits, key(U) is its place in the order.
template <typename F>
static inline void with_order(int32_t dtype, F&& f) {
  switch (dtype) {
    case ARN_F32:
      return f(uint32_t{}, FloatKey<uint32_t, 0x7f800000u>{});
    case ARN_F64:
      return f(uint64_t{}, FloatKey<uint64_t, 0x7ff0000000000000u>{});
    case ARN_F16:
      return f(uint16_t{}, FloatKey<uint16_t, 0x7c00>{});
    case ARN_BF16:
      return f(uint16_t{}, FloatKey<uint16_t, 0x7f80>{});
    case ARN_I8:
      return f(uint8_t{}, IntKey<uint8_t, true>{});
    case ARN_U8:
    case ARN_BOOL:
      return f(uint8_t{}, IntKey<uint8_t, false>{});
    case ARN_I16:
      return f(uint16_t{}, IntKey<uint16_t, true>{});
    case ARN_U16:
      return f(uint16_t{}, IntKey<uint16_t, false>{});
    case ARN_I32:
      return f(uint32_t{}, IntKey<uint32_t, true>{});
    case ARN_U32:
      return f(uint32_t{}, IntKey<uint32_t, false>{});
    case ARN_I64:
      return f(uint64_t{}, IntKey<uint64_t, true>{});
    default:
      return f(uint64_t{}, IntKey<uint64_t, false>{});
  }
}

}  // namespace ARN_NS
