// What a binding must fulfil so that kernels and the loop stay inside their memory, whoever made the program.
#pragma once

#include <string>
#include <vector>

#include "exec/program.h"

namespace arenaut {

// Every element of a row-major array, extents of one aside.
bool is_dense(const arn_desc& d);
// Elements of a desc; false where they are more than ARN_MAX_BYTES.
bool count_elements(const arn_desc& d, int64_t* count);

// The buffers that become known in b's stage lie in their regions, and inputs and outputs of that stage are dense
// arrays of exactly their buffers. Throws std::invalid_argument.
void check_buffers(const Program& p, const Binding& b);
// What is wrong with an operand for `row`, or with one of a step that is no kernel (row null); empty: nothing.
std::string operand_fault(const arn_row* row, const Step& step, size_t operand, const arn_desc& d);

}  // namespace arenaut
