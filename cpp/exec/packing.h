// What a row is told of a step whose constant operands it packs, before any size is known.
#pragma once

#include <vector>

#include "exec/program.h"

namespace arenaut {

// Values of the expressions that hang on no symbol, -1 for the others.
std::vector<int64_t> constant_values(const Program& p);

struct PackView {
  // constants: of p's expressions, as constant_values() gives them.
  PackView(const Program& p, const Step& step, const std::vector<int64_t>& constants);
  PackView(const PackView&) = delete;
  PackView& operator=(const PackView&) = delete;

  std::vector<arn_desc> descs;
  std::vector<const void*> constants;  // per operand: where it lies; null where it is no weight that is held
  arn_bind_args args{};                // shows the two above
};

// Whether every packed weight of p has the bytes that its row asks for, and a place in memory. Throws
// std::invalid_argument.
void check_packed(const Program& p);

}  // namespace arenaut
