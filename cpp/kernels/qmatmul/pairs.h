// Integer products without dot products of bytes: both sides widened to 16 bits, whose products are added in pairs
// exactly. B is widened as it is read, A beforehand.
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

}  // namespace
}  // namespace ARN_NS
