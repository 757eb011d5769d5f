// Integer products by VNNI: AVX512-VNNI beside tier v4, AVX-VNNI beside v3. Also the rate of its dot products.
#include <immintrin.h>

#include "kernels/qmatmul/block.h"

namespace ARN_NS {
namespace {

struct Vnni {
#if ARN_TIER_LEVEL >= 2
  typedef __m512i W;
  static W dot(W sum, W a, W b) { return _mm512_dpbusd_epi32(sum, a, b); }
  static W spread(int32_t x) { return _mm512_set1_epi32(x); }
  static constexpr int kRegisters = 32;
#else
  typedef __m256i W;
  static W dot(W sum, W a, W b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
  static W spread(int32_t x) { return _mm256_set1_epi32(x); }
  static constexpr int kRegisters = 16;
#endif
  typedef vi32 V;
  typedef vi32 B;
  typedef vi32 A;
  static constexpr int64_t kGroupBytes = 4;
  static constexpr int kFewSums = 8;
  static constexpr int rows_for(int vectors) { return (kRegisters - 1 - vectors) / vectors; }
  static B load_b(const int8_t* p) { return *reinterpret_cast<const vi32u*>(p); }
  static A load_a(const uint8_t* p) {
    int32_t x;
    __builtin_memcpy(&x, p, 4);
    return (vi32)spread(x);
  }
  static V step(V sum, A a, B b) { return (vi32)dot((W)sum, (W)a, (W)b); }
};

constexpr int kTallest = ARN_TIER_LEVEL >= 2 ? Vnni::rows_for(3) : Vnni::rows_for(2);
const arn_dots_kernel kKernel = {"vnni", kTallest, 12, 4, ARN_DOT_UNSIGNED, 0, 0, nullptr, run_tiles<Vnni>, nullptr};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_dots_kernel* ARN_CONCAT(arn_dots_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }

// 12 independent chains of dot products, `rounds` times; returns the operations done: two a product of bytes.
extern "C" double ARN_CONCAT(arn_peak_dots_, ARN_TIER_NAME, )(int64_t rounds, int32_t* sink) {
  using namespace ARN_NS;
  constexpr int kChains = 12;
  const vi32 one = vi32{} + 0x01010101;
  vi32 x[kChains] = {};
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      __asm__("" : "+v"(x[i]));
      x[i] = Vnni::step(x[i], one, one);
    }
  }
  vi32 sum{};
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum += x[i];
  *reinterpret_cast<vi32u*>(sink) = sum;
  return static_cast<double>(rounds) * kChains * 2 * kVectorBytes;
}
