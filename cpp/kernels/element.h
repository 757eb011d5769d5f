// Bytes held per element, for code that is built once.
#pragma once

#define ARN_TIER_NAME host  // a namespace of its own for what kernel.h defines
#include "kernels/kernel.h"

namespace arenaut {

using arn_host::element_bytes;

}  // namespace arenaut
