// Conv and ConvTranspose: `spatial` (1 to 3) of each list are in use, in the order of the spatial dims. pads holds the
// begins of all spatial dims, then their ends. Operands X [N, C, ...], W, B?; output [N, O, ...].
//   Conv:          W is [O, C / group, kernel...]; pads are resolved (no auto_pad).
//   ConvTranspose: W is [C, O / group, kernel...]; the output's dims already contain output_padding.
#pragma once

#include "contract.h"

typedef struct {
  int64_t group, spatial;
  int64_t kernel[3], strides[3], dilations[3], pads[6];
  int64_t form;  // of packed filters: 0 for matrix products, m for Winograd's F(m x m, 3 x 3), m = 2 or 4
} arn_conv_params;
