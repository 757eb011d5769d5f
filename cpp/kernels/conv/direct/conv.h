// Bound form of the convolutions that run as matrix products (any group, stride, dilation, padding; Conv and
// ConvTranspose).
//
// Two orientations, by the output's layout: pixels are rows and channels columns (channels-last outputs, and small
// images, whose pixels would fill vectors badly), or channels are rows and pixels columns (outputs with unit stride
// along a row). Both reduce in the same order, so they give the same bytes.
//
// ConvTranspose is gathered: output pixels whose coordinates agree modulo the strides form a phase; a phase is a
// convolution of stride one with the taps of one residue class.
#pragma once

#include "kernels/conv/direct/weights.h"
#include "kernels/conv/shape.h"
#include "kernels/matmul/forms.h"
#include "kernels/tile/epilogue.h"
#include "kernels/units.h"

namespace ARN_NS {

// What the operands and parameters say.
struct ConvOperands {
  ConvShape s;
  RawWeights w;
  Steps steps;
  int64_t bias_stride;
  int32_t has_bias;
};

// Returns a status. A transposed convolution's output may have any extents (output_padding, output_shape).
int32_t read_conv(const arn_bind_args* args, bool transposed, ConvOperands* o);

constexpr double kTaskWork = 1 << 17;  // multiply-adds that are worth a task

// Rows of the tile that the product core cuts large blocks into.
constexpr int64_t kTileRows = ARN_TIER_LEVEL >= 2 ? 9 : ARN_TIER_LEVEL == 1 ? 6 : 4;

// Output channels whose weights, of one depth block, stay in L2 while a block of pixels is multiplied by them.
constexpr int64_t kColumns = 4 * kTileVectors * kLanesF32 * (ARN_TIER_LEVEL == 0 ? 4 : ARN_TIER_LEVEL == 1 ? 2 : 1);

// Fills what every bind ends with; Bound has units, units_per_task, epilogue_scratch, use_epilogue and epilogue.
template <typename Bound>
int32_t bind_units(arn_bound* out, arn_run_fn run, const Bound& b, const char* variant) {
  static_assert(sizeof(Bound) <= ARN_BOUND_MAX, "bound too large");
  out->run = run;
  out->tasks = ceil_div(b.units, b.units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b.epilogue_scratch + (b.use_epilogue != 0 ? b.epilogue.core.scratch_bytes : 0);
  out->bound_bytes = sizeof(Bound);
  out->variant = variant;
  return ARN_OK;
}

// Applies what follows the convolution in registers where its form is known and the output's places allow it, else
// through an epilogue of whole rows of channels. adds: whether the operand of an addition can be read at the output's
// own places, which it notes.
template <typename Bound, typename Adds>
int32_t bind_rest(const arn_bind_args* args, const ConvOperands& o, bool in_registers, Adds adds, Bound* b) {
  b->bias_stride = o.bias_stride;
  b->has_bias = o.has_bias;
  b->out_operand = args->n_in;
  b->add_operand = -1;
  const RegisterForm form = register_form(args);
  const arn_desc& y = args->operand[args->n_in];
  const bool plain = args->tile == nullptr && y.dtype == ARN_F32;
  if ((form.known || plain) && in_registers && (form.add < 0 || adds(args->operand[form.add], y, b))) {
    b->activation = form.activation;
    b->add_operand = form.add;
    return ARN_OK;
  }
  if (args->tile != nullptr && args->tile->reg_dtype[0] != ARN_F32) return ARN_UNSUPPORTED;
  b->use_epilogue = 1;
  return epilogue_bind(args, 1, 1, &b->epilogue);
}

// Runs tasks [begin, end) by a Run that begins with what operands and scratch are, and goes on with `rest`.
template <typename Run, typename Bound, typename... Rest>
int32_t run_units(const Bound& b, void* const* operand, int64_t begin, int64_t end, void* scratch,
                  const arn_state* state, Rest... rest) {
  void* after = static_cast<char*>(scratch) + b.epilogue_scratch;
  Run r{b,
        static_cast<const float*>(operand[0]),
        static_cast<const float*>(operand[1]),
        b.has_bias != 0 ? static_cast<const float*>(operand[2]) : nullptr,
        b.add_operand >= 0 ? static_cast<const float*>(operand[b.add_operand]) : nullptr,
        static_cast<float*>(operand[b.out_operand]),
        static_cast<float*>(scratch),
        operand,
        after,
        rest...};
  if (b.use_epilogue != 0) epilogue_begin(b.epilogue, operand, after);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { r.unit(u); });
}

struct ConvBound {
  ConvShape s;  // Conv: the convolution. ConvTranspose: dims and strides of X and the whole output; the kernel's taps
  RawWeights w;
  Steps steps;
  int64_t bias_stride;
  int64_t packed_k;  // inner indices of a packed panel
  int64_t phases;
  int64_t pixels;  // of one item: an image, or all images when they are joined
  int64_t items;   // images, or one
  int64_t p_block, o_block, p_blocks, o_blocks, units, units_per_task;
  // Offsets in thread scratch, in elements. At 0: partial sums, which a finished block that is not stored directly
  // overwrites; rows are partial_row apart.
  int64_t at_slab, at_weights, at_edge, at_compact, at_bias;
  int64_t partial_row;
  int64_t epilogue_scratch;                  // in bytes from the start of thread scratch
  int64_t add_item, add_pixel, add_channel;  // strides of the operand that is added in registers
  int32_t add_operand;                       // -1 for none
  int32_t has_bias, packed, channel_rows, in_place, direct, transposed, phased, use_epilogue, use_compact;
  int32_t out_operand;
  BlockActivation activation;
  // The epilogue works on views of one phase (see phase.cc): strides of every operand along the three axes, in
  // elements, and the bytes of an element.
  int32_t by_phase, operands;
  int64_t phase_step[ARN_MAX_OPERANDS][3], operand_bytes[ARN_MAX_OPERANDS];
  Epilogue epilogue;
};

// Phases of a transposed convolution along axis i: those that have an output.
inline int64_t phase_count(const ConvBound& b, int i) { return min64(b.steps.stride[i], max64(1, b.s.out[i])); }
bool phases_are_alike(const ConvBound& b);
// Fills phase_step, operand_bytes and the epilogue: columns are channels, rows the pixels of a phase over all images.
int32_t bind_phase_epilogue(const arn_bind_args* args, ConvBound* b);
// The addresses of all operands for the phase whose first output pixel is at `start`.
void operands_of_phase(const ConvBound& b, void* const* operand, const int64_t* start, void** shifted);

}  // namespace ARN_NS
