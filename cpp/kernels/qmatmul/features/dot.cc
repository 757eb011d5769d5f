// Integer products by AArch64's dot products of signed bytes.
#include <arm_neon.h>

#include "kernels/qmatmul/block.h"

namespace ARN_NS {
namespace {

struct Dot {
  typedef vi32 V;
  typedef int8x16_t B;
  typedef int8x16_t A;
  static constexpr int64_t kGroupBytes = 4;
  static constexpr int kFewSums = 8;
  static constexpr int rows_for(int vectors) { return (32 - 2 - vectors) / vectors; }
  static B load_b(const int8_t* p) { return vld1q_s8(p); }
  static A load_a(const uint8_t* p) {
    int32_t x;
    __builtin_memcpy(&x, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(x));
  }
  static V step(V sum, A a, B b) { return (vi32)vdotq_s32((int32x4_t)sum, b, a); }
};

const arn_dots_kernel kKernel = {"dot",   Dot::rows_for(4), 12,     4, ARN_DOT_SIGNED, 0, 0,
                                 nullptr, run_tiles<Dot>,   nullptr};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_dots_kernel* ARN_CONCAT(arn_dots_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }
