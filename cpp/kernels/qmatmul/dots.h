// The inner kernels of integer products: rows of bytes by packed panels of bytes into sums of 32 bits. Plain C, because
// they are compiled for CPU features, apart from the tier's sources that call them.
//
// A panel of B is 16 columns: [k / 4][16 columns][4], so one vector of 64 bytes, or one row of an AMX tile, holds four
// values of k for 16 columns. Bytes of B are signed. Reading of a panel may go on for 15 groups past its end: those
// groups meet zeros of A.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ARN_DOT_LANES = 16, ARN_DOT_GROUP = 4, ARN_DOT_PANEL_STEP = 64 };

// How a kernel wants the bytes of A.
enum {
  ARN_DOT_UNSIGNED = 1,
  ARN_DOT_SIGNED = 2,
  ARN_DOT_EITHER = 3,  // as they are; `a_signed` says which
};

// out[i][16 p + j] = sum of A[i][k] B[p][k][j]; out_row elements from row to row. Tap t of row i is 4 * groups bytes at
// a + tap[t] + i * a_row, or at a + i * a_row for the only tap when tap is null; the taps follow each other in k. With
// `widened` kernels every group of A is two words of 32 bits instead of four bytes: (a0, a2) and (a1, a3) as signed 16.
typedef struct {
  const uint8_t* a;
  int64_t a_row;
  const int64_t* tap;
  int64_t taps, groups;
  const int8_t* b;
  int64_t panel;  // bytes from panel to panel
  int64_t rows, panels;
  int32_t a_signed;
  int32_t* out;
  int64_t out_row;
} arn_dots;

typedef struct {
  const char* name;
  int32_t rows, panels;  // most of a call
  int32_t depth;         // bytes: taps are multiples of it, rows are padded to it with zeros
  int32_t form;
  int32_t widened;
  int32_t shallow;  // a single tap may be shorter than `depth`, a multiple of ARN_DOT_GROUP, without what pads it
  // Null, or called before `run` in the thread, again whenever `rows` changes. bytes: of a tap, or `depth` if it is
  // more.
  void (*begin)(int64_t rows, int64_t bytes);
  void (*run)(const arn_dots*);
  void (*end)(void);  // after them
} arn_dots_kernel;

#ifdef __cplusplus
}
#endif
