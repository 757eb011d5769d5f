#include "kernels/conv/depthwise/depthwise.h"

#include "kernels/conv/depthwise/channels.h"
#include "kernels/conv/direct/conv.h"
#include "kernels/conv/window.h"
#include "kernels/matmul/forms.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;

struct DepthwiseBound {
  ConvShape s;
  RawWeights w;
  Stage stage;
  int64_t channels, width, bias_stride;
  ChannelGrid grid;
  BlockActivation activation;
  int64_t units, units_per_task, row_blocks;
  int64_t at_bias, at_stage, at_taps, at_column, at_block, at_zeros;  // in thread scratch, in elements; packed
                                                                      // weights are at 0
  int64_t epilogue_scratch;                                           // in bytes from the start of thread scratch
  Finish finish;                                                      // what of the activation is done in registers
  int32_t has_bias, packed, by_channels, use_epilogue, out_operand;
  Epilogue epilogue;
};

void pack_weights(const RawWeights& r, int64_t width, const float* w, float* dst) {
  for (int64_t z = 0; z < r.kernel[0]; ++z)
    for (int64_t y = 0; y < r.kernel[1]; ++y)
      for (int64_t x = 0; x < r.kernel[2]; ++x, dst += width) {
        const float* from = w + z * r.at[0] + y * r.at[1] + x * r.at[2];
        for (int64_t c = 0; c < width; ++c) dst[c] = c < r.groups ? from[c * r.group] : 0.0f;
      }
}

struct DepthwiseRun {
  const DepthwiseBound& b;
  const float *x, *w, *bias;  // weights packed, bias dense and padded to whole vectors
  float *y, *scratch;
  void* const* operand;
  void* epilogue_scratch;
  ActivationRows rows_after;

  void plane_rows(int64_t n, int64_t c, int64_t z, int64_t y0, int64_t rows) const {
    const ConvShape& s = b.s;
    float *staged = scratch + b.at_stage, *taps = scratch + b.at_taps, *block = scratch + b.at_block;
    const int64_t* column = reinterpret_cast<const int64_t*>(scratch + b.at_column);
    stage_rows(s, b.stage, x + n * s.xn + c * s.xc, staged, 0.0f, z, y0, rows);
    const int64_t count = tap_count(s);
    for (int64_t t = 0; t < count; ++t) taps[t] = w[t * b.width + c];
    const vf32 add = splat_f32(bias != nullptr ? bias[c] : 0.0f);
    const TapRange range = taps_inside(s, 0, z);
    float* out = b.use_epilogue != 0 ? block : y + n * s.yn + c * s.yc + z * s.y[0] + y0 * s.y[1];
    const int64_t out_row = b.use_epilogue != 0 ? s.out[2] : s.y[1], step = b.use_epilogue != 0 ? 1 : s.y[2];
    slide_blocks<float>(rows, s.out[2], [&](auto r_count, auto v_count, int64_t row, int64_t at) {
      constexpr int R = decltype(r_count)::value, NV = decltype(v_count)::value;
      vf32 acc[R][NV];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[r][v] = vf32{};
      slide<float, R, NV>(
          s, b.stage, staged + row * s.step[1] * b.stage.row + at, column, range, acc,
          [&](int64_t tap) { return splat_f32(taps[tap]); }, [](vf32 sum, vf32 v, vf32 k) { return sum + k * v; });
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v)
          put<float>(bias != nullptr ? acc[r][v] + add : acc[r][v], min64(L, s.out[2] - at - v * L),
                     out + (row + r) * out_row + (at + v * L) * step, step);
    });
    if (b.use_epilogue != 0) {
      const int64_t cols = rows * s.out[2];
      epilogue_run(b.epilogue, operand, n * b.channels + c, 1, (z * s.out[1] + y0) * s.out[2], cols, block, cols,
                   epilogue_scratch);
    }
  }

  // A band of rows of a tile of columns and a chunk of channels.
  void channel_tile(int64_t u) const {
    const ConvShape& s = b.s;
    const ChannelGrid& g = b.grid;
    const ChannelFilter f{w, bias, b.width, scratch + b.at_zeros, b.finish, b.activation.low, b.activation.high};
    const int64_t chunk = u % g.chunks, tile = u / g.chunks % g.tiles, band = u / g.chunks / g.tiles % g.bands;
    const int64_t slice = u / g.chunks / g.tiles / g.bands, n = slice / s.out[0];
    ChannelSegment at;
    at.z = slice % s.out[0];
    at.x0 = tile * g.columns;
    at.count = min64(g.columns, s.out[2] - at.x0);
    at.c0 = chunk * g.channels;
    at.c1 = chunk + 1 == g.chunks ? b.channels : at.c0 + g.channels;
    const int64_t channels = at.c1 - at.c0, last = min64(s.out[1], (band + 1) * g.rows);
    float* block = scratch + b.at_block;
    for (at.y = band * g.rows; at.y < last; ++at.y) {
      if (b.use_epilogue == 0) {
        float* to = y + n * s.yn + at.z * s.y[0] + at.y * s.y[1] + at.x0 * s.y[2] + at.c0;
        if (rows_after.any()) {
          depthwise_channels(s, f, x + n * s.xn, at, block, channels);
          rows_after.run(to, s.y[2], block, channels, channels, at.count);
        } else {
          depthwise_channels(s, f, x + n * s.xn, at, to, s.y[2]);
        }
        continue;
      }
      depthwise_channels(s, f, x + n * s.xn, at, block, channels);
      const int64_t row = ((n * s.out[0] + at.z) * s.out[1] + at.y) * s.out[2] + at.x0;
      epilogue_run(b.epilogue, operand, row, at.count, at.c0, channels, block, channels, epilogue_scratch);
    }
  }

  void unit(int64_t u) const {
    const ConvShape& s = b.s;
    if (b.by_channels != 0) return channel_tile(u);
    const int64_t y0 = u % b.row_blocks * b.stage.block;
    int64_t rest = u / b.row_blocks;
    const int64_t z = rest % s.out[0];
    rest /= s.out[0];
    plane_rows(rest / b.channels, rest % b.channels, z, y0, min64(b.stage.block, s.out[1] - y0));
  }
};

