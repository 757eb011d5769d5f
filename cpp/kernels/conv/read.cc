// The operands and parameters of a convolution, checked.
#include "kernels/conv/direct/conv.h"

namespace ARN_NS {
namespace {

inline int64_t output_extent(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pads) {
  const int64_t room = in + pads - (dilation * (kernel - 1) + 1);
  return room < 0 ? 0 : room / stride + 1;
}

}  // namespace

int32_t read_conv(const arn_bind_args* args, bool transposed, ConvOperands* b) {
  if (args->params == nullptr || args->n_in < 2 || args->n_out < 1) return ARN_UNSUPPORTED;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const arn_desc &x = args->operand[0], &w = args->operand[1], &y = args->operand[args->n_in];
  if (p.spatial < 1 || p.spatial > 3 || p.group < 1) return ARN_UNSUPPORTED;
  const int32_t rank = static_cast<int32_t>(p.spatial) + 2;
  if (x.rank != rank || w.rank != rank || y.rank != rank) return ARN_SHAPE_MISMATCH;
  *b = ConvOperands{};
  b->w = raw_weights(w, p, transposed);
  b->steps = read_steps(p);
  ConvShape& s = b->s;
  s.batch = x.dims[0];
  s.groups = p.group;
  s.cg = b->w.cg;
  s.og = b->w.og;
  if (w.dims[0] % p.group != 0 || x.dims[1] != s.groups * s.cg || y.dims[1] != s.groups * s.og ||
      y.dims[0] != x.dims[0])
    return ARN_SHAPE_MISMATCH;
  s.xn = x.strides[0];
  s.xc = x.strides[1];
  s.yn = y.strides[0];
  s.yc = y.strides[1];
  for (int i = 0; i < 3; ++i) {
    const int64_t d = i - (3 - p.spatial);
    s.in[i] = d < 0 ? 1 : x.dims[2 + d];
    s.out[i] = d < 0 ? 1 : y.dims[2 + d];
    s.x[i] = d < 0 ? 0 : x.strides[2 + d];
    s.y[i] = d < 0 ? 0 : y.strides[2 + d];
    s.taps[i] = b->w.kernel[i];
    s.step[i] = b->steps.stride[i];
    s.first[i] = -b->steps.pad[i];
    s.tap_step[i] = b->steps.dilation[i];
    const int64_t step = s.step[i];
    if (!bound_steps(&s, i)) return ARN_SHAPE_MISMATCH;
    if (transposed) s.step[i] = step;  // between inputs
    if (d < 0) continue;
    if (p.kernel[d] != s.taps[i]) return ARN_SHAPE_MISMATCH;
    if (!transposed &&
        s.out[i] != output_extent(s.in[i], s.taps[i], step, s.tap_step[i], p.pads[d] + p.pads[p.spatial + d]))
      return ARN_SHAPE_MISMATCH;
  }
  b->has_bias = args->n_in > 2 && args->operand[2].dtype != ARN_NONE;
  if (b->has_bias != 0) {
    if (args->operand[2].rank != 1 || args->operand[2].dims[0] != s.groups * s.og) return ARN_SHAPE_MISMATCH;
    b->bias_stride = args->operand[2].strides[0];
  }
  return ARN_OK;
}

}  // namespace ARN_NS
