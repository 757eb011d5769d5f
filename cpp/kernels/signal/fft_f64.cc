#include "kernels/signal/fft.h"

#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(fft_f64) { return ARN_NS::fft_bind<double>(args, out, bound); }
#endif
