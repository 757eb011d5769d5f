// Packed convolution weights: for each group, panels of kLanes output channels (see gemm.h) over the inner index
// k = tap * cg + channel. Conv: taps in row-major order. ConvTranspose: taps grouped by residue class (see TapSet),
// classes in row-major order of their residues, taps of a class in row-major order; so the taps that one phase of the
// output needs are consecutive.
#pragma once

#include "kernels/conv/params.h"
#include "kernels/matmul/gemm.h"

namespace ARN_NS {

// Taps of one residue class: tap j along axis i is kernel position first[i] + j * step[i], 0 <= j < count[i].
struct TapSet {
  int64_t count[3], first[3], step[3];
  int64_t before;  // taps of the classes before this one
};

// Where weights lie before packing, in elements: by group, output channel, input channel of the group, kernel position.
struct RawWeights {
  int64_t groups, cg, og, kernel[3];
  int64_t group, out, in, at[3];
};

static inline RawWeights raw_weights(const arn_desc& w, const arn_conv_params& p, bool transposed) {
  RawWeights r{};
  r.groups = p.group;
  const int64_t first = p.group > 0 ? w.dims[0] / p.group : 0;  // channels of a group along the first dim
  r.og = transposed ? w.dims[1] : first;
  r.cg = transposed ? first : w.dims[1];
  r.group = first * w.strides[0];
  r.out = w.strides[transposed ? 1 : 0];
  r.in = w.strides[transposed ? 0 : 1];
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t d = i - (3 - p.spatial);
    r.kernel[i] = d < 0 ? 1 : w.dims[2 + d];
    r.at[i] = d < 0 ? 0 : w.strides[2 + d];
  }
  return r;
}

// Whether there is a channel for every group: else the number of groups says nothing of the weights' size.
static inline bool has_groups(const arn_desc& w, const arn_conv_params& p) {
  return p.group >= 1 && (p.group == 1 || p.group <= w.dims[0]);
}

// Strides and dilations of the three axes.
struct Steps {
  int64_t stride[3], dilation[3], pad[3];
};
static inline Steps read_steps(const arn_conv_params& p) {
  Steps s;
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t d = i - (3 - p.spatial);
    s.stride[i] = d < 0 ? 1 : p.strides[d];
    s.dilation[i] = d < 0 ? 1 : p.dilations[d];
    s.pad[i] = d < 0 ? 0 : p.pads[d];
  }
  return s;
}

// All taps, in order.
static inline TapSet all_taps(const RawWeights& r) {
  TapSet t{};
  for (int i = 0; i < 3; ++i) {
    t.count[i] = r.kernel[i];
    t.step[i] = 1;
  }
  return t;
}

// The taps k with k * dilation = residue (mod stride) along each axis.
static inline TapSet residue_class(const RawWeights& r, const Steps& s, const int64_t* residue) {
  TapSet t{};
  int64_t below[3];  // taps of smaller residue along one axis
  for (int i = 0; i < 3; ++i) {
    below[i] = 0;
    t.step[i] = 1;
    int64_t last = -1;
    for (int64_t k = 0; k < r.kernel[i]; ++k) {
      const int64_t at = k * s.dilation[i] % s.stride[i];
      below[i] += at < residue[i];
      if (at != residue[i]) continue;
      if (t.count[i]++ == 0)
        t.first[i] = k;
      else
        t.step[i] = k - last;
      last = k;
    }
  }
  t.before = below[0] * r.kernel[1] * r.kernel[2] + t.count[0] * (below[1] * r.kernel[2] + t.count[1] * below[2]);
  return t;
}

// Panels of inner indices [k0, k0 + depth) of a tap set and output channels [o0, o0 + n), from one group's weights.
static inline void pack_taps(const RawWeights& r, const TapSet& t, const float* w, float* dst, int64_t panel,
                             int64_t k0, int64_t depth, int64_t o0, int64_t n) {
  for (int64_t k = k0; k < k0 + depth;) {
    const int64_t tap = k / r.cg, c = k - tap * r.cg, run = min64(r.cg - c, k0 + depth - k);
    const int64_t at[3] = {tap / t.count[2] / t.count[1], tap / t.count[2] % t.count[1], tap % t.count[2]};
    const float* src = w + o0 * r.out + c * r.in;
    for (int i = 0; i < 3; ++i) src += (t.first[i] + at[i] * t.step[i]) * r.at[i];
    pack_panels(dst + (k - k0) * kLanesF32, panel, src, run, n, r.in, r.out);
    k += run;
  }
}

}  // namespace ARN_NS
