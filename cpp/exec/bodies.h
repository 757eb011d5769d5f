// Bodies of If, Loop and Scan in the scratch of the step that runs them.
#pragma once

#include <vector>

#include "exec/program.h"

namespace arenaut {

// Binds a body to the dims of the step's operands (dtype ARN_NONE: absent, or held by the host) and lays out what it
// uses of the step's scratch. Without a binding where operands do not settle the body's sizes, or where it cannot run
// with them: what is never run need not be able to. keep: false only measures, and weights may still be unpacked.
BoundBody bind_body(const Step& step, const Program& body, const std::vector<arn_desc>& descs, bool keep);

}  // namespace arenaut
