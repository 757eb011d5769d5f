// Whether the parts of a sealed program agree with each other, with its rows and with this machine: all that the loop,
// the kernels and bindings take for granted and that hangs on no size.
#pragma once

#include "exec/program.h"

namespace arenaut {

// Throws std::invalid_argument.
void audit(const Program& p);
// Whether a row takes operands of these types, as its signature says (ARN_NONE: absent).
bool accepts(const arn_row& row, const std::vector<int32_t>& dtypes, int32_t n_in);

}  // namespace arenaut
