// Convolutions of one channel each by VNNI: AVX512-VNNI beside tier v4, AVX-VNNI beside v3.
#include <immintrin.h>

#include "kernels/qconv/depthwise_block.h"

namespace ARN_NS {
namespace {

struct Vnni {
  static constexpr int kWide = 1;
  template <int N>
  using Weights = typename Bytes<N>::B;
  template <int N>
  static Weights<N> prepare(typename Bytes<N>::B b) {
    return b;
  }
  template <int N>
  static typename Bytes<N>::I dot(typename Bytes<N>::I sum, const typename Bytes<N>::B* at, typename Bytes<N>::B b) {
    typedef typename Bytes<N>::I I;
    const typename Bytes<N>::B x = *at;
#if ARN_TIER_LEVEL >= 2
    if constexpr (N == 64) return (I)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)b);
    if constexpr (N == 32) return (I)_mm256_dpbusd_epi32((__m256i)sum, (__m256i)x, (__m256i)b);
    if constexpr (N == 16) return (I)_mm_dpbusd_epi32((__m128i)sum, (__m128i)x, (__m128i)b);
#else
    if constexpr (N == 32) return (I)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)x, (__m256i)b);
    if constexpr (N == 16) return (I)_mm_dpbusd_avx_epi32((__m128i)sum, (__m128i)x, (__m128i)b);
#endif
  }
};

}  // namespace
}  // namespace ARN_NS

extern "C" void ARN_CONCAT(arn_depthwise_, ARN_TIER_NAME, )(const arn_depthwise* d, int64_t bytes) {
  ARN_NS::depthwise<ARN_NS::Vnni>(d, bytes);
}
