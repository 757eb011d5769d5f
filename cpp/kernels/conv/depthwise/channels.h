// Depthwise convolution where X and Y have their channels innermost: vectors over channels.
//
// The output is cut into tiles of columns and chunks of channels so that the input rows a row of a tile needs stay in
// L1 while the tile is walked downwards: every input element comes from farther away once.
#pragma once

#include "kernels/conv/window.h"

namespace ARN_NS {

// What is done to a finished element in registers: nothing, limits, x * clip(x + 3, 0, 6) / 6; or it is a whole number
// and stored as an int32.
enum class Finish : int32_t { kNone, kLimits, kHardSwish, kWhole };

struct ChannelGrid {
  int64_t columns, tiles;    // output columns of a tile, tiles of a row
  int64_t channels, chunks;  // channels of a chunk (the last one takes what is left over), chunks
  int64_t rows, bands;       // output rows of a unit, units down the image
};

ChannelGrid plan_channels(const ConvShape& s, int64_t l1_bytes);

// Output row (z, y), columns [x0, x0 + count) and channels [c0, c1) of one image.
struct ChannelSegment {
  int64_t z, y, x0, count, c0, c1;
};

struct ChannelFilter {
  const float *w, *bias;  // packed weights (tap * width + channel); bias may be null
  int64_t width;
  const float* zeros;  // as many as channels, for what lies outside the image
  Finish finish;
  float low, high;  // kLimits
};

// Output element (column x0 + i, channel c0 + c) to out[i * out_step + c].
void depthwise_channels(const ConvShape& s, const ChannelFilter& f, const float* image, const ChannelSegment& at,
                        float* out, int64_t out_step);

}  // namespace ARN_NS
