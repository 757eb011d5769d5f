// Bytes held per element, for code that is built once (kernels use kernels/kernel.h).
#pragma once

#include "contract.h"

namespace arenaut {

inline int64_t element_size(int32_t dtype) {
  switch (dtype) {
    case ARN_F32:
    case ARN_I32:
    case ARN_U32:
      return 4;
    case ARN_F64:
    case ARN_I64:
    case ARN_U64:
    case ARN_C64:
      return 8;
    case ARN_C128:
      return 16;
    case ARN_F16:
    case ARN_BF16:
    case ARN_U16:
    case ARN_I16:
      return 2;
    default:
      return 1;
  }
}

}  // namespace arenaut
