// Integer products without dot products of bytes: both sides widened to 16 bits, whose products are added in pairs
// exactly. A is widened beforehand, B as it is read, or beforehand too where many rows read it.
#pragma once

#include "kernels/qmatmul/block.h"
#include "simd/pairs.h"

namespace ARN_NS {
namespace {

struct Pairs {
  typedef vi32 V;
  struct B {
    vi16 even, odd;
  };
  struct A {
    vi16 even, odd;
  };
  static constexpr int64_t kGroupBytes = 8;
  static constexpr int kFewSums = ARN_TIER_LEVEL >= 2 ? 8 : 4;
  static constexpr int rows_for(int vectors) {
    return ARN_TIER_LEVEL >= 2 ? (vectors <= 2 ? 9 : vectors == 3 ? 6 : 4) : (vectors == 1 ? 6 : vectors == 2 ? 4 : 2);
  }
  static B load_b(const int8_t* p) {
    const vi16 both = (vi16) * reinterpret_cast<const vi32u*>(p);
    return {(vi16)(both << 8) >> 8, both >> 8};
  }
  // Two loads that fill a vector each: halves of one load would go through the registers of integers.
  static A load_a(const uint8_t* p) {
    typedef int32_t Word __attribute__((aligned(1), may_alias));
    const Word* words = reinterpret_cast<const Word*>(p);
    return {(vi16)(words[0] - vi32{}), (vi16)(words[1] - vi32{})};
  }
  static V step(V sum, const A& a, const B& b) {
    return sum + multiply_pairs(a.even, b.even) + multiply_pairs(a.odd, b.odd);
  }
};

// B widened, too: a group of four bytes is two words of 32 bits on either side, bytes 0 and 2, then 1 and 3. The first
// words of all groups come before the second ones, so a panel is [2 groups][16 columns] and a row of A [2 groups].
struct Words {
  typedef vi32 V;
  typedef vi16 B, A;
  static constexpr int64_t kGroupBytes = 4;
  static constexpr int kFewSums = ARN_TIER_LEVEL >= 2 ? 12 : 6;
  static constexpr int rows_for(int vectors) { return vectors <= 2 ? (ARN_TIER_LEVEL >= 2 ? 12 : 6) : 1; }
  static B load_b(const int8_t* p) { return (vi16) * reinterpret_cast<const vi32u*>(p); }
  static A load_a(const uint8_t* p) {
    typedef int32_t Word __attribute__((aligned(1), may_alias));
    return (vi16)(*reinterpret_cast<const Word*>(p) - vi32{});
  }
  static V step(V sum, A a, B b) { return sum + multiply_pairs(a, b); }
};

// The first and the second word of every group of four bytes.
inline void widen_signed(const int8_t* from, int64_t bytes, int8_t* first, int8_t* second) {
  for (int64_t i = 0; i < bytes; i += kVectorBytes) {
    const vi16 both = (vi16) * reinterpret_cast<const vi32u*>(from + i);
    *reinterpret_cast<vi32u*>(first + i) = (vi32)((vi16)(both << 8) >> 8);
    *reinterpret_cast<vi32u*>(second + i) = (vi32)(both >> 8);
  }
}
inline void widen_unsigned(const uint8_t* from, int64_t bytes, uint8_t* first, uint8_t* second) {
  int64_t i = 0;
  const auto widen = [&](auto four, int64_t at) __attribute__((always_inline)) {
    typedef decltype(four) V;
    typedef V U __attribute__((aligned(1), may_alias));
    const V both = *reinterpret_cast<const U*>(from + at);
    *reinterpret_cast<U*>(first + at) = both & 0x00ff00ff;
    *reinterpret_cast<U*>(second + at) = both >> 8 & 0x00ff00ff;
  };
  typedef int32_t Short __attribute__((vector_size(16)));
  for (; i + kVectorBytes <= bytes; i += kVectorBytes) widen(vi32{}, i);
  if (bytes >= 16) {  // the last vector lies over those before
    for (; i + 16 <= bytes; i += 16) widen(Short{}, i);
    if (i < bytes) widen(Short{}, bytes - 16);
    return;
  }
  for (; i < bytes; i += 4) {
    uint32_t both;
    __builtin_memcpy(&both, from + i, 4);
    const uint32_t even = both & 0x00ff00ffu, odd = both >> 8 & 0x00ff00ffu;
    __builtin_memcpy(first + i, &even, 4);
    __builtin_memcpy(second + i, &odd, 4);
  }
}

}  // namespace
}  // namespace ARN_NS
