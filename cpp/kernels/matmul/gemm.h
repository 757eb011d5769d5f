// The matrix product core: one pass of C += A B over a block of rows, columns and inner index, and the packed forms
// that it reads. Matrix products and convolutions of every layout are built on it.
//
// Order of a reduction. The inner index [0, K) is cut into equal blocks of at most kDepth (a function of K only, see
// depth_block). A block is summed in one chain of multiply-adds in rising k; block sums are added in rising order.
// Tiles, tails, tasks, packed or in-place operands all keep that order, so an element has the same bits in each of
// them.
//
// Packed form of B (K x N): panels of kLanes columns; panel p holds B[k][p * kLanes + j] at (p * K + k) * kLanes + j;
// the columns past N are zero.
#pragma once

#include "kernels/tile/activation.h"
#include "simd/vector.h"

namespace ARN_NS {

// The vector type of T and how to load and store it unaligned. Integers are unsigned, so that overflow wraps.
template <typename T>
struct Simd;
template <>
struct Simd<float> {
  typedef vf32 V;
  typedef vf32u U;
};
template <>
struct Simd<double> {
  typedef vf64 V;
  typedef vf64u U;
};
template <>
struct Simd<uint32_t> {
  typedef uint32_t V __attribute__((vector_size(ARN_VECTOR_BYTES)));
  typedef uint32_t U __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(4), may_alias));
};
template <>
struct Simd<uint64_t> {
  typedef uint64_t V __attribute__((vector_size(ARN_VECTOR_BYTES)));
  typedef uint64_t U __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(8), may_alias));
};

template <typename T>
constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(T));

template <typename T>
static inline typename Simd<T>::V load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::U*>(p);
}
template <typename T>
static inline void store(T* p, typename Simd<T>::V v) {
  *reinterpret_cast<typename Simd<T>::U*>(p) = v;
}
template <typename T>
static inline typename Simd<T>::V splat(T x) {
  return x - typename Simd<T>::V{};
}

constexpr int64_t kDepth = 384;                                // longest block of the inner index
constexpr int64_t kMaxRows = 14;                               // rows of the tallest tile of any tier
constexpr int64_t kMaxVectors = 4;                             // vectors across the widest tile
constexpr int64_t kTileVectors = ARN_TIER_LEVEL >= 2 ? 3 : 2;  // vectors across the tile that large blocks are cut into

// Length of the blocks that an inner index of K is cut into; the last may be shorter.
static inline int64_t depth_block(int64_t k) { return k <= kDepth ? max64(k, 1) : ceil_div(k, ceil_div(k, kDepth)); }

// One pass over an m x n block. A[i][k] is at a + i * a_row + k * a_k, any strides; when a_panel > 0, rows come in
// panels of kLanes: row i is at a + (i / kLanes) * a_panel + (i % kLanes) * a_row. Vector v of B's columns at inner
// index k is at b + v * b_vec + k * b_k and is always read whole. Not last: partial = (first ? 0 : partial) + A B, in
// whole vectors (partial_row is a multiple of kLanes). Last: out = activation(alpha * (that sum) + beta * c); c may be
// null; c and out may be the same memory at the same strides. Only f32 has activations.
template <typename T>
struct GemmPass {
  int64_t m, n, depth;
  const T* a;
  int64_t a_row, a_k, a_panel;
  const T* b;
  int64_t b_vec, b_k;
  T* partial;
  int64_t partial_row;
  bool first, last;
  T alpha, beta;
  const T* c;
  int64_t c_row, c_col;
  T* out;
  int64_t out_row, out_col;
  BlockActivation activation;
  // What the next pass reads of B, or null: its first `ahead_vecs` vectors at `ahead`, b_vec apart, `ahead_depth` long
  // in panels. It is brought to L2 meanwhile.
  const T* ahead;
  int64_t ahead_vecs, ahead_depth;
  T* compact;  // when not null, tiles of A are copied here first (kMaxRows * depth elements)
  T* edge;     // edge_elements() elements of scratch
};

constexpr int64_t edge_elements() { return 2 * kMaxRows * kMaxVectors * (kVectorBytes / 4); }

template <typename T>
void gemm_pass(const GemmPass<T>& p);

// Panels of B[k0 .. k0 + depth) x [n0, n0 + n) from any strides. Element (k, j) is at src + k * k_stride + j *
// n_stride; a panel starts every `panel` elements of dst. Bits are copied, so T is an unsigned integer of the element's
// size.
template <typename T>
void pack_panels(T* dst, int64_t panel, const T* src, int64_t depth, int64_t n, int64_t k_stride, int64_t n_stride);

static inline void pack_panels(float* dst, int64_t panel, const float* src, int64_t depth, int64_t n, int64_t k_stride,
                               int64_t n_stride) {
  pack_panels(reinterpret_cast<uint32_t*>(dst), panel, reinterpret_cast<const uint32_t*>(src), depth, n, k_stride,
              n_stride);
}
static inline void pack_panels(double* dst, int64_t panel, const double* src, int64_t depth, int64_t n,
                               int64_t k_stride, int64_t n_stride) {
  pack_panels(reinterpret_cast<uint64_t*>(dst), panel, reinterpret_cast<const uint64_t*>(src), depth, n, k_stride,
              n_stride);
}

}  // namespace ARN_NS
