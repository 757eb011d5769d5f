// Convolutions of one channel each on bytes. Plain C, because the kernels are compiled for CPU features, apart from the
// tier's sources that call them.
//
// Channels are done N at a time, 64, 32 or 16. Bytes of four kernel rows are brought together for every channel once
// for each input column, so that a dot product of four makes a step for all kernel columns that meet it. Vectors are
// woven: 16 bytes l of vector v (0 to 3) stand for channels 16 l + 4 v to 16 l + 4 v + 3, four bytes or one sum each.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  const uint8_t* x;       // kernel row 0 of the first input column; bytes have `flip` toggled and are unsigned then
  const int64_t* row;     // offsets of 4 * groups kernel rows; those past the kernel's, whose weights are zero, are any
  int64_t groups;         // of four kernel rows
  int64_t columns, next;  // input columns, bytes from one to the next
  int64_t left, right;    // columns of padding before and after them, of bytes `pad` (flipped already)
  int64_t taps, tap_hop;  // kernel columns, input columns from one to the next
  int64_t pixels, hop;    // outputs, input columns from one to the next
  const int8_t* weights;  // signed: [kernel column][group][4 vectors][N]
  uint8_t flip, pad;
  uint8_t* woven;  // memory of (left + columns + right) * groups * 4 * N bytes, or twice that (kernels that widen)
  int32_t* out;    // [pixel][4 vectors][N / 4]
} arn_depthwise;

// `bytes` is N, at most the tier's vector.
typedef void (*arn_depthwise_fn)(const arn_depthwise*, int64_t bytes);

#ifdef __cplusplus
}
#endif
