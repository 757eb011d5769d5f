// Bound form of the convolutions that run as matrix products (any group, stride, dilation, padding; Conv and
// ConvTranspose).
//
// Two orientations, by the output's layout: pixels are rows and channels columns (channels-last outputs, and small
// images, whose pixels would fill vectors badly), or channels are rows and pixels columns (outputs with unit stride
// along a row). Both reduce in the same order, so they give the same bytes.
//
// ConvTranspose is gathered: output pixels whose coordinates agree modulo the strides form a phase; a phase is a
// convolution of stride one with the taps of one residue class.
#pragma once

#include "kernels/conv/shape.h"
#include "kernels/conv/weights.h"
#include "kernels/tile/epilogue.h"

namespace ARN_NS {

// What the operands and parameters say.
struct ConvOperands {
  ConvShape s;
  RawWeights w;
  Steps steps;
  int64_t bias_stride;
  int32_t has_bias;
};

// Returns a status. A transposed convolution's output may have any extents (output_padding, output_shape).
int32_t read_conv(const arn_bind_args* args, bool transposed, ConvOperands* o);

// Rows of the tile that the product core cuts large blocks into.
constexpr int64_t kTileRows = ARN_TIER_LEVEL >= 2 ? 9 : ARN_TIER_LEVEL == 1 ? 6 : 4;

// Output channels whose weights, of one depth block, stay in L2 while a block of pixels is multiplied by them.
constexpr int64_t kColumns = 4 * kTileVectors * kLanesF32 * (ARN_TIER_LEVEL == 0 ? 4 : ARN_TIER_LEVEL == 1 ? 2 : 1);

struct ConvBound {
  ConvShape s;  // Conv: the convolution. ConvTranspose: dims and strides of X and the whole output; the kernel's taps
  RawWeights w;
  Steps steps;
  int64_t bias_stride;
  int64_t packed_k;  // inner indices of a packed panel
  int64_t phases;
  int64_t pixels;  // of one item: an image, or all images when they are joined
  int64_t items;   // images, or one
  int64_t p_block, o_block, p_blocks, o_blocks, units, units_per_task;
  // Offsets in thread scratch, in elements. At 0: partial sums, which a finished block that is not stored directly
  // overwrites; rows are partial_row apart.
  int64_t at_slab, at_weights, at_edge, at_compact, at_bias, at_stage;
  int64_t partial_row;
  int64_t epilogue_scratch;                  // in bytes from the start of thread scratch
  int64_t add_item, add_pixel, add_channel;  // strides of the operand that is added in registers
  int32_t add_operand;                       // -1 for none
  int32_t has_bias, packed, channel_rows, in_place, staged, direct, transposed, phased, use_epilogue, use_compact, relu;
  int32_t out_operand;
  // The epilogue works on views of one phase (see phase.cc): strides of every operand along the three axes, in
  // elements, and the bytes of an element.
  int32_t by_phase, operands;
  int64_t phase_step[ARN_MAX_OPERANDS][3], operand_bytes[ARN_MAX_OPERANDS];
  Epilogue epilogue;
};

bool phases_are_alike(const ConvBound& b);
// Fills phase_step, operand_bytes and the epilogue: columns are channels, rows the pixels of a phase over all images.
int32_t bind_phase_epilogue(const arn_bind_args* args, ConvBound* b);
// The addresses of all operands for the phase whose first output pixel is at `start`.
void operands_of_phase(const ConvBound& b, void* const* operand, const int64_t* start, void** shifted);

}  // namespace ARN_NS