int32_t depthwise_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                      const arn_state* state) {
  const DepthwiseBound& b = *static_cast<const DepthwiseBound*>(bound);
  float* scratch = static_cast<float*>(thread_scratch);
  void* after = static_cast<char*>(thread_scratch) + b.epilogue_scratch;
  DepthwiseRun r{b,
                 static_cast<const float*>(operand[0]),
                 static_cast<const float*>(operand[1]),
                 nullptr,
                 static_cast<float*>(operand[b.out_operand]),
                 scratch,
                 operand,
                 after,
                 ActivationRows(b.finish == Finish::kNone ? b.activation : BlockActivation{})};
  if (b.packed == 0) {
    pack_weights(b.w, b.width, r.w, scratch);
    r.w = scratch;
  }
  if (b.has_bias != 0) {
    const float* from = static_cast<const float*>(operand[2]);
    float* dense = scratch + b.at_bias;
    for (int64_t c = 0; c < b.width; ++c) dense[c] = c < b.channels ? from[c * b.bias_stride] : 0.0f;
    r.bias = dense;
  }
  if (b.by_channels != 0) {
    fill(scratch + b.at_zeros, b.width, 0.0f);
  } else {
    int64_t* column = reinterpret_cast<int64_t*>(scratch + b.at_column);
    for (int64_t tx = 0; tx < b.s.taps[2]; ++tx) column[tx] = staged_column(b.s, b.stage, tx);
  }
  if (b.use_epilogue != 0) epilogue_begin(b.epilogue, operand, after);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { r.unit(u); });
}

}  // namespace

bool is_depthwise(const arn_bind_args* args) {
  if (args->params == nullptr || args->n_in < 2) return false;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const arn_desc& w = args->operand[1];
  return p.spatial >= 1 && p.spatial <= 3 && w.rank == p.spatial + 2 && w.dims[0] == p.group && w.dims[1] == 1 &&
         ARN_CHOICE("conv/depthwise", true);
}

