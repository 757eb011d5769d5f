#include "kernels/resize/interpolate.h"

ARN_DEFINE_BIND(resize_f32) { return ARN_NS::bind_resize<float, float>(args, out, bound); }
