// Tile functions on i32, i64, u64 and bool. Signed arithmetic wraps: INT_MIN / -1 = INT_MIN, INT_MIN mod -1 = 0. A tile
// function has no status: x / 0 = 0 and x mod 0 = 0 here, and who runs the program looks for such divisors (tile_run).
#include "kernels/tile/functions.h"

namespace ARN_NS {
namespace {

template <typename T>
struct Unsigned {
  typedef uint64_t type;
};
template <>
struct Unsigned<int32_t> {
  typedef uint32_t type;
};

template <typename T>
constexpr bool kSigned = static_cast<T>(-1) < static_cast<T>(0);
template <typename T>
constexpr unsigned kBits = sizeof(T) * 8;

template <typename T>
inline bool below_zero(T a) {
  if constexpr (kSigned<T>) return a < 0;
  return false;
}

template <typename T>
inline T negate(T a) {
  using U = typename Unsigned<T>::type;
  return static_cast<T>(U(0) - static_cast<U>(a));
}

template <typename T>
inline T quotient(T a, T b) {  // toward zero
  if (b == 0) return 0;
  if (kSigned<T> && b == static_cast<T>(-1)) return negate(a);
  return a / b;
}

// Through f64, whose quotients of 32 bits are exact enough to be cut off: what is no integer is at least 1 / b away
// from one. Vectors have no division of integers.
template <>
inline int32_t quotient(int32_t a, int32_t b) {
  const bool odd = (b == 0) | (b == -1);
  const int32_t q = static_cast<int32_t>(static_cast<double>(a) / static_cast<double>(odd ? 1 : b));
  return odd ? (b == 0 ? 0 : negate(a)) : q;
}

template <typename T>
inline T remainder_truncated(T a, T b) {  // sign of the dividend
  if (b == 0 || (kSigned<T> && b == static_cast<T>(-1))) return 0;
  return a % b;
}

template <typename T>
inline T remainder_floored(T a, T b) {  // sign of the divisor
  const T r = remainder_truncated(a, b);
  return r != 0 && below_zero(r) != below_zero(b) ? r + b : r;
}

// Wraps; a negative exponent gives the truncated reciprocal: 1 and -1 keep their powers, everything else is 0.
template <typename T>
inline T power(T a, T b) {
  using U = typename Unsigned<T>::type;
  if (b < 0) return a == 1 ? 1 : (a == -1 ? ((b & 1) ? -1 : 1) : 0);
  U base = static_cast<U>(a), result = 1;
  for (U e = static_cast<U>(b); e != 0; e >>= 1) {
    if (e & 1) result *= base;
    base *= base;
  }
  return static_cast<T>(result);
}

inline uint32_t rotated(uint32_t x, int by) { return x << by | x >> (32 - by); }
inline uint32_t murmur_joined(uint32_t h, uint32_t word) {
  return rotated(h ^ rotated(word * 0xcc9e2d51u, 15) * 0x1b873593u, 13) * 5u + 0xe6546b64u;
}
inline uint32_t murmur_finished(uint32_t h, size_t bytes) {
  h ^= static_cast<uint32_t>(bytes);
  h = (h ^ h >> 16) * 0x85ebca6bu;
  h = (h ^ h >> 13) * 0xc2b2ae35u;
  return h ^ h >> 16;
}

}  // namespace

#define ARN_INTEGER(type, utype)                                                           \
  ARN_BINARY(add, type, utype(a) + utype(b))                                               \
  ARN_BINARY(sub, type, utype(a) - utype(b))                                               \
  ARN_BINARY(mul, type, utype(a) * utype(b))                                               \
  ARN_BINARY(div, type, quotient(a, b))                                                    \
  ARN_BINARY(min, type, a < b ? a : b)                                                     \
  ARN_BINARY(max, type, a > b ? a : b)                                                     \
  ARN_BINARY(fmod, type, remainder_truncated(a, b))                                        \
  ARN_BINARY(mod, type, remainder_floored(a, b))                                           \
  ARN_UNARY(abs, type, below_zero(a) ? utype(0) - utype(a) : utype(a))                     \
  ARN_UNARY(sign, type, (a > 0) - below_zero(a))                                           \
  ARN_BINARY(prelu, type, below_zero(a) ? utype(a) * utype(b) : utype(a))                  \
  ARN_TERNARY(clip, type, (a < b ? b : a) > c ? c : (a < b ? b : a))                       \
  ARN_BINARY_TO(t_bool, eq, type, a == b)                                                  \
  ARN_BINARY_TO(t_bool, lt, type, a < b)                                                   \
  ARN_BINARY_TO(t_bool, le, type, a <= b)                                                  \
  ARN_BINARY(bit_and, type, a& b)                                                          \
  ARN_BINARY(bit_or, type, a | b)                                                          \
  ARN_BINARY(bit_xor, type, a ^ b)                                                         \
  ARN_UNARY(bit_not, type, ~a)                                                             \
  ARN_BINARY(shl, type, utype(b) < kBits<T> ? utype(a) << (utype(b) & (kBits<T> - 1)) : 0) \
  ARN_BINARY(shr, type,                                                                    \
             utype(b) < kBits<T> || kSigned<T> ? T(a >> (utype(b) < kBits<T> ? utype(b) : kBits<T> - 1)) : T(0))

ARN_INTEGER(i32, uint32_t)
ARN_INTEGER(i64, uint64_t)
ARN_INTEGER(u64, uint64_t)

#define ARN_SIGNED(type)               \
  ARN_UNARY(neg, type, negate(a))      \
  ARN_UNARY(relu, type, a > 0 ? a : 0) \
  ARN_BINARY(pow, type, power(a, b))

ARN_SIGNED(i32)
ARN_SIGNED(i64)

// MurmurHash3_x86_32 of an element's bytes; b is the seed. The hash as a number that is not negative.
#define ARN_MURMUR(type)                                                                  \
  void murmur_##type(int64_t n, void* dst, const void* pa, const void* pb, const void*) { \
    loop2<t_i64, t_##type, t_i64>(n, dst, pa, pb, [](t_##type a, t_i64 b) -> t_i64 {      \
      uint32_t word[sizeof(t_##type) / 4], h = static_cast<uint32_t>(b);                  \
      __builtin_memcpy(word, &a, sizeof(a));                                              \
      for (const uint32_t w : word) h = murmur_joined(h, w);                              \
      return murmur_finished(h, sizeof(a));                                               \
    });                                                                                   \
  }
ARN_MURMUR(i32)
ARN_MURMUR(i64)
ARN_MURMUR(u64)
ARN_MURMUR(f32)
ARN_MURMUR(f64)

ARN_BINARY(eq, bool, (a != 0) == (b != 0))
ARN_BINARY(and, bool, (a != 0) & (b != 0))
ARN_BINARY(or, bool, (a != 0) | (b != 0))
ARN_BINARY(xor, bool, (a != 0) ^ (b != 0))
ARN_UNARY(not, bool, a == 0)

#define ARN_WHERE(type)                                                                                 \
  void where_##type(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) {             \
    using T = t_##type;                                                                                 \
    loop3<T, t_bool, T, T>(n, dst, pa, pb, pc, [](t_bool a, T b, T c) -> T { return a != 0 ? b : c; }); \
  }
ARN_WHERE(f32)
ARN_WHERE(f64)
ARN_WHERE(i32)
ARN_WHERE(i64)
ARN_WHERE(u64)
ARN_WHERE(bool)

}  // namespace ARN_NS
