// Bytes of depthwise convolutions as floats, which hold their sums exactly: of up to kExactTaps products of numbers
// below 256 none reaches 2^24.
#pragma once

#include "kernels/qmatmul/quanta.h"

namespace ARN_NS {
namespace {

constexpr int64_t kExactTaps = 256;

// Where the bytes of a line are: `pixels` pixels of `channels` bytes, `pixel` bytes apart.
struct ByteLine {
  const char* at;
  int64_t pixels, pixel, channels;
  int32_t is_signed, zero;
};

inline vf32 widened(const ByteLine& line, const void* from) {
  return to_float((line.is_signed != 0 ? load_i8(from) : load_u8(from)) - line.zero);
}

// To pixels that are `to_pixel` elements apart, whole vectors of each: what follows the last channel is finite.
inline void widen_line(const ByteLine& line, float* to, int64_t to_pixel) {
  const int64_t whole = line.channels / L * L;
  if (line.pixel == to_pixel && whole == line.channels && line.pixel == line.channels) {
    for (int64_t i = 0; i < line.pixels * line.pixel; i += L) store_f32(to + i, widened(line, line.at + i));
    return;
  }
  for (int64_t i = 0; i < line.pixels; ++i, to += to_pixel) {
    const char* from = line.at + i * line.pixel;
    for (int64_t c = 0; c < whole; c += L) store_f32(to + c, widened(line, from + c));
    if (whole == line.channels) continue;
    // A vector may go on into the next pixel of the line.
    if (i + 1 < line.pixels && whole + L <= line.pixel + line.channels) {
      store_f32(to + whole, widened(line, from + whole));
      continue;
    }
    alignas(64) char some[kVectorBytes] = {};
    copy_some(some, from + whole, line.channels - whole);
    store_f32(to + whole, widened(line, some));
  }
}

}  // namespace
}  // namespace ARN_NS
