// Tile functions on u8, i8, u16, i16 and f16: those of 32 bits, in the bits that a store keeps.
#include "kernels/tile/functions.h"

namespace ARN_NS {
namespace {

typedef uint8_t t_u8;
typedef int8_t t_i8;
typedef uint16_t t_u16;
typedef int16_t t_i16;
typedef uint16_t t_f16;  // bits

// An order of f16 bits as of their numbers: both zeros are 0.
inline int16_t order_of(uint16_t h) {
  const int16_t magnitude = static_cast<int16_t>(h & 0x7fff);
  return static_cast<int16_t>(h >> 15 != 0 ? -magnitude : magnitude);
}
template <typename T>
constexpr bool below_zero(T a) {
  if constexpr (static_cast<T>(-1) < static_cast<T>(0)) return a < 0;
  return false;
}
inline bool is_number(uint16_t h) { return (h & 0x7fff) <= 0x7c00; }

}  // namespace

#define ARN_NARROW(type, utype)                                                                         \
  ARN_BINARY(add, type, utype(utype(a) + utype(b)))                                                     \
  ARN_BINARY(sub, type, utype(utype(a) - utype(b)))                                                     \
  ARN_BINARY(mul, type, utype(uint32_t(utype(a)) * utype(b)))                                           \
  ARN_BINARY(min, type, a < b ? a : b)                                                                  \
  ARN_BINARY(max, type, a > b ? a : b)                                                                  \
  ARN_TERNARY(clip, type, (a < b ? b : a) > c ? c : (a < b ? b : a))                                    \
  ARN_UNARY(neg, type, utype(utype(0) - utype(a)))                                                      \
  ARN_UNARY(abs, type, below_zero(a) ? utype(utype(0) - utype(a)) : utype(a))                           \
  ARN_UNARY(sign, type, below_zero(a) ? T(-1) : T(a != 0))                                              \
  ARN_UNARY(relu, type, below_zero(a) ? T(0) : a)                                                       \
  ARN_BINARY(prelu, type, below_zero(a) ? utype(uint32_t(utype(a)) * utype(b)) : utype(a))              \
  ARN_BINARY_TO(t_bool, eq, type, a == b)                                                               \
  ARN_BINARY_TO(t_bool, lt, type, a < b)                                                                \
  ARN_BINARY_TO(t_bool, le, type, a <= b)                                                               \
  ARN_BINARY(bit_and, type, a& b)                                                                       \
  ARN_BINARY(bit_or, type, a | b)                                                                       \
  ARN_BINARY(bit_xor, type, a ^ b)                                                                      \
  ARN_UNARY(bit_not, type, ~a)                                                                          \
  void where_##type(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) {             \
    using T = t_##type;                                                                                 \
    loop3<T, t_bool, T, T>(n, dst, pa, pb, pc, [](t_bool a, T b, T c) -> T { return a != 0 ? b : c; }); \
  }                                                                                                     \
  void cast_##type##_bool(int64_t n, void* dst, const void* pa, const void*, const void*) {             \
    loop1<t_bool, t_##type>(n, dst, pa, [](t_##type a) -> t_bool { return a != 0; });                   \
  }                                                                                                     \
  void cast_bool_##type(int64_t n, void* dst, const void* pa, const void*, const void*) {               \
    loop1<t_##type, t_bool>(n, dst, pa, [](t_bool a)->t_##type { return a != 0; });                     \
  }
ARN_NARROW(u8, uint8_t)
ARN_NARROW(i8, uint8_t)
ARN_NARROW(u16, uint16_t)
ARN_NARROW(i16, uint16_t)

ARN_UNARY(neg, f16, a ^ 0x8000)
ARN_UNARY(abs, f16, a & 0x7fff)
ARN_UNARY(sign, f16, !is_number(a) ? a | 0x200 : (a & 0x7fff) == 0 ? 0 : (a & 0x8000) | 0x3c00)
ARN_BINARY_TO(t_bool, eq, f16, (is_number(a) & is_number(b)) & (order_of(a) == order_of(b)))
ARN_BINARY_TO(t_bool, lt, f16, (is_number(a) & is_number(b)) & (order_of(a) < order_of(b)))
ARN_BINARY_TO(t_bool, le, f16, (is_number(a) & is_number(b)) & (order_of(a) <= order_of(b)))
ARN_UNARY_TO(t_bool, isnan, f16, !is_number(a))
ARN_UNARY_TO(t_bool, isinf, f16, (a & 0x7fff) == 0x7c00)
void where_f16(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) {
  loop3<t_f16, t_bool, t_f16, t_f16>(n, dst, pa, pb, pc,
                                     [](t_bool a, t_f16 b, t_f16 c) -> t_f16 { return a != 0 ? b : c; });
}

}  // namespace ARN_NS
