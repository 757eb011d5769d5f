#include "kernels/norm/norm.h"

#if ARN_TIER_LEVEL == 0
ARN_DEFINE_BIND(layer_norm_f64) { return ARN_NS::bind_layer_norm<double>(args, out, bound); }
ARN_DEFINE_BIND(rms_norm_f64) { return ARN_NS::bind_rms_norm<double>(args, out, bound); }
ARN_DEFINE_BIND(lp_norm_f64) { return ARN_NS::bind_lp_norm<double>(args, out, bound); }
ARN_DEFINE_BIND(instance_norm_f64) { return ARN_NS::bind_instance_norm<double>(args, out, bound); }
ARN_DEFINE_BIND(group_norm_f64) {
  const auto* p = static_cast<const arn_group_norm_params*>(args->params);
  return ARN_NS::bind_group_norm<double>(args, p->num_groups, p->epsilon, out, bound);
}
#endif
