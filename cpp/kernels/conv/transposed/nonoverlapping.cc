// Transposed convolutions whose windows neither overlap nor leave gaps (stride = kernel, no padding): along a row they
// are one matrix product, whose columns are the channels of all kernel columns, and so of neighbouring output pixels.
// Packed weights: for each group and kernel line, panels over columns kernel column * og + channel.
#include "kernels/conv/lines/lines.h"

namespace ARN_NS {

bool is_nonoverlapping(const arn_bind_args* args) {
  if (args->params == nullptr || args->n_in < 2) return false;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const arn_desc& w = args->operand[1];
  if (p.group < 1 || p.spatial < 1 || p.spatial > 2 || w.rank != p.spatial + 2 || w.dims[0] % p.group != 0)
    return false;
  for (int i = 0; i < w.rank; ++i)
    if (w.dims[i] < 1) return false;
  for (int64_t i = 0; i < p.spatial; ++i)
    if (p.strides[i] != w.dims[2 + i] || p.dilations[i] != 1 || p.pads[i] != 0 || p.pads[p.spatial + i] != 0)
      return false;
  return ARN_CHOICE("conv/nonoverlapping", true);
}

int64_t nonoverlapping_pack_bytes(const arn_bind_args* args) {
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const RawWeights r = raw_weights(args->operand[1], p, true);
  return r.groups * r.kernel[1] * round_up(r.kernel[2] * r.og, kLanesF32) * r.cg * 4;
}

void nonoverlapping_pack(const arn_bind_args* args, float* dst) {
  constexpr int64_t L = kLanesF32;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const RawWeights r = raw_weights(args->operand[1], p, true);
  const int64_t columns = r.kernel[2] * r.og;
  for (int64_t g = 0; g < r.groups; ++g)
    for (int64_t y = 0; y < r.kernel[1]; ++y) {
      const float* w = static_cast<const float*>(args->constant[1]) + g * r.group + y * r.at[1];
      for (int64_t n = 0; n < round_up(columns, L); ++n) {
        const float* from = w + n / r.og * r.at[2] + n % r.og * r.out;
        float* to = dst + n / L * r.cg * L + n % L;
        for (int64_t k = 0; k < r.cg; ++k) to[k * L] = n < columns ? from[k * r.in] : 0.0f;
      }
      dst += round_up(columns, L) * r.cg;
    }
}

// The matrix product of each kernel line as a pointwise convolution.
void nonoverlapping_shape(const ConvOperands& o, ConvShape* s) {
  *s = o.s;
  s->og = o.s.og * o.s.taps[2];
  for (int i = 0; i < 3; ++i) {
    s->y[i] = o.s.y[i] * o.s.taps[i];
    s->out[i] = o.s.in[i];
    s->taps[i] = s->step[i] = s->tap_step[i] = 1;
    s->first[i] = 0;
  }
}

}  // namespace ARN_NS
