// ResizeSizes: the extents that scales give.
#include "kernels/resize/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

struct SizesBound {
  int64_t count;
  double extent[ARN_MAX_RANK];
};

int32_t sizes_task(const void* bound, void* const* operand, int64_t, int64_t, void*, void*, const arn_state*) {
  const SizesBound& b = *static_cast<const SizesBound*>(bound);
  const float* scales = static_cast<const float*>(operand[0]);
  int64_t* sizes = static_cast<int64_t*>(operand[1]);
  for (int64_t i = 0; i < b.count; ++i) {
    const double scale = static_cast<double>(scales[i]);
    if (!(scale > 0 && scale < 1e18)) return ARN_BAD_VALUE;
    const double size = __builtin_floor(b.extent[i] * scale);
    if (size > 1e15) return ARN_OVERFLOW;
    sizes[i] = static_cast<int64_t>(size);
  }
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(resize_sizes) {
  using namespace ARN_NS;
  const arn_desc &scales = args->operand[0], &sizes = args->operand[1];
  if (scales.rank != 1 || !same_dims(scales, sizes) || scales.dims[0] > ARN_MAX_RANK) return ARN_SHAPE_MISMATCH;
  SizesBound* b = static_cast<SizesBound*>(bound);
  b->count = scales.dims[0];
  const auto* p = static_cast<const arn_resize_sizes_params*>(args->params);
  for (int64_t i = 0; i < b->count; ++i) b->extent[i] = static_cast<double>(p->extents[i]);
  return bind_done(out, sizes_task, 1, sizeof(SizesBound), "sizes");
}
#endif
