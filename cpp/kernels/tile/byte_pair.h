// Programs of two operands of bytes whose result is bytes: dequantize both, add, subtract or multiply, maybe limit,
// quantize; or of bytes that floats are added to or multiply, without limits. In registers, they are done by
// approximate quanta wherever these are not too close to a tie to tell what the program would give; else as the program
// does.
#pragma once

#include "kernels/tile/activation.h"
#include "kernels/tile/program.h"

namespace ARN_NS {

struct BytePair {
  float scale[2], out_scale;
  int32_t zero[2], out_zero, dtype[2], out_dtype;  // dtype: F32 for floats
  int32_t combine, quantize;                       // tile functions
  int32_t flipped;                                 // the first operand of `combine` is operand 1
  BlockActivation activation;                      // limits at most
  float factor[2], offset, sure;  // quanta are about x0 factor0 + x1 factor1 + offset, or (x0 - zero0) (x1 - zero1)
                                  // factor0, where x1 may be floats; how far from an integer they may be
  float low, high;                // limits in quanta
};

// Whether the program of args (family Tile) is such a one.
bool read_byte_pair(const arn_bind_args* args, BytePair* pair);

// dst[i] = the result for a[i] and b[i], i < n; dst may equal a or b. a, b: of their types.
void run_byte_pair(const BytePair& p, int64_t n, uint8_t* dst, const void* a, const void* b);

}  // namespace ARN_NS
