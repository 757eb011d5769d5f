// Conv and ConvTranspose: `spatial` (1 to 3) of each list are in use, in the order of the spatial dims. pads holds the
// begins of all spatial dims, then their ends. Operands X [N, C, ...], W, B?; output [N, O, ...].
//   Conv:          W is [O, C / group, kernel...]; pads are resolved (no auto_pad).
//   ConvTranspose: W is [C, O / group, kernel...]; the output's dims already contain output_padding.
#pragma once

#include "kernels/params.h"

ARN_PARAMS(arn_conv_params,
  (int64_t, group), (int64_t, spatial),
  (int64_t, kernel, [3]), (int64_t, strides, [3]), (int64_t, dilations, [3]), (int64_t, pads, [6]),
  (int64_t, form),     // of packed filters: 0 for matrix products, m for Winograd's F(m x m, 3 x 3), m = 2 or 4
  (int64_t, rounded),  // HalfConv: operands become the nearest bfloat16 first
  (int64_t, room));  // about the bytes of scratch a thread that Winograd's tiles may take; 0: what is fastest