int64_t depthwise_pack_bytes(const arn_bind_args* args) {
  const arn_desc& w = args->operand[1];
  int64_t taps = 1;
  for (int i = 2; i < w.rank; ++i) taps *= w.dims[i];
  return taps < 0 ? 0 : taps * round_up(w.dims[0], L) * 4;
}

void depthwise_pack(const arn_bind_args* args, float* dst) {
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const RawWeights r = raw_weights(args->operand[1], p, false);
  pack_weights(r, round_up(r.groups, L), static_cast<const float*>(args->constant[1]), dst);
}

int32_t depthwise_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  auto* b = cleared<DepthwiseBound>(bound);
  ConvOperands o;
  const int32_t status = read_conv(args, false, &o);
  if (status != ARN_OK) return status;
  const ConvShape& s = b->s = o.s;
  b->w = o.w;
  b->channels = s.groups;
  b->width = round_up(s.groups, L);
  b->bias_stride = o.bias_stride;
  b->has_bias = o.has_bias;
  b->packed = (args->packed & 2u) != 0;
  b->out_operand = args->n_in;
  b->by_channels = s.xc == 1 && s.yc == 1 && ARN_CHOICE("conv/depthwise channels", s.groups > 1);
  const RegisterForm form = register_form(args);
  const bool registers = b->by_channels != 0 && form.known && form.add < 0;
  if (registers) {
    b->activation = form.activation;
    if (form.activation.limited != 0) b->finish = Finish::kLimits;
    if (form.activation.applied != 0 && form.activation.fn == kTile_hardswish_f32) b->finish = Finish::kHardSwish;
  }
  if (args->tile != nullptr && !registers) {
    const int32_t last = args->operand[args->n_in].rank - 1,
                  bad = epilogue_bind(args, b->by_channels != 0 ? 1 : 2, b->by_channels != 0 ? 1 : last, &b->epilogue);
    if (args->tile->reg_dtype[0] != ARN_F32) return ARN_UNSUPPORTED;
    if (bad != ARN_OK) return bad;
    b->use_epilogue = 1;
  } else if (args->operand[args->n_in].dtype != ARN_F32) {
    return ARN_UNSUPPORTED;
  }
  b->at_bias = b->packed != 0 ? 0 : tap_count(s) * b->width;
  int64_t at = b->at_bias + (b->has_bias != 0 ? b->width : 0), work;
  if (b->by_channels != 0) {
    b->grid = plan_channels(s, args->target != nullptr ? args->target->l1d_bytes : 0);
    b->units = s.batch * s.out[0] * b->grid.bands * b->grid.tiles * b->grid.chunks;
    b->at_zeros = at;
    b->at_block = at += b->width;
    const int64_t widest = max64(b->grid.channels, s.groups - (b->grid.chunks - 1) * b->grid.channels);
    const bool on_rows = b->activation.applied != 0 && b->finish == Finish::kNone;
    at += b->use_epilogue != 0 || on_rows ? b->grid.columns * widest : 0;
    work = b->grid.rows * b->grid.columns * widest * (tap_count(s) + 4);
  } else {
    b->stage = plan_stage<float>(s, 6144);
    b->row_blocks = ceil_div(s.out[1], b->stage.block);
    b->units = s.batch * b->channels * s.out[0] * b->row_blocks;
    b->at_stage = at;
    b->at_taps = at + round_up(b->stage.elements, L);
    b->at_column = b->at_taps + round_up(tap_count(s), L);
    b->at_block = b->at_column + round_up(2 * s.taps[2], L);
    at = b->at_block + (b->use_epilogue != 0 ? b->stage.block * s.out[2] : 0);
    work = b->stage.block * round_up(s.out[2], L) * (tap_count(s) + 8);
  }
  if (pixel_count(s) == 0) b->units = 0;
  b->units_per_task = max64(1, (1 << 17) / max64(1, work));
  b->epilogue_scratch = round_up(at * 4, ARN_ALIGN);
  return bind_units(out, depthwise_run, *b, b->by_channels != 0 ? "depthwise channels" : "depthwise planes");
}

}  // namespace ARN_NS
