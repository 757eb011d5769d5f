// Depthwise convolution (one input and one output channel a group). Packed weights: w[tap * width + channel], taps in
// row-major order, width = channels rounded up to whole vectors, zeros after the last channel.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

// By the weight alone, so that packing and binding agree.
bool is_depthwise(const arn_bind_args* args);
int64_t depthwise_pack_bytes(const arn_bind_args* args);
void depthwise_pack(const arn_bind_args* args, float* dst);
int32_t depthwise_bind(const arn_bind_args* args, arn_bound* out, void* bound);

}  // namespace ARN_NS
