// Convolutions that read lines of pixels in place: channels lie innermost, so the taps of one kernel line are one run
// of an input line, and the tile kernel walks from line to line instead of reading an im2col matrix. Lines are those of
// X where X has neither padding nor gaps along a row, else copies of them with their padding.
//
// Transposed convolutions whose windows do not overlap (transposed/nonoverlapping.cc) are such products, too: `phases`
// of them, one for each kernel line, whose channels are those of `spread` neighbouring output pixels.
//
// One unit is a rectangle of output pixels by a block of output channels of one group of one image.
#pragma once

#include "kernels/conv/direct/conv.h"

namespace ARN_NS {

constexpr int64_t kMostLines = 16;  // kernel lines

struct LinesBound {
  ConvShape s;
  int64_t phases, spread;      // 1 for a convolution
  int64_t og;                  // channels of a group of Y; s.og = og * spread
  int64_t y_phase, add_phase;  // from the first output row of one phase to that of the next
  int64_t y_rows, y_columns;   // extents of Y
  int64_t bias_stride, packed_k;
  int64_t rows, columns, o_block;  // extents of a unit
  int64_t row_blocks, column_blocks, o_blocks, units, units_per_task;
  int64_t lines, line;  // input lines of a unit, and their distance when they are copies
  int64_t hop;          // elements between the inputs of neighbouring output pixels
  // Offsets in thread scratch, in elements. At 0: partial sums. A block for the epilogue, block_row elements a pixel.
  int64_t at_block, at_stage, at_bias, at_edge;
  int64_t partial_row, block_row;
  int64_t epilogue_scratch;  // in bytes from the start of thread scratch
  int64_t add_n, add[3];     // strides of the operand that is added in registers
  int32_t add_operand;       // -1 for none
  int32_t has_bias, in_place, use_epilogue, out_operand;
  BlockActivation activation;
  Epilogue epilogue;
};

// Whether a convolution with packed weights whose output has its channels innermost runs this way.
bool lines_fit(const ConvShape& s);
int32_t lines_bind(const arn_bind_args* args, const ConvOperands& o, bool nonoverlapping, arn_bound* out, void* bound);
int32_t lines_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void* step_scratch,
                  void* thread_scratch, const arn_state* state);

// By the weight and the parameters alone, so that packing and binding agree.
bool is_nonoverlapping(const arn_bind_args* args);
int64_t nonoverlapping_pack_bytes(const arn_bind_args* args);
void nonoverlapping_pack(const arn_bind_args* args, float* dst);
void nonoverlapping_shape(const ConvOperands& o, ConvShape* s);

}  // namespace ARN_NS
