// Programs of one byte-wide operand whose result is a byte: a table of the results of all 256.
#pragma once

#include "kernels/tile/program.h"

namespace ARN_NS {

// Whether the program of args (family Tile) is a function of one byte; then fills table[256] with its results.
bool tabulate(const arn_bind_args* args, uint8_t* table);

// dst[i] = table[src[i]], i < n; dst may equal src.
void look_up(int64_t n, uint8_t* dst, const uint8_t* src, const uint8_t* table);

}  // namespace ARN_NS
