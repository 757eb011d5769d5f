// Convolutions of 3 x 3 taps with unit steps by Winograd's algorithm F(m x m, 3 x 3), m = 2 or 4: per tile of m x m
// outputs, (m + 2)^2 products over the input channels instead of 9 m^2.
//
// Output = A^T [sum over channels of (G g G^T) * (B^T d B)] A, for the (m + 2)^2 input patch d of a tile. The points of
// F(4, 3) are 0, +-sqrt(1/2), +-sqrt(2) and infinity, those of F(2, 3) are 0, +-1 and infinity. With these the error
// stays inside the tolerance rule, its sum of magnitudes being the largest of the outputs of a tile.
//
// Packed filters: for each group and each of the (m + 2)^2 positions, panels of kLanes output channels over the input
// channels (see gemm.h).
#pragma once

#include "kernels/conv/direct/conv.h"

namespace ARN_NS {

// m when the filters are packed for tiles of m x m outputs, or 0. By parameters and weights alone, so that packing and
// binding agree.
int32_t winograd_tile(const arn_bind_args* args);
int64_t winograd_pack_bytes(const arn_bind_args* args);
void winograd_pack(const arn_bind_args* args, float* dst);
int32_t winograd_bind(const arn_bind_args* args, arn_bound* out, void* bound);
int32_t winograd_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void* step_scratch,
                     void* thread_scratch, const arn_state* state);

struct WinogradBound {
  ConvShape s;
  int64_t bias_stride;
  int64_t tile, positions;          // m, (m + 2)^2
  int64_t tiles_y, tiles_x, tiles;  // tiles of all images
  int64_t t_block, o_block, t_blocks, o_blocks, units, units_per_task;
  // Transformed input: element (position, tile, channel) at position * v_position + tile * v_row + channel. Products
  // likewise, with output channels.
  int64_t v_position, v_row, m_position, m_row;
  int64_t at_products, at_bias, at_stage, stage_tiles;       // offsets in thread scratch, in elements
  int64_t epilogue_scratch;                                  // in bytes from the start of thread scratch
  int64_t add_n, add[3];                                     // strides of the operand that is added in registers
  int32_t has_bias, use_epilogue, out_operand, add_operand;  // add_operand: -1 for none
  BlockActivation activation;
  Epilogue epilogue;
};

}  // namespace ARN_NS
