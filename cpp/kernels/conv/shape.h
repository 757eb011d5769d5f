// The geometry that Conv and each phase of ConvTranspose have in common, with three spatial axes (leading ones of
// extent one are added).
#pragma once

#include "kernels/conv/params.h"
#include "kernels/matmul/gemm.h"

namespace ARN_NS {

// Along axis i, tap j of output coordinate o reads input coordinate o * step[i] + first[i] + j * tap_step[i], or zero
// when that lies outside [0, in[i]). The inner index of the product is k = tap * cg + channel, taps in row-major order.
struct ConvShape {
  int64_t batch, groups, cg, og;  // channels per group, in and out
  int64_t in[3], out[3], taps[3], step[3], first[3], tap_step[3];
  int64_t xn, xc, x[3];  // strides in elements
  int64_t yn, yc, y[3];
};

// The steps along axis i, if they can be computed with. A step between outputs, or between taps, of which there is only
// one is never taken: it is bounded, so that no product with it overflows.
static inline bool bound_steps(ConvShape* s, int i) {
  constexpr int64_t kFar = 64;  // no step below it is changed: forms are chosen by small ones
  if (s->step[i] < 1 || s->tap_step[i] < 1 || s->taps[i] < 1) return false;
  if (s->taps[i] == 1) s->tap_step[i] = min64(s->tap_step[i], kFar);
  if (s->out[i] <= 1) s->step[i] = min64(s->step[i], max64(s->in[i], kFar));
  int64_t reach;
  return !__builtin_mul_overflow(s->taps[i], s->tap_step[i], &reach);
}

static inline int64_t tap_count(const ConvShape& s) { return s.taps[0] * s.taps[1] * s.taps[2]; }
static inline int64_t pixel_count(const ConvShape& s) { return s.out[0] * s.out[1] * s.out[2]; }

// Distance of neighbouring output pixels when walking them is one stride: that of the innermost axis longer than one,
// or from image to image.
static inline int64_t pixel_stride(const ConvShape& s, const int64_t* strides, int64_t image) {
  for (int i = 2; i >= 0; --i)
    if (s.out[i] != 1) return strides[i];
  return image;
}

// Walks output pixels in row-major order.
struct Pixel {
  int64_t n, at[3];
};
static inline Pixel pixel_at(const ConvShape& s, int64_t index) {
  Pixel p;
  p.at[2] = index % s.out[2];
  index /= s.out[2];
  p.at[1] = index % s.out[1];
  index /= s.out[1];
  p.at[0] = index % s.out[0];
  p.n = index / s.out[0];
  return p;
}
static inline void next_pixel(const ConvShape& s, Pixel* p) {
  for (int i = 2; i >= 0; --i) {
    if (++p->at[i] < s.out[i]) return;
    p->at[i] = 0;
  }
  ++p->n;
}

// The memory of X: from its lowest element to past its highest. Vectors may be read anywhere inside.
struct Span {
  const float *begin, *end;
};
static inline Span span_of(const ConvShape& s, const float* x) {
  Span r{x, x + 1};
  const int64_t dims[5] = {s.batch, s.groups * s.cg, s.in[0], s.in[1], s.in[2]};
  const int64_t strides[5] = {s.xn, s.xc, s.x[0], s.x[1], s.x[2]};
  for (int i = 0; i < 5; ++i) (strides[i] < 0 ? r.begin : r.end) += (dims[i] - 1) * strides[i];
  return r;
}

// The im2col matrix over inner indices [k0, k0 + depth) and pixels [p0, p0 + pixels) (numbered over all images when x
// addresses image 0). x is at the group's first channel.
// Rows: dst[p * depth + k]. Panels: dst[(p / kLanes) * depth * kLanes + k * kLanes + p % kLanes], padded with zeros.
void im2col_rows(const ConvShape& s, const float* x, float* dst, int64_t k0, int64_t depth, int64_t p0, int64_t pixels);
void im2col_panels(const ConvShape& s, const float* x, const Span& span, float* dst, int64_t k0, int64_t depth,
                   int64_t p0, int64_t pixels);

}  // namespace ARN_NS
