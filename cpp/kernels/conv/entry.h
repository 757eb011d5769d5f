// What the sources of a convolution row call in each other.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

// The matrix product form.
int32_t conv_bind(const arn_bind_args* args, bool transposed, arn_bound* out, void* bound);
int64_t conv_pack_bytes(const arn_bind_args* args, bool transposed);
void conv_pack(const arn_bind_args* args, bool transposed, float* dst);
int32_t conv_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void* step_scratch,
                 void* thread_scratch, const arn_state* state);

}  // namespace ARN_NS
