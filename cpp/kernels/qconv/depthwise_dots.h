// Convolutions of one channel each on bytes: sums over taps, whose addresses are any. Plain C, because the kernels are
// compiled for CPU features, apart from the tier's sources that call them.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// out[i * out_row + c] = sum over t of x[tap[t] + i * hop + c] * b[t][c]; 4 * groups taps, those past the kernel's with
// weights of zero and the offset of any other. channels is a multiple of 16, of which all are readable; b as panels of
// 16 channels have it: [t / 4][16 channels][4] (panel 0: all channels have the same one). Bytes of x have `flip`
// toggled and are unsigned then.
typedef struct {
  const uint8_t* x;
  int64_t hop;  // bytes from pixel to pixel
  const int64_t* tap;
  int64_t groups;
  const int8_t* b;
  int64_t panel;  // bytes from panel to panel
  int64_t pixels, channels;
  uint8_t flip;
  int32_t* out;
  int64_t out_row;
} arn_depthwise;

typedef void (*arn_depthwise_fn)(const arn_depthwise*);

#ifdef __cplusplus
}
#endif
