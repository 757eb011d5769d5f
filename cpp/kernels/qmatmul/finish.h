// What becomes of a block of sums: see QFinish.
#pragma once

#include "kernels/qmatmul/qgemm.h"

namespace ARN_NS {

// A block of `rows` rows and `cols` columns of sums, `sums_row` elements apart (a multiple of 16 and at least cols, so
// that whole vectors may be read); the sums may be overwritten. `row`, `col`: where the block lies in the pass.
struct QBlock {
  int32_t* sums;
  int64_t sums_row, row, rows, col, cols;
  const int32_t* row_sums;  // of the block's rows of A; null when no column has a zero point
};

void qgemm_finish(const QFinish& f, const ActivationRows& activation, const QBlock& block);

}  // namespace ARN_NS
