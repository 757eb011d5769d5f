// Binding of the convolutions that run as matrix products: shapes, orientation, task grid, scratch.
#include "kernels/conv/direct/conv.h"
#include "kernels/conv/entry.h"
#include "kernels/conv/lines/lines.h"

namespace ARN_NS {
namespace {

// True when walking pixels of the output in row-major order is one stride in memory; images too when `all`.
inline bool uniform(const ConvShape& s, const int64_t* strides, int64_t image, bool all) {
  int64_t expected = 0;
  bool started = false;
  for (int i = 2; i >= 0; --i) {
    if (s.out[i] == 1) continue;
    if (started && strides[i] != expected) return false;
    expected = strides[i] * s.out[i];
    started = true;
  }
  return !all || s.batch == 1 || !started || image == expected;
}

// Input coordinates follow output coordinates one to one.
inline bool pointwise(const ConvShape& s) {
  for (int i = 0; i < 3; ++i)
    if (s.taps[i] != 1 || s.first[i] != 0 || (s.step[i] != 1 && s.out[i] > 1) || s.out[i] > s.in[i]) return false;
  return true;
}

// Extents of the largest phase (phase 0 along each axis), or the output's own.
inline ConvShape widest(const ConvBound& b) {
  ConvShape s = b.s;
  if (b.transposed == 0) return s;
  for (int i = 0; i < 3; ++i) s.out[i] = ceil_div(s.out[i], b.steps.stride[i]);
  return s;
}

void choose_orientation(ConvBound* b) {
  constexpr int64_t L = kLanesF32;
  const ConvShape s = widest(*b);
  const int64_t image = pixel_count(s);
  bool phased = false;
  if (b->transposed != 0)
    for (int i = 0; i < 3; ++i) phased = phased || b->steps.stride[i] != 1;
  b->phased = phased;
  const bool row_unit = pixel_stride(s, s.y, s.yn) == 1 && !phased;
  const bool fills = image * 100 >= round_up(image, L) * 85;
  b->channel_rows =
      row_unit && uniform(s, s.y, s.yn, false) && ARN_CHOICE("conv/channel rows", s.yc != 1 && fills && s.og > 1);
  const bool point = b->transposed == 0 && pointwise(s);
  const bool y_all = !phased && uniform(s, s.y, s.yn, true), x_all = uniform(s, s.x, s.xn, true);
  const bool joined = b->channel_rows == 0 && (!point || x_all);
  b->items = joined ? 1 : s.batch;
  b->pixels = joined ? image * s.batch : image;
  b->in_place =
      b->channel_rows == 0 && point && uniform(s, s.x, s.xn, joined) && ARN_CHOICE("conv/pixel rows in place", true);
  b->direct = b->channel_rows != 0 || (joined ? y_all : !phased && uniform(s, s.y, s.yn, false));
}

// Pointwise convolutions that gain from tiles which go through the pixels first: few channels of a group, or a last
// vector that groups leave unfilled.
bool suits_lines(const ConvShape& s) {
  return s.og <= 2 * kTileVectors * kLanesF32 || (s.groups > 1 && s.og % kLanesF32 != 0);
}

// An addition that is done in registers reads its operand as the output is written: in pixel rows, of one depth block,
// since the bias then takes the place of the sums before.
bool adds_in_registers(const arn_desc& other, const arn_desc& y, ConvBound* b) {
  const int64_t k = tap_count(b->s) * b->s.cg;
  if (b->direct == 0 || b->channel_rows != 0 || b->transposed != 0 || k > depth_block(k) || other.rank != y.rank)
    return false;
  int64_t strides[3] = {};
  for (int i = 0; i < y.rank; ++i) {
    if (other.dims[i] != y.dims[i]) return false;
    if (i >= 2) strides[3 - y.rank + i] = other.strides[i];
  }
  if (!uniform(b->s, strides, other.strides[0], b->items == 1)) return false;
  b->add_pixel = pixel_stride(b->s, strides, other.strides[0]);
  b->add_channel = other.strides[1];
  b->add_item = other.strides[0];
  return true;
}

void choose_grid(ConvBound* b) {
  constexpr int64_t L = kLanesF32;
  const bool rows = b->channel_rows != 0;
  // Of pixel rows, a block's im2col and the weights of kColumns channels stay in L2 together.
  int64_t p_block = rows ? 12 * L : b->in_place != 0 ? 168 : 120;
  const int64_t widest = b->in_place != 0 ? kColumns : 512;
  p_block = max64(1, min64(p_block, b->pixels));
  const int64_t share = ceil_div(max64(1, b->s.og), max64(1, ceil_div(b->s.og, widest)));
  int64_t o_block = min64(round_up(share, kTileVectors * L), round_up(max64(1, b->s.og), L));
  const double k = static_cast<double>(tap_count(b->s) * b->s.cg) / static_cast<double>(b->phases);
  const double outer = static_cast<double>(b->items * b->s.groups * b->phases);
  const double work = outer * k * static_cast<double>(b->pixels) * static_cast<double>(b->s.og);
  const auto units = [&] {
    return outer * static_cast<double>(ceil_div(b->pixels, p_block) * ceil_div(b->s.og, o_block));
  };
  // Every unit fills its own im2col (paid back by its channels) and reads its weights (paid back by its pixels), so
  // blocks are cut as squares, and no more than needed: down to 16 units, each worth its loss.
  const double grain = b->in_place != 0 ? 1 << 20 : 2 << 20;
  const double wanted = work / grain < 16 ? work / grain : 16;
  const int64_t least_o = b->in_place != 0 ? 4 * kTileVectors * L : 128, least_p = b->in_place != 0 ? 6 * L : 3 * L;
  while (units() < 0.75 * wanted) {
    const bool p_fits = p_block >= 2 * least_p, o_fits = o_block >= 2 * least_o;
    if (p_fits && (p_block >= o_block || !o_fits))
      p_block = ceil_div(p_block, 2);
    else if (o_fits)
      o_block = round_up(o_block / 2, kTileVectors * L);
    else
      break;
  }
  while (units() < 2 && wanted >= 2 && o_block >= 2 * kTileVectors * L)  // better small blocks than one thread
    o_block = round_up(o_block / 2, kTileVectors * L);
  int64_t p_blocks = max64(1, ceil_div(b->pixels, p_block));
  // Few and odd: one more, so that two threads get as much each.
  const bool odd = static_cast<int64_t>(units()) % 2 != 0;
  if (odd && units() < 8 && wanted > 1 && ceil_div(b->pixels, p_blocks + 1) >= least_p) ++p_blocks;
  p_block = max64(1, ceil_div(b->pixels, p_blocks));
  p_block = rows ? round_up(p_block, L) : min64(b->pixels, round_up(p_block, kTileRows));
  p_block = max64(1, p_block);
  b->p_block = p_block;
  b->o_block = o_block;
  b->p_blocks = ceil_div(b->pixels, p_block);
  b->o_blocks = ceil_div(b->s.og, o_block);
  b->units = b->items * b->s.groups * b->phases * b->p_blocks * b->o_blocks;
  b->units_per_task = units_for_task(work, b->units, kTaskWork);
}

}  // namespace

int32_t conv_bind(const arn_bind_args* given, bool transposed, arn_bound* out, void* bound) {
  constexpr int64_t L = kLanesF32;
  auto* b = cleared<ConvBound>(bound);
  arn_bind_args without_program = *given;
  const arn_bind_args* args = given;
  const RegisterForm form = register_form(given);
  ConvOperands o;
  const int32_t status = read_conv(given, transposed, &o);
  if (status != ARN_OK) return status;
  if (transposed && (given->packed & 2u) != 0 && is_nonoverlapping(given))
    return lines_bind(given, o, true, out, bound);
  b->s = o.s;
  b->w = o.w;
  b->steps = o.steps;
  b->bias_stride = o.bias_stride;
  b->has_bias = o.has_bias;
  b->transposed = transposed;
  b->packed = (args->packed & 2u) != 0;
  b->out_operand = args->n_in;
  b->phases = 1;
  if (transposed)
    for (int i = 0; i < 3; ++i) b->phases *= phase_count(*b, i);
  choose_orientation(b);
  if (!transposed && b->packed != 0 && b->channel_rows == 0 && lines_fit(b->s) &&
      ARN_CHOICE("conv/lines", b->in_place == 0 || suits_lines(b->s)))
    return lines_bind(given, o, false, out, bound);
  b->add_operand = -1;
  if (form.known && (form.add < 0 || adds_in_registers(given->operand[form.add], given->operand[given->n_in], b))) {
    b->activation = form.activation;
    b->add_operand = form.add;
    without_program.tile = nullptr;
    args = &without_program;
  }
  b->operands = args->n_in + args->n_out;
  b->by_phase = b->phased != 0 && phases_are_alike(*b);
  b->use_epilogue = args->tile != nullptr || b->by_phase != 0 || (b->direct == 0 && b->phased == 0);
  if (b->use_epilogue != 0) {
    const bool rows = b->channel_rows != 0;
    if (args->tile != nullptr && args->tile->reg_dtype[0] != ARN_F32) return ARN_UNSUPPORTED;
    const int32_t bad = b->by_phase != 0 ? bind_phase_epilogue(args, b)
                                         : epilogue_bind(args, rows ? 2 : 1,
                                                         rows ? args->operand[args->n_in].rank - 1 : 1, &b->epilogue);
    if (bad != ARN_OK) return bad;
    b->direct = 0;
  } else if (args->operand[args->n_in].dtype != ARN_F32) {
    return ARN_UNSUPPORTED;
  }
  choose_grid(b);
  const int64_t k = tap_count(b->s) * b->s.cg;
  b->packed_k = k;
  const int64_t depth = depth_block(k);
  const int64_t o_row = round_up(b->o_block, L), p_row = round_up(b->p_block, L);
  b->partial_row = b->channel_rows != 0 ? p_row : o_row;
  const int64_t block = b->channel_rows != 0 ? o_row * p_row : b->p_block * o_row;
  int64_t at = k > depth || b->direct == 0 ? block : 0;
  // A phase of fewer taps may be cut into other blocks; none is longer than kDepth.
  const int64_t longest = transposed ? min64(max64(k, 1), kDepth) : depth;
  b->at_slab = at;
  at += b->in_place != 0 ? 0 : longest * p_row;
  b->at_weights = at;
  at += b->packed != 0 ? 0 : longest * o_row;
  b->use_compact = b->in_place != 0 && b->s.xc != 1 && b->o_block >= 4 * L;
  b->at_compact = at;
  at += b->use_compact != 0 ? round_up(kMaxRows * longest, L) : 0;
  b->at_bias = at;
  at += b->add_operand >= 0 && b->has_bias != 0 ? o_row : 0;
  b->at_edge = at;
  at += edge_elements();
  b->epilogue_scratch = round_up(at * 4, ARN_ALIGN);
  return bind_units(out, conv_run, *b,
                    b->channel_rows != 0 ? "channel rows"
                    : b->in_place != 0   ? "pixel rows in place"
                                         : "pixel rows");
}

int64_t conv_pack_bytes(const arn_bind_args* args, bool transposed) {
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const arn_desc& w = args->operand[1];
  if (p.spatial < 1 || p.spatial > 3 || w.rank != p.spatial + 2 || !has_groups(w, p)) return 0;
  for (int i = 0; i < w.rank; ++i)
    if (w.dims[i] < 0) return 0;
  for (int64_t i = 0; i < p.spatial; ++i)
    if (p.strides[i] < 1 || p.dilations[i] < 1 || p.dilations[i] > ARN_MAX_BYTES / max64(1, w.dims[2 + i])) return 0;
  if (transposed && is_nonoverlapping(args)) return nonoverlapping_pack_bytes(args);
  const RawWeights r = raw_weights(w, p, transposed);
  return r.groups * round_up(r.og, kLanesF32) * r.cg * r.kernel[0] * r.kernel[1] * r.kernel[2] * 4;
}

void conv_pack(const arn_bind_args* args, bool transposed, float* dst) {
  if (transposed && is_nonoverlapping(args)) return nonoverlapping_pack(args, dst);
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const RawWeights r = raw_weights(args->operand[1], p, transposed);
  const Steps s = read_steps(p);
  const int64_t k = r.cg * r.kernel[0] * r.kernel[1] * r.kernel[2], panel = k * kLanesF32;
  const int64_t each = panel * ceil_div(r.og, kLanesF32);
  for (int64_t g = 0; g < r.groups; ++g) {
    const float* w = static_cast<const float*>(args->constant[1]) + g * r.group;
    if (!transposed) {
      pack_taps(r, all_taps(r), w, dst + g * each, panel, 0, k, 0, r.og);
      continue;
    }
    const int64_t taps = r.kernel[0] * r.kernel[1] * r.kernel[2];
    for (int64_t i = 0; i < taps; ++i) {
      const int64_t tap[3] = {i / r.kernel[2] / r.kernel[1], i / r.kernel[2] % r.kernel[1], i % r.kernel[2]};
      int64_t residue[3];
      for (int d = 0; d < 3; ++d) residue[d] = tap[d] * s.dilation[d] % s.stride[d];
      const TapSet t = residue_class(r, s, residue);
      if (t.first[0] != tap[0] || t.first[1] != tap[1] || t.first[2] != tap[2]) continue;  // a class once
      const int64_t depth = t.count[0] * t.count[1] * t.count[2] * r.cg;
      pack_taps(r, t, w, dst + g * each + t.before * r.cg * kLanesF32, panel, 0, depth, 0, r.og);
    }
  }
}

}  // namespace ARN_NS
