// AveragePool and LpPool.
#include "kernels/pool/lines.h"

namespace ARN_NS {
namespace {

template <typename T>
int32_t mean_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  PoolBound* b = static_cast<PoolBound*>(bound);
  const int32_t status = pool_bind<T>(args, pool_run<T, MeanOf<T>>, out, bound);
  const bool lines = status == ARN_OK && b->by_channels == 0 && ARN_CHOICE("pool/mean lines", true);
  return lines ? plan_lines<MeanLine, T>(args, b, out) : status;
}

template <typename T>
int32_t lp_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  const int64_t p = args->params == nullptr ? 0 : static_cast<const arn_pool_params*>(args->params)->p;
  if (p != 1 && p != 2) return ARN_UNSUPPORTED;
  return pool_bind<T>(args, p == 1 ? pool_run<T, SumAbsOf<T>> : pool_run<T, NormOf<T>>, out, bound);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(average_pool_f32) { return ARN_NS::mean_bind<float>(args, out, bound); }
ARN_DEFINE_BIND(lp_pool_f32) { return ARN_NS::lp_bind<float>(args, out, bound); }
#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(average_pool_f64) { return ARN_NS::mean_bind<double>(args, out, bound); }
ARN_DEFINE_BIND(lp_pool_f64) { return ARN_NS::lp_bind<double>(args, out, bound); }
#endif
