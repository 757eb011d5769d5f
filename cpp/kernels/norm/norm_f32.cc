#include "kernels/norm/norm.h"
#include "kernels/quantize/lines.h"

namespace ARN_NS {
namespace {

enum : int32_t { kGain = 1, kTold = 2, kShift = 4 };  // operands

struct NormLines {
  Lines lines;
  int64_t gain_step, shift_step;
  int32_t has_shift;
  double epsilon;
};

// In place. With y = x of its own line, as norm_row.
void norm_line(const NormLines& b, const Walk<kNormRoles>& over, const float* gain, const float* shift, float* x) {
  const int64_t n = b.lines.length;
  const double count = static_cast<double>(n);
  const float mean = static_cast<float>(fold_rows(SumFold<float>{}, over, kX, n, 1, x) / count);
  DeviationFold<float> deviation;
  deviation.mean = Lanes<float>::splat(mean);
  const double total = fold_rows(deviation, over, kX, n, 1, x);
  const float factor = static_cast<float>(1 / __builtin_sqrt(total / count + b.epsilon));
  if (shift == nullptr)
    normalise_run<float, true, false>(x, x, n, mean, factor, gain, nullptr, 1.0f, 0.0f);
  else
    normalise_run<float, true, true>(x, x, n, mean, factor, gain, shift, 1.0f, 0.0f);
}

int32_t norm_lines(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                   const arn_state* state) {
  const NormLines& b = *static_cast<const NormLines*>(bound);
  Walk<kNormRoles> over;
  walk_clear(&over);
  const auto vector = [&](int32_t at, int64_t step, float* to) {
    const float* from = static_cast<const float*>(operand[at]);
    if (step == 1) return from;
    for (int64_t i = 0; i < b.lines.length; ++i) to[i] = from[i * step];
    return static_cast<const float*>(to);
  };
  float* own = static_cast<float*>(scratch);
  const float* gain = begin < end ? vector(kGain, b.gain_step, own) : nullptr;
  const float* shift = begin < end && b.has_shift != 0 ? vector(kShift, b.shift_step, own + b.lines.length) : nullptr;
  return lines_run(b.lines, operand, begin, end, scratch, state, [&](float* x) { norm_line(b, over, gain, shift, x); });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(qlayer_norm) {
  using namespace ARN_NS;
  NormLines* b = cleared<NormLines>(bound);
  if (args->n_in <= kShift) return ARN_SHAPE_MISMATCH;
  const arn_desc &x = args->operand[0], &gain = args->operand[kGain], &shift = args->operand[kShift];
  if (x.rank < 1) return ARN_SHAPE_MISMATCH;
  const int64_t length = x.dims[x.rank - 1];
  b->has_shift = shift.dtype != ARN_NONE ? 1 : 0;
  if (gain.rank != 1 || gain.dims[0] != length) return ARN_SHAPE_MISMATCH;
  if (b->has_shift != 0 && (shift.rank != 1 || shift.dims[0] != length)) return ARN_SHAPE_MISMATCH;
  b->gain_step = gain.strides[0];
  b->shift_step = b->has_shift != 0 ? shift.strides[0] : 1;
  b->epsilon = static_cast<const arn_channel_norm_params*>(args->params)->epsilon;
  const int32_t bad =
      lines_bind(args, kTold, (b->gain_step != 1 || b->shift_step != 1) ? 2 * length * 4 : 0, &b->lines);
  if (bad != ARN_OK) return bad;
  out->run = norm_lines;
  lines_bound(b->lines, sizeof(NormLines), "lines", out);
  return ARN_OK;
}

ARN_DEFINE_BIND(layer_norm_f32) { return ARN_NS::bind_layer_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(rms_norm_f32) { return ARN_NS::bind_rms_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(lp_norm_f32) { return ARN_NS::bind_lp_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(instance_norm_f32) { return ARN_NS::bind_instance_norm<float>(args, out, bound); }
ARN_DEFINE_BIND(group_norm_f32) {
  const auto* p = static_cast<const arn_group_norm_params*>(args->params);
  return ARN_NS::bind_group_norm<float>(args, p->num_groups, p->epsilon, out, bound);
}
