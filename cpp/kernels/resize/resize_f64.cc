#include "kernels/resize/interpolate.h"

#if ARN_TIER_LEVEL == 0
ARN_DEFINE_BIND(resize_f64) { return ARN_NS::bind_resize<double, double>(args, out, bound); }
#endif
