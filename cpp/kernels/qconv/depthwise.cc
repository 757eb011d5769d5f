// Which kernel sums the taps of a depthwise convolution; without dot products of bytes, both sides are widened to 16
// bits, whose products are added in pairs exactly.
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/qconv/depthwise_block.h"
#include "kernels/qconv/qconv.h"

extern "C" {
#ifdef ARN_HAS_VNNI
void arn_depthwise_v4_vnni(const arn_depthwise*, int64_t);
#endif
#ifdef ARN_HAS_AVX_VNNI
void arn_depthwise_v3_avx_vnni(const arn_depthwise*, int64_t);
#endif
}

namespace ARN_NS {
namespace {

template <int N>
inline typename Bytes<N>::I multiply_pairs(typename Bytes<N>::I a, typename Bytes<N>::I b) {
  using I [[maybe_unused]] = typename Bytes<N>::I;
#if defined(__AVX512BW__)
  if constexpr (N == 64) return (I)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#endif
#if defined(__AVX2__)
  if constexpr (N == 32) return (I)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#endif
#if defined(__SSE2__)
  if constexpr (N == 16) return (I)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
  return (a >> 16) * (b >> 16) + (a << 16 >> 16) * (b << 16 >> 16);
}

struct Pairs {
  static constexpr int kWide = 2;
  template <int N>
  struct Weights {
    typename Bytes<N>::I even, odd;
  };
  template <int N>
  static Weights<N> prepare(typename Bytes<N>::B b) {
    typedef typename Bytes<N>::I I;
    typedef int16_t H __attribute__((vector_size(N)));
    return {(I)((H)((typename Bytes<N>::W)b << 8) >> 8), (I)((H)b >> 8)};
  }
  template <int N>
  static typename Bytes<N>::I dot(typename Bytes<N>::I sum, const typename Bytes<N>::B* x, const Weights<N>& b) {
    typedef typename Bytes<N>::I I;
    return sum + multiply_pairs<N>((I)x[0], b.even) + multiply_pairs<N>((I)x[1], b.odd);
  }
};

void pairs(const arn_depthwise* d, int64_t bytes) { depthwise<Pairs>(d, bytes); }

}  // namespace

DepthwiseKernel depthwise_kernel(uint32_t features) {
#ifdef ARN_HAS_VNNI
  if ((features & ARN_FEATURE_VNNI) != 0 && ARN_CHOICE("qconv/depthwise vnni", true))
    return {"depthwise vnni", arn_depthwise_v4_vnni, 1};
#endif
#ifdef ARN_HAS_AVX_VNNI
  if ((features & ARN_FEATURE_AVX_VNNI) != 0 && ARN_CHOICE("qconv/depthwise vnni", true))
    return {"depthwise vnni", arn_depthwise_v3_avx_vnni, 1};
#endif
  (void)features;
  return {"depthwise", pairs, Pairs::kWide};
}

}  // namespace ARN_NS
