// Epilogues of a transposed convolution by phase: its pixels are apart in the output, but in a view of the output (and
// of every operand) that has only them they are neighbours. Where the strides divide the output's extents, one view
// serves all phases, with other addresses.
#include "kernels/conv/direct/conv.h"

namespace ARN_NS {

bool phases_are_alike(const ConvBound& b) {
  for (int i = 0; i < 3; ++i)
    if (b.s.out[i] % b.steps.stride[i] != 0) return false;
  return true;
}

int32_t bind_phase_epilogue(const arn_bind_args* args, ConvBound* b) {
  const arn_desc& y = args->operand[args->n_in];
  const int32_t first = args->tile != nullptr ? args->tile->first_operand : args->n_in;
  arn_desc view[ARN_MAX_OPERANDS];
  if (first < 0 || args->n_in + args->n_out > ARN_MAX_OPERANDS) return ARN_BAD_VALUE;
  for (int32_t k = 0; k < args->n_in + args->n_out; ++k) {
    arn_desc& d = view[k] = args->operand[k];
    b->operand_bytes[k] = element_bytes(d.dtype);
    if (k < first || d.dtype == ARN_NONE) continue;
    for (int32_t axis = 2; axis < y.rank; ++axis) {
      const int32_t own = axis - (y.rank - d.rank), spatial = axis - (y.rank - 3);
      if (own < 0 || (d.dims[own] == 1 && y.dims[axis] != 1)) continue;  // broadcast
      const int64_t stride = b->steps.stride[spatial];
      if (d.dims[own] % stride != 0) return ARN_SHAPE_MISMATCH;
      b->phase_step[k][spatial] = d.strides[own];
      d.dims[own] /= stride;
      d.strides[own] *= stride;
    }
  }
  arn_bind_args of_phase = *args;
  of_phase.operand = view;
  return epilogue_bind(&of_phase, 1, 1, &b->epilogue);
}

void operands_of_phase(const ConvBound& b, void* const* operand, const int64_t* start, void** shifted) {
  for (int32_t k = 0; k < b.operands; ++k) {
    int64_t at = 0;
    for (int i = 0; i < 3; ++i) at += start[i] * b.phase_step[k][i];
    shifted[k] = operand[k] == nullptr ? nullptr : static_cast<char*>(operand[k]) + at * b.operand_bytes[k];
  }
}

}  // namespace ARN_NS
