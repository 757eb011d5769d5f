// What makes a binding of a program, stage by stage.
#pragma once

#include <vector>

#include "exec/program.h"

namespace arenaut {

// Scratch bytes of every step of a program whose symbols are set; see Program::measure.
std::vector<int64_t> scratch_bytes(const Program& program, Binding* binding);
// Binds and places the steps of the binding's stage, whose symbols are set.
void bind_stage(const Program& program, Binding* binding);
// See Program::bind_again; symbols are set.
bool bind_stage_again(const Program& program, Binding* binding);

}  // namespace arenaut
