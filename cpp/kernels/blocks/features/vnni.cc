// Block products by VNNI: AVX512-VNNI beside tier v4, AVX-VNNI beside v3.
#include <immintrin.h>

#include "kernels/blocks/tile.h"

namespace ARN_NS {
namespace {

struct Vnni {
  template <int>
  static vi32 dot(vi32 sum, vi32 codes, vi32 a) {
#if ARN_TIER_LEVEL >= 2
    return (vi32)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)codes, (__m512i)a);
#else
    return (vi32)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)codes, (__m256i)a);
#endif
  }
};

const arn_blocks_kernel kKernel = {"vnni", 16, 0, nullptr, run_blocks<Vnni>, nullptr};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_blocks_kernel* ARN_CONCAT(arn_blocks_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }
