#include "kernels/norm/norm.h"

ARN_DEFINE_BIND(layer_norm_f32) { return ARN_NS::bind_layer_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(rms_norm_f32) { return ARN_NS::bind_rms_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(lp_norm_f32) { return ARN_NS::bind_lp_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(instance_norm_f32) { return ARN_NS::bind_instance_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(group_norm_f32) {
  const auto* p = static_cast<const arn_group_norm_params*>(args->params);
  return ARN_NS::bind_group_norm<float>(args, p->num_groups, p->epsilon, out, bound);
}
