// The tile functions of this tier, in the order of functions.inc.
#include "simd/vector.h"

namespace ARN_NS {
namespace {

void add_f32(int64_t n, void* dst, const void* a, const void* b, const void*) {
  float* d = static_cast<float*>(dst);
  const float *x = static_cast<const float*>(a), *y = static_cast<const float*>(b);
  for (int64_t i = 0; i < n; ++i) d[i] = x[i] + y[i];
}

const arn_tile_fn kFunctions[] = {
#define ARN_TILE_FN(name, result, a, b, c) name,
#include "kernels/tile/functions.inc"
#undef ARN_TILE_FN
};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_tile_fn* ARN_CONCAT(arn_tile_table_, ARN_TIER_NAME, )() { return ARN_NS::kFunctions; }
