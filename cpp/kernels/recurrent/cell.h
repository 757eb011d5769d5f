// What recurrent layers are made of: activations, the packed form of R and products of a few states with it.
//
// Packed form of a part of R with G gates: panels of kLanes hidden units; panel p holds, for k = 0 .. H - 1 and each
// gate g, kLanes numbers R[g][p * kLanes + j][k] in a row, zero past the last unit. So a panel is read once, in order,
// for all the gates of its units.
#pragma once

#include "kernels/recurrent/params.h"
#include "simd/math.h"

namespace ARN_NS {

struct Activation {
  int64_t code;
  float alpha, beta;
};

static inline vf32 activate(const Activation& a, vf32 x) {
  switch (a.code) {
    case ARN_ACT_SIGMOID:
      return vsigmoid(x);
    case ARN_ACT_TANH:
      return vtanh(x);
    case ARN_ACT_RELU:
      return x < 0.0f ? vf32{} : x;
    case ARN_ACT_AFFINE:
      return a.alpha * x + a.beta;
    case ARN_ACT_LEAKY_RELU:
      return x < 0.0f ? a.alpha * x : x;
    case ARN_ACT_THRESHOLDED_RELU:
      return x > a.alpha ? x : vf32{};
    case ARN_ACT_SCALED_TANH:
      return a.alpha * vtanh(a.beta * x);
    case ARN_ACT_HARD_SIGMOID:
      return vat_least(vat_most(a.alpha * x + a.beta, 1.0f), 0.0f);
    case ARN_ACT_ELU:
      return x < 0.0f ? a.alpha * vexpm1(vat_most(x, 0.0f)) : x;
    case ARN_ACT_SOFTSIGN:
      return x / (1.0f + vabs(x));
    default:
      return vsoftplus(x);
  }
}

// Elements of the packed form of `gates` gates of `hidden` units.
static inline int64_t packed_elements(int64_t gates, int64_t hidden) {
  return gates * round_up(hidden, kLanesF32) * hidden;
}

// r: element (row, k) at r + row * row_stride + k * k_stride; gate g of unit j is row g * hidden + j.
static inline void pack_gates(float* dst, const float* r, int64_t gates, int64_t hidden, int64_t row_stride,
                              int64_t k_stride) {
  for (int64_t p = 0; p < hidden; p += kLanesF32) {
    const int64_t n = min64(kLanesF32, hidden - p);
    for (int64_t k = 0; k < hidden; ++k)
      for (int64_t g = 0; g < gates; ++g, dst += kLanesF32)
        for (int64_t j = 0; j < kLanesF32; ++j)
          dst[j] = j < n ? r[(g * hidden + p + j) * row_stride + k * k_stride] : 0.0f;
  }
}

constexpr int kMostSums = 12;  // vectors of accumulators of the largest tile

// Sums of M states times NP panels of G gates, each one chain of multiply-adds in rising k: out[m][panel][gate].
template <int G, int NP, int M>
static inline void panel_product(const float* panel, int64_t hidden, const float* h, int64_t h_row, float* out) {
  const int64_t next = hidden * G * kLanesF32;
  vf32 acc[M][NP * G];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < NP * G; ++v) acc[m][v] = vf32{};
  for (int64_t k = 0; k < hidden; ++k) {
    vf32 x[M];
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) x[m] = splat_f32(h[m * h_row + k]);
#pragma GCC unroll 16
    for (int p = 0; p < NP; ++p)
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        const vf32 r = load_f32(panel + p * next + (k * G + g) * kLanesF32);
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) acc[m][p * G + g] += x[m] * r;
      }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int v = 0; v < NP * G; ++v) store_f32(out + (m * NP * G + v) * kLanesF32, acc[m][v]);
}

// Calls use(row, panel, sums of its G gates) for every row of h [rows, hidden] and every panel of the packed R, panels
// backward when `backward`: a layer that alternates finds in the cache the panels that it read last.
template <int G, typename Use>
static inline void product(const float* packed, int64_t hidden, const float* h, int64_t h_row, int64_t rows,
                           bool backward, Use&& use) {
  constexpr int kSingle = G >= 3 ? 3 : 8 / G, kFew = 4 / G;  // panels at a time for one row, and for up to three
  const int64_t panels = ceil_div(hidden, kLanesF32), bytes = hidden * G * kLanesF32;
  const int64_t together = rows == 1 ? kSingle : kFew, groups = ceil_div(panels, together);
  alignas(ARN_ALIGN) float sums[kMostSums * kLanesF32];
  const auto rest = [&](int64_t p, int64_t m, int64_t n) {
    const float *panel = packed + p * bytes, *state = h + m * h_row;
    if (n >= 3)
      panel_product<G, 1, 3>(panel, hidden, state, h_row, sums);
    else if (n == 2)
      panel_product<G, 1, 2>(panel, hidden, state, h_row, sums);
    else
      panel_product<G, 1, 1>(panel, hidden, state, h_row, sums);
    for (int64_t i = 0; i < n; ++i) use(m + i, p, sums + i * G * kLanesF32);
  };
  for (int64_t i = 0; i < groups; ++i) {
    const int64_t first = (backward ? groups - 1 - i : i) * together;
    const bool whole = first + together <= panels;
    for (int64_t m = 0; m < rows;) {
      const int64_t n = min64(3, rows - m);
      if (!whole) {
        for (int64_t p = first; p < panels; ++p) rest(p, m, n);
      } else {
        const float *panel = packed + first * bytes, *state = h + m * h_row;
        if (rows == 1)
          panel_product<G, kSingle, 1>(panel, hidden, state, h_row, sums);
        else if (n == 3)
          panel_product<G, kFew, 3>(panel, hidden, state, h_row, sums);
        else if (n == 2)
          panel_product<G, kFew, 2>(panel, hidden, state, h_row, sums);
        else
          panel_product<G, kFew, 1>(panel, hidden, state, h_row, sums);
        for (int64_t j = 0; j < n; ++j)
          for (int64_t p = 0; p < together; ++p) use(m + j, first + p, sums + (j * together + p) * G * kLanesF32);
      }
      m += n;
    }
  }
}

// The first n <= kLanesF32 elements at p; zeros after.
static inline vf32 load_part(const float* p, int64_t n) {
  if (n >= kLanesF32) return load_f32(p);
  alignas(ARN_ALIGN) float lane[kLanesF32] = {};
  for (int64_t i = 0; i < n; ++i) lane[i] = p[i];
  return load_f32(lane);
}

static inline void store_part(float* p, vf32 v, int64_t n) {
  if (n >= kLanesF32) return store_f32(p, v);
  alignas(ARN_ALIGN) float lane[kLanesF32];
  store_f32(lane, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lane[i];
}

}  // namespace ARN_NS
