// The core of products of 16-bit floats: C = A B summed in float32, where A and B are float16, bfloat16 or float32
// numbers. Products of matrices and convolutions are built on it.
//
//   bind:  g = half_choose(...)             how it is computed; half_scratch(g, rows, columns) bytes a thread
//   pack:  half_pack(...)                   panels of 16 bits, however many rows are multiplied by them
//   run:   half_block(...) (block.h)        a block of rows by a block of columns
//
// Packed form of B (K x N): panels of 16 columns, K padded to a multiple of 32, columns past N and rows past K zero.
// Panels of float16 numbers hold B[k][p * 16 + j] at k * 16 + j, those of bfloat16 numbers are pairs as in dots.h.
//
// `rounded`: all numbers become the nearest bfloat16 first. Otherwise their products keep all bits but what dots.h
// says, so that a result errs as one of float32 numbers.
#pragma once

#include "kernels/half/dots.h"
#include "kernels/kernel.h"

namespace ARN_NS {

enum : int32_t {
  kHalfFloats,   // multiply-adds of float32
  kHalfVectors,  // bfloat16 products in vectors
  kHalfTiles,    // and in tiles
};

struct HalfGemm {
  int64_t k, depth;  // the inner index is cut into blocks of `depth`, a multiple of 32
  int64_t panel;     // elements of a packed panel
  int32_t a_dtype, b_dtype, rounded;
  int32_t packed;  // B arrives packed, as numbers of this type; ARN_NONE: as stored
  int32_t kernel, a_planes, b_planes, order;
  int32_t few;  // rows are so few that packed B is widened as it is read
};

constexpr int64_t kHalfStrip = 32;     // rows that one call of an inner kernel takes
constexpr int64_t kHalfColumns = 256;  // columns that are made ready together
constexpr int64_t kHalfFew = 4;
constexpr int64_t kHalfMostStrips = 8;
// Most rows of a block: what columns are made ready for.
static inline int64_t half_rows(const HalfGemm& g) { return g.a_planes + g.b_planes == 2 ? 256 : 128; }

// rows: of a block, at most.
HalfGemm half_choose(int64_t k, int64_t rows, int32_t a_dtype, int32_t b_dtype, bool rounded, bool packed,
                     const arn_target& target);
const char* half_kernel_name(const HalfGemm& g);
const arn_half_kernel* half_kernel(const HalfGemm& g);  // null: multiply-adds of float32

// One plane a side is multiplied whatever it holds; with more, infinities would meet zeros.
static inline bool half_in_place(const HalfGemm& g) {
  return g.packed == ARN_BF16 && g.a_planes == 1 && g.b_planes == 1;
}
// Types that are multiplied: both rounded, one 16-bit type, or float32 by a 16-bit type.
static inline bool half_multiplies(int32_t a_dtype, int32_t b_dtype, bool rounded) {
  return rounded || (b_dtype != ARN_F32 && (a_dtype == ARN_F32 || a_dtype == b_dtype));
}

static inline int64_t half_depth(int64_t depth) { return round_up(depth, ARN_HALF_STEP); }
static inline int64_t half_panels(int64_t n) { return ceil_div(n, ARN_HALF_LANES); }
// The type that B's numbers are packed as.
static inline int32_t half_packed_type(int32_t b_dtype, bool rounded) {
  return rounded || b_dtype == ARN_BF16 ? int32_t(ARN_BF16) : int32_t(ARN_F16);
}
static inline int64_t half_packed_elements(int64_t k, int64_t n) {
  return half_panels(n) * half_depth(k) * ARN_HALF_LANES;
}
// Element (k, j) is at src + k * k_stride + j * n_stride (elements), of type `from`; `k_first` and `depth` say which
// values of k are written, in panels of `panel` elements.
void half_pack(uint16_t* dst, int64_t panel, int32_t packed, const void* src, int32_t from, int64_t k_first,
               int64_t depth, int64_t n, int64_t k_stride, int64_t n_stride);

// A block of columns of B: packed panels, or elements in any strides.
struct HalfColumns {
  const uint16_t* packed;
  const void* at;
  int64_t k_stride, n_stride;
};

// Scratch of a thread: offsets in bytes.
struct HalfScratch {
  int64_t rows, strip, slab, turned, sums, bytes;
  int64_t row, plane;  // elements of a row of A made ready, and of one of its planes
  int64_t sums_row;
};
// For blocks of at most so many rows and columns.
HalfScratch half_scratch(const HalfGemm& g, int64_t rows, int64_t columns);

// Values [k0, k0 + depth) of columns [c, c + n) as planes (panel p of plane j at slab + (j * panels + p) * 16 * padded
// depth), or as panels of float32 for gemm_pass. `turned`: 16 * depth floats of scratch. False: not all planes are
// finite.
bool half_slab_planes(const HalfGemm& g, const HalfColumns& b, int64_t k0, int64_t depth, int64_t c, int64_t n,
                      uint16_t* slab, float* turned);
void half_slab_floats(const HalfGemm& g, const HalfColumns& b, int64_t k0, int64_t depth, int64_t c, int64_t n,
                      float* slab, float* turned);

// n elements of a row of A as planes, zeros up to a multiple of 32; or as float32. False as above.
arn_half_split half_split(const HalfGemm& g);
typedef void (*HalfWiden)(const void* from, int64_t n, float* to);
HalfWiden half_widen(int32_t dtype, bool rounded);

// sums[i][j] = A B for at most kHalfFew rows of float32 by packed panels, whole panels of columns.
void half_few(const HalfGemm& g, const float* a, int64_t a_row, int64_t rows, const uint16_t* panels, int64_t n,
              float* sums, int64_t sums_row);

}  // namespace ARN_NS
