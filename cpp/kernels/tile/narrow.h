// Programs whose operands are all of one narrow type, rewritten to compute in that type: many lanes a vector, and no
// conversion at load and store. The results are those of the program as it was, bit for bit.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

// Whether the program of args (family Tile) has a form on u8, i8, u16, i16 or f16; then fills `to` with it.
//
// Integers: a program computes them in 32 bits and keeps the low ones. Sums, products and bits need only those of their
// operands; comparisons, limits and signs need operands that are whole, which loads, small constants and results of
// limits are and sums are not. Floats: only what makes no new numbers.
bool narrow_program(const arn_bind_args* args, arn_tile* to);

}  // namespace ARN_NS
