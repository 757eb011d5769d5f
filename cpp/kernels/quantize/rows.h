// Rows of bytes: a row of numbers as codes of 8 bits, and behind them, unaligned, the float32 that each is a multiple
// of.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

constexpr int64_t kScaleBytes = 4;

}  // namespace ARN_NS
