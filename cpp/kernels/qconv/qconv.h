// Bound form of the integer convolutions. A unit is a run of output pixels of one image (and one depth) by a block of
// output channels of one group. What padding surrounds, or channels that do not lie next to each other, is read from
// copies of the input lines of a unit with their padding (the zero point of X); else X is read in place.
//
// The inner index of the product is k = tap * cg + channel, taps in row-major order: a line of the kernel whose taps
// are neighbours is one stretch of bytes. Depthwise convolutions (one channel a group) are sums over taps of all
// channels.
#pragma once

#include "kernels/conv/direct/conv.h"
#include "kernels/qconv/depthwise_dots.h"
#include "kernels/qconv/tiles.h"
#include "kernels/qmatmul/forms.h"
#include "kernels/qmatmul/operands.h"

namespace ARN_NS {

// Depthwise convolutions whose bytes are widened to floats, line by line of a unit: elements between neighbouring
// pixels (channels), lines and slices; 0 where bytes stay bytes.
struct QFloats {
  int64_t pixel, line, slice;
  int64_t at_lines, at_weights, at_sums;  // in thread scratch, bytes
};

struct QConvBound : QuantOperands {
  ConvShape s;
  RawWeights w;
  QGemm gemm;
  QForm form;
  QTiles tiles;
  int64_t k;
  int64_t packed_group;        // bytes of the packed weights of a group, or of all channels (depthwise)
  int64_t pixel, line, slice;  // bytes between neighbours of what is read, in place or copied
  int64_t walk;                // bytes between what neighbouring output pixels read, where straight
  int64_t stretches, stretch;  // of bytes, that a row of the product is; their length
  int64_t copy_channels;       // of a copied pixel
  int64_t p_block, o_block, p_blocks, o_blocks, block_count, units, units_per_task;
  int64_t out_pixel, add_pixel;  // strides of the output and of what is added when walking pixels
  int64_t add_n, add_c, add[3];
  // Offsets in thread scratch, in bytes; products' own scratch is at 0.
  int64_t at_columns, at_slab, at_lines, at_pointers, at_taps, at_sums, at_block, epilogue_scratch;
  int64_t at_weights, at_ones, at_woven, at_woven_columns, at_outside;  // depthwise
  QFloats floats;
  int32_t out_operand, out_dtype, packed, depthwise, copied, use_epilogue, one_run, straight;
  uint32_t features;
  Epilogue epilogue;
};

static inline bool is_depthwise(const RawWeights& w) {
  return w.cg == 1 && w.og == 1 && w.groups > 1 && ARN_CHOICE("qconv/depthwise", true);
}

// Packs output channels [first, first + n) of a group, or (depthwise) of all groups, into the form of qgemm.h.
void pack_filters(const RawWeights& w, const void* src, int64_t group, int64_t first, int64_t n, bool is_signed,
                  void* dst);
int64_t packed_filters_bytes(const RawWeights& w, int64_t n);

// Rows of a block that an epilogue of a program follows.
constexpr int64_t kEpilogueRows = 32;
// Depthwise, in floats: channels and bytes of lines of a unit, pixels whose sums are made before they are finished.
constexpr int64_t kFloatChannels = 64, kFloatBytes = 128 << 10, kMostFloatBytes = 1 << 20, kFloatPixels = 32;
// Depthwise: pixels whose sums are made before they are finished, at most.
constexpr int64_t kDepthwisePixels = 16;
constexpr int64_t kBeyondLines = 16;  // bytes of scratch after the copied lines

// Channels that the woven filters of so many have room for: whole vectors, or fewer than one in two pieces.
static inline int64_t woven_channels(int64_t channels) {
  return max64(round_up(channels, kVectorBytes), 2 * kVectorBytes);
}

// Depthwise filters: kernel rows (of all depths) in groups of four, kernel columns outermost; so the inner index of
// their packed form, which is padded, is 4 * groups * column + row.
struct FilterRows {
  int64_t rows, groups, columns;
};
static inline FilterRows filter_rows(const RawWeights& w) {
  const int64_t rows = w.kernel[0] * w.kernel[1];
  return {rows, ceil_div(rows, ARN_DOT_GROUP), w.kernel[2]};
}
static inline int64_t padded_depth(const RawWeights& w) {
  const FilterRows f = filter_rows(w);
  return is_depthwise(w) ? f.columns * f.groups * ARN_DOT_GROUP : f.rows * f.columns * w.cg;
}

// Output lines, and columns of each, that pixels [p0, p1) lie in: all columns when there are several lines.
struct PixelBox {
  int64_t y0, y1, x0, x1;
};
static inline PixelBox box_of(const ConvShape& s, int64_t p0, int64_t p1) {
  const int64_t y0 = p0 / s.out[2], y1 = (p1 - 1) / s.out[2];
  if (y0 == y1) return {y0, y1 + 1, p0 % s.out[2], (p1 - 1) % s.out[2] + 1};
  return {y0, y1 + 1, 0, s.out[2]};
}
// Input elements that n outputs along an axis span.
static inline int64_t span(const ConvShape& s, int axis, int64_t n) {
  return (n - 1) * s.step[axis] + (s.taps[axis] - 1) * s.tap_step[axis] + 1;
}

// Bytes of a line of padding that kernel rows outside of the image are read from.
static inline int64_t outside_bytes(const QConvBound& b) {
  const int64_t pixel = b.pixel < 0 ? -b.pixel : b.pixel;
  return span(b.s, 2, kDepthwisePixels) * pixel + round_up(b.o_block, ARN_DOT_LANES);
}

struct DepthwiseKernel {
  const char* variant;
  arn_depthwise_fn run;
  int32_t wide;  // memory for woven bytes, times that without widening
};
DepthwiseKernel depthwise_kernel(uint32_t features);

int32_t qconv_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void* step_scratch,
                  void* thread_scratch, const arn_state* state);

}  // namespace ARN_NS
