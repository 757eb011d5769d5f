// The inner kernels of products with weights in blocks: rows of bytes by codes of few bits, whose sums are scaled block
// by block and added in f32. Plain C, because they are compiled for CPU features, apart from the tier's sources.
//
// A panel of B is 16 columns, in lines of 64 bytes: four bytes a column. A line holds 8 / bits groups of four along K;
// group g is bits [bits * g, bits * (g + 1)) of every byte, byte i its element i.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// out[i][16 p + j] = sum over blocks b, in rising order, of scale[b][j] * a_scale[b][i] * (sum over the block of
// code * a - zero[b][j] * sum of a). Row i of block b is `block` signed bytes at a + b * a_step + i * block; its scale
// and its sum (as f32, and times -zero_all as i32) are at b * tall + i. Scales, and zeros when there are any, of panel
// p are 16 of every block from p * per_panel on; without, the zero point is zero_all.
typedef struct {
  const int8_t* a;
  int64_t a_step, tall;
  const float *a_scale, *a_sum;
  const int32_t* a_shift;
  const uint8_t* b;
  int64_t panel;  // bytes from panel to panel
  const float* scale;
  const uint8_t* zero;  // or null
  int64_t per_panel;    // elements of scale and zero from panel to panel
  int64_t blocks, block, bits;
  int64_t rows, panels;
  float* out;
  int64_t out_row;    // elements
  uint8_t* unpacked;  // scratch for kernels that want the codes as bytes: 16 * blocks * block
} arn_blocks;

typedef struct {
  const char* name;
  int32_t rows;     // most rows of a call
  int32_t unpacks;  // uses `unpacked`, so that calls for more rows of the same panel should follow each other
  void (*begin)(int64_t rows, int64_t block);     // null, or called before run in the thread, again when either changes
  void (*run)(const arn_blocks*, int32_t fresh);  // fresh: `unpacked` does not hold the panel yet
  void (*end)(void);
} arn_blocks_kernel;

#ifdef __cplusplus
}
#endif
