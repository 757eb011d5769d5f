// The packed forms of weights in blocks: codes as dots.h has them (three bits as four), scales as f32 and zero points
// as bytes, 16 of every block, panel after panel. What lies past the last column is zero.
#pragma once

#include "kernels/blocks/params.h"
#include "kernels/kernel.h"

namespace ARN_NS {

struct BlockForm {
  int64_t bits, stored_bits, block, blocks, k, n;  // bits: of a packed code; stored_bits: in the model
  int64_t panels, panel;                           // bytes of a panel of codes
  int64_t per_panel;                               // scales, or zero points, of a panel
};

// Returns false for sizes that no model may have.
bool block_form(const arn_block_matmul_params& p, BlockForm* f);
int64_t stored_zero_bytes(const BlockForm& f);  // of a column

void pack_codes(const BlockForm& f, const uint8_t* stored, uint8_t* dst);
void pack_scales(const BlockForm& f, const void* stored, int32_t dtype, float* dst);
void pack_zeros(const BlockForm& f, const uint8_t* stored, uint8_t* dst);

// Rows [0, rows) of A, `row` elements apart, rounded to bytes block by block: a byte is x / scale, scale the block's
// largest magnitude over 127. In tiles of `tall` rows: bytes [tile][block][row][k], scales and sums of bytes [tile]
// [block][row] (sums also times -zero as shift). Rows past the last are zero.
void quantize_rows(const BlockForm& f, const float* a, int64_t row, int64_t rows, int64_t tall, int32_t zero,
                   int8_t* bytes, float* scales, float* sums, int32_t* shifts);

// Weights as f32.
struct BlockWeights {
  const uint8_t* codes;
  const float* scales;
  const uint8_t* zeros;  // or null: then `zero` is every block's
  int32_t zero;
};

// out[r][16 p + j] = a[r] times column j of panel p, for at most kFewFloatRows rows; codes become f32 in registers.
constexpr int64_t kFewFloatRows = 4;
void multiply_floats(const BlockForm& f, const BlockWeights& w, const float* a, int64_t row, int64_t rows,
                     int64_t panels, float* out, int64_t out_row);

// Weights of k in [from, from + depth), multiples of 16 but for the end of K, and of `panels` panels of 16 columns, as
// panels of the f32 product core, depth rows of a vector each.
void expand_panels(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels, float* dst);

// Codes less their zero points as bfloat16 numbers, which hold them whole, in the panels of kernels/half/dots.h: k in
// [from, from + depth), multiples of 32, for `panels` panels. Past the end of K they are whatever codes there are.
void expand_pairs(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels,
                  uint16_t* dst);
// The same for weights, scale included, that become the nearest bfloat16.
void expand_rounded(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels,
                    uint16_t* dst);

}  // namespace ARN_NS
