#include "kernels/signal/fft.h"

ARN_DEFINE_BIND(fft_f32) { return ARN_NS::fft_bind<float>(args, out, bound); }
