// The core of integer products: C = A B over bytes, sums of 32 bits that are exact modulo 2^32, and what is made of
// them while they are in L1. Matrix products and convolutions on bytes are built on it.
//
//   bind:  g = qgemm_choose(k, rows, signed, target)        which inner kernel; rows: those of a typical pass
//          scratch: qgemm_scratch(g) bytes a thread, and qgemm_column_bytes(n) for the columns of a block
//   pack:  qgemm_packed_bytes(k, n), qgemm_pack(...)        one form for every kernel, tier and number of rows
//   run:   QColumns c = qgemm_columns(...)                  once for each block of columns
//          qgemm_pass(...)                                  for every block of rows of it
//
// Packed form of B (K x N): panels of 16 columns as dots.h has them, bytes signed (those of unsigned B have 128 taken
// off), rows past K and columns past N zero; then, from qgemm_sums on, 16 sums of columns a panel.
//
// Rows of A are a GEMM's (base and strides), a convolution's without im2col (base, row stride and the byte offsets of
// `taps` stretches of consecutive bytes; K = taps * tap_bytes, so B's rows are taps outermost), or lie anywhere (one
// pointer for every row and tap; what pads an image is a stretch of its zero point). Rows that a kernel can not read in
// place (bytes of the other sign, taps that are no multiple of its step, strides along k, pointers) are copied to
// scratch first, a few rows at a time.
//
// A sum's bytes do not depend on the pass, tile or kernel that it falls in.
#pragma once

#include "kernels/qmatmul/dots.h"
#include "kernels/tile/activation.h"

namespace ARN_NS {

struct QGemm {
  int64_t k, groups, panel;  // groups of four along K; bytes of a panel
  int32_t kernel, a_signed;
  int32_t flips;  // bytes of A become those of the other sign: 128 is added to signed ones, taken off unsigned ones
  int64_t widened_panels;  // panels that are widened at a time, by kernels that want it where rows are many; else 0
};

QGemm qgemm_choose(int64_t k, int64_t rows, bool a_signed, const arn_target& target);
const char* qgemm_kernel_name(const QGemm& g);
int64_t qgemm_scratch(const QGemm& g);
// What multiplies words of 16 bits (pairs.h), of A and of B.
const arn_dots_kernel& qgemm_words_kernel();

int64_t qgemm_packed_bytes(int64_t k, int64_t n);
// Bytes from the start of the packed form to the sums of its columns.
int64_t qgemm_sums(int64_t k, int64_t n);
// Element (k, j) is at src + k * k_stride + j * n_stride.
void qgemm_pack(void* dst, const void* src, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, bool b_signed);

// Values that stand for columns: `count` of them (0: none, 1: the same for all, else one a column), `step` elements
// apart.
struct QPerColumn {
  const void* at;
  int64_t count, step;
};

// What a block of columns needs beside the panels. In f32: real = float(sum) * a_scale * b_scale + bias.
struct QColumnSource {
  const int32_t* sums;  // of the block's first column
  int32_t a_zero;
  float a_scale;
  QPerColumn b_zero, b_scale, bias;  // b_zero: bytes of B's sign; bias: i32 (added to the sum) or f32
  int32_t b_signed, bias_dtype;
  float per_quantum;  // scale and f32 bias are divided by it: 1 for real numbers, an output's scale for its quanta
};

// The block's columns, made in memory of qgemm_column_bytes(n) bytes.
struct QColumns {
  const int32_t* add;           // to the sum of products
  const int32_t* b_zero;        // null when all are zero: these times the sum of the row are taken off
  const float *scale, *offset;  // offset: null without an f32 bias
};
int64_t qgemm_column_bytes(int64_t n);
QColumns qgemm_columns(const QGemm& g, const QColumnSource& source, int64_t first, int64_t n, void* memory);

struct QRows {
  const void* at;              // row i's tap t begins at at + i * row + tap[t] ...
  int64_t row, step;           // bytes; from k to k + 1 in a tap
  const int64_t* tap;          // null: one tap, at 0
  const void* const* pointer;  // ... unless it is not null: then at pointer[t * pointers + i]
  int64_t pointers, taps, tap_bytes;
  int64_t beyond;  // bytes after a stretch that may be read, too
};

// What becomes of the sums: i32 = sum + add - row sum * b_zero; f32 = activation(that * scale + offset + added);
// bytes = clamp(rint(f32 in quanta) + zero). Bytes and f32 are chosen by out_dtype; the rest may be absent.
struct QFinish {
  int32_t out_dtype;  // ARN_I32, ARN_F32, ARN_U8, ARN_I8
  QColumns columns;
  const void* added;  // null, or a residual of added_dtype (f32, u8, i8) at the output's positions
  int32_t added_dtype, added_zero;
  int64_t added_row, added_col;  // elements
  float added_scale;             // (added - added_zero) * added_scale is what is added; f32 has no zero
  BlockActivation activation;
  // Bytes: columns, added_scale and the limits of the activation are in quanta when `in_quanta`; else (an activation of
  // another kind comes between) they are real and the result is divided by out_scale.
  int32_t in_quanta, out_zero;
  float out_scale;
  void* out;
  int64_t out_row, out_col;  // elements
};

// Rows [0, m) by n columns from panel b on (the packed form's, of a multiple of 16 columns from its start). `scratch`:
// qgemm_scratch(g) bytes, 64-byte aligned. The output may be the residual's memory at the same strides.
void qgemm_pass(const QGemm& g, const QRows& a, int64_t m, const int8_t* b, int64_t n, const QFinish& finish,
                void* scratch);

}  // namespace ARN_NS
