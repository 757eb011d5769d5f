// Products of float32 rows by weights in blocks, on bfloat16 products: rows become three planes (kernels/half/dots.h),
// a code less its zero point is one, which holds it whole. What a block of K adds up to is scaled and added in float32.
// Where both may be rounded, a row and a weight, its scale included, are one plane each.
#pragma once

#include "kernels/blocks/form.h"
#include "kernels/half/half.h"

namespace ARN_NS {

constexpr int64_t kPlaneRows = 128;  // most rows of a block
constexpr int64_t kPlaneColumns = 512;

struct BlockPlanes {
  HalfGemm gemm;                            // rounded: see above
  int64_t depth;                            // of K, made ready at a time; a multiple of 32 and of short blocks
  int64_t row, plane;                       // elements of a row made ready, and of one of its planes
  int64_t rows, codes, sums, whole, bytes;  // offsets in scratch
};

// False: the target has no such products, or rows are too few, or blocks too short.
bool choose_planes(const BlockForm& f, int64_t rows, bool rounded, const arn_target& target, BlockPlanes* b);
// For blocks of at most so many rows and columns.
void lay_out_planes(int64_t rows, int64_t columns, BlockPlanes* b);

// out[r][16 p + j] = a[r] times column j of panel p. Strips of kHalfStrip rows that hold a number without planes
// (infinite, not a number) are left out, and marked 0 in the result, which has a byte a strip.
const uint8_t* multiply_planes(const BlockPlanes& b, const BlockForm& f, const BlockWeights& w, const float* a,
                               int64_t row, int64_t rows, int64_t panels, float* out, int64_t out_row, char* scratch);

}  // namespace ARN_NS
