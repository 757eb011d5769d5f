// Binding of the integer convolutions: shapes, how X is read, task grid, scratch.
#include "kernels/qconv/floats.h"
#include "kernels/qconv/qconv.h"

namespace ARN_NS {
namespace {

constexpr int32_t kFirstQuant = 2;      // operand of the scale of X
constexpr double kQTaskWork = 1 << 19;  // products that are worth a task: 1 us at best, 5 of few channels

// True when walking pixels of one depth in row-major order is one stride in memory.
bool one_stride(const ConvShape& s, const int64_t* strides) {
  return s.out[1] == 1 || s.out[2] == 1 || strides[1] == strides[2] * s.out[2];
}
int64_t walking_stride(const ConvShape& s, const int64_t* strides) { return s.out[2] == 1 ? strides[1] : strides[2]; }

bool reads_padding(const ConvShape& s) {
  for (int i = 0; i < 3; ++i) {
    const int64_t last = s.first[i] + (s.out[i] - 1) * s.step[i] + (s.taps[i] - 1) * s.tap_step[i];
    if (s.first[i] < 0 || last >= s.in[i]) return true;
  }
  return false;
}

// A pointwise convolution without gaps: all pixels of an image are one line.
void flatten(QConvBound* b) {
  ConvShape& s = b->s;
  const auto follows = [&](const int64_t* strides) {
    for (int i = 0; i < 2; ++i)
      if (s.out[i] > 1 && strides[i] != strides[i + 1] * s.out[i + 1]) return false;
    return true;
  };
  for (int i = 0; i < 3; ++i)
    if (s.taps[i] != 1 || s.first[i] != 0 || s.step[i] != 1 || s.out[i] != s.in[i]) return;
  if (!follows(s.x) || !follows(s.y) || (b->form.add >= 0 && !follows(b->add))) return;
  s.in[2] = s.out[2] = pixel_count(s);
  s.in[0] = s.in[1] = s.out[0] = s.out[1] = 1;
}

// Where bytes have no dot products, and there are tiles enough to pay for the filters' transform.
bool wants_tiles(const QConvBound& b, const arn_target& target) {
  const ConvShape& s = b.s;
  const bool square = s.taps[0] == 1 && s.taps[1] == 3 && s.taps[2] == 3 && s.in[0] == 1 && s.out[0] == 1;
  const bool steps = s.step[1] == 1 && s.step[2] == 1 && s.tap_step[1] == 1 && s.tap_step[2] == 1;
  const bool channels = s.cg % ARN_DOT_GROUP == 0 && s.cg >= kTiledChannels && s.cg <= kMostTiledChannels;
  if (!square || !steps || !channels || b.depthwise != 0 || s.og < ARN_DOT_LANES) return false;
  if (qgemm_choose(b.k, s.out[2], b.a_dtype == ARN_I8, target).widened_panels == 0) return false;
  const bool many = s.out[1] >= 2 * kTileSide && s.out[2] >= 2 * kTileSide && s.out[1] * s.out[2] >= 12 * 12;
  return ARN_CHOICE("qconv/tiles", many);
}

// Units are whole rows of tiles by blocks of output channels.
void choose_tile_grid(QConvBound* b) {
  constexpr int64_t kMostTiles = 24, kMostCopied = 128 << 10;
  const ConvShape& s = b->s;
  const int64_t down = ceil_div(s.out[1], kTileSide), across = ceil_div(s.out[2], kTileSide);
  const int64_t line = (across * kTileSide + 2) * s.cg;
  b->o_block = min64(4 * ARN_DOT_LANES, round_up(s.og, ARN_DOT_LANES));
  b->o_blocks = ceil_div(s.og, b->o_block);
  b->block_count = s.groups * b->o_blocks;
  const double work = static_cast<double>(s.batch * s.groups * s.cg) * static_cast<double>(s.og * down * across) * 36;
  int64_t rows = max64(1, min64(down, kMostCopied / (line * kTileSide)));
  const auto units = [&] { return s.batch * b->block_count * ceil_div(down, rows); };
  while (rows > 1 && units() < 8 && work / static_cast<double>(units()) > 2 * kQTaskWork) rows = ceil_div(rows, 2);
  b->p_block = min64(rows * kTileSide, s.out[1]) * s.out[2];
  b->p_blocks = ceil_div(down, rows);
  b->units = units();
  b->units_per_task = units_for_task(work, b->units, kQTaskWork);
  const int64_t batches = ceil_div(across, kMostTiles);
  b->tiles.columns = ceil_div(across, batches);
  b->tiles.rows = min64(rows, max64(1, kMostTiles / b->tiles.columns));
}

// Without dot products of bytes floats have as many products a step, and what the sums follow is widened once. False
// where a unit of a few lines has no room.
bool choose_float_grid(QConvBound* b) {
  const ConvShape& s = b->s;
  const bool pays = depthwise_kernel(b->features).wide > 1 && tap_count(s) <= kExactTaps;
  if (b->depthwise == 0 || !ARN_CHOICE("qconv/depthwise floats", pays) || s.out[2] < 1 || s.out[1] < 1) return false;
  int64_t channels = min64(kFloatChannels, round_up(s.groups, ARN_DOT_LANES));
  const auto bytes = [&](int64_t lines, int64_t columns) {
    return static_cast<double>(s.taps[0]) * static_cast<double>(span(s, 1, lines)) *
           static_cast<double>(span(s, 2, columns)) * static_cast<double>(channels) * 4;
  };
  int64_t columns = s.out[2], lines = 1;
  if (s.out[1] == 1) columns = min64(columns, 1024);
  while (channels > ARN_DOT_LANES && bytes(1, columns) > static_cast<double>(kFloatBytes))
    channels = round_up(channels / 2, ARN_DOT_LANES);
  while (s.out[1] == 1 && columns > kFloatPixels && bytes(1, columns) > static_cast<double>(kFloatBytes)) columns /= 2;
  if (bytes(1, columns) > static_cast<double>(kMostFloatBytes)) return false;
  while (lines < s.out[1] && bytes(lines + 1, columns) <= static_cast<double>(kFloatBytes)) ++lines;
  const int64_t pixels = s.out[1] * s.out[2];
  const double outer = static_cast<double>(s.batch * s.out[0]);
  const double work =
      outer * static_cast<double>(s.groups) * static_cast<double>(pixels) * static_cast<double>(tap_count(s)) * 4;
  const auto units = [&] {
    return outer * static_cast<double>(ceil_div(pixels, lines * columns) * ceil_div(s.groups, channels));
  };
  while (lines > 1 && units() < 8 && work / units() > 2 * kQTaskWork) lines = ceil_div(lines, 2);
  lines = ceil_div(s.out[1], ceil_div(s.out[1], lines));
  b->o_block = channels;
  b->o_blocks = b->block_count = ceil_div(s.groups, channels);
  b->p_block = lines * columns;
  b->p_blocks = ceil_div(pixels, b->p_block);
  b->units = s.batch * s.out[0] * b->block_count * b->p_blocks;
  b->units_per_task = units_for_task(work, b->units, kQTaskWork);
  b->floats.pixel = channels;
  b->floats.line = span(s, 2, columns) * channels;
  b->floats.slice = span(s, 1, lines) * b->floats.line;
  return true;
}

void choose_reading(QConvBound* b) {
  const ConvShape& s = b->s;
  const int64_t channels = b->depthwise != 0 ? s.groups : s.cg;
  const bool beside = s.xc == 1 || channels == 1;
  // Depthwise convolutions make columns of padding as they weave.
  b->copied = b->tiles.rows != 0 || !beside ||
              (b->depthwise != 0 ? channels % 16 != 0 && b->floats.pixel == 0 : reads_padding(s));
  b->copy_channels = b->depthwise != 0 ? round_up(min64(b->o_block, channels), 16) : channels;
  b->pixel = s.x[2];
  b->line = s.x[1];
  b->slice = s.x[0] * s.tap_step[0];
  if (b->copied != 0) {
    const int64_t lines = min64(s.out[1], ceil_div(b->p_block - 1, max64(1, s.out[2])) + 1);
    const int64_t columns = b->p_block >= s.out[2] || s.out[1] > 1 ? s.out[2] : b->p_block;
    const int64_t whole = b->tiles.rows != 0 ? kTileSide : 1;
    b->pixel = b->copy_channels;
    b->line = span(s, 2, round_up(columns, whole)) * b->pixel;
    b->slice = span(s, 1, round_up(lines, whole)) * b->line;
  }
  const bool whole = s.taps[2] == 1 || (s.tap_step[2] == 1 && b->pixel == channels && b->depthwise == 0);
  b->stretches = s.taps[0] * s.taps[1] * (whole ? 1 : s.taps[2]);
  b->stretch = (whole ? s.taps[2] : 1) * s.cg;
  b->walk = s.out[2] == 1 ? b->line * s.step[1] : b->pixel * s.step[2];
  b->straight =
      b->stretches == 1 && (s.out[1] == 1 || s.out[2] == 1 || b->line * s.step[1] == b->pixel * s.step[2] * s.out[2]);
}

void choose_grid(const arn_target& target, QConvBound* b) {
  const ConvShape& s = b->s;
  const int64_t pixels = s.out[1] * s.out[2];
  const int64_t columns = b->depthwise != 0 ? s.groups : s.og;
  int64_t p_block, o_block;
  if (b->depthwise != 0) {
    o_block = min64(round_up(columns, 16), 256);
    p_block = max64(4 * s.out[2], 16384 / o_block);
  } else {
    const int64_t quad = 4 * ARN_DOT_LANES;
    const int64_t fit = target.l2_bytes / 4 / max64(1, b->k) / quad * quad;
    o_block =
        min64(max64(quad, min64(b->use_epilogue != 0 ? 256 : 512, fit)), round_up(max64(1, columns), ARN_DOT_LANES));
    p_block = min64(1024, max64(224, 4 * s.out[2]));
  }
  const double outer = static_cast<double>(s.batch * s.out[0]) * static_cast<double>(b->depthwise != 0 ? 1 : s.groups);
  const double work = outer * static_cast<double>(b->k) * static_cast<double>(columns) * static_cast<double>(pixels) *
                      (b->depthwise != 0 ? 8 : 1);
  const auto units = [&] {
    return outer * static_cast<double>(ceil_div(pixels, p_block) * ceil_div(columns, o_block));
  };
  while (units() < 8 && work / units() > 2 * kQTaskWork) {
    if (p_block >= 128)
      p_block = round_up(p_block / 2, 32);
    else if (o_block >= 128)
      o_block = round_up(o_block / 2, 4 * ARN_DOT_LANES);
    else
      break;
  }
  p_block = max64(1, min64(p_block, pixels));
  const int64_t blocks = max64(1, ceil_div(pixels, p_block));
  p_block = min64(max64(1, pixels), round_up(ceil_div(pixels, blocks), b->depthwise != 0 ? 1 : 32));
  b->p_block = max64(1, p_block);
  b->o_block = o_block;
  b->p_blocks = ceil_div(pixels, b->p_block);
  b->o_blocks = ceil_div(columns, o_block);
  b->block_count = (b->depthwise != 0 ? 1 : s.groups) * b->o_blocks;
  b->units = s.batch * s.out[0] * b->block_count * b->p_blocks;
  b->units_per_task = units_for_task(work, b->units, kQTaskWork);
}

// A register form, a tile program over blocks, or the block itself.
int32_t read_rest(const arn_bind_args* args, QConvBound* b) {
  b->form.add = -1;
  const arn_desc& y = args->operand[args->n_in];
  b->out_dtype = y.dtype;
  if (args->tile == nullptr) return args->n_out == 1 && y.dtype == b->block_dtype ? ARN_OK : ARN_UNSUPPORTED;
  if (args->tile->reg_dtype[0] != b->block_dtype) return ARN_UNSUPPORTED;
  const QForm form = read_form(args);
  bool alike = form.known;
  if (alike && form.add >= 0) {
    const arn_desc& other = args->operand[form.add];
    alike = other.rank == y.rank;
    for (int i = 0; alike && i < y.rank; ++i) alike = other.dims[i] == y.dims[i];
    if (alike) {
      b->add_n = other.strides[0];
      b->add_c = other.strides[1];
      for (int i = 2; i < y.rank; ++i) b->add[3 - y.rank + i] = other.strides[i];
    }
  }
  if (alike) {
    b->form = form;
    return ARN_OK;
  }
  b->use_epilogue = 1;
  return epilogue_bind(args, 1, 1, &b->epilogue);
}

void lay_out(QConvBound* b) {
  const ConvShape& s = b->s;
  const bool depthwise = b->depthwise != 0;
  int64_t at = depthwise ? 0 : qgemm_scratch(b->gemm);
  const auto take = [&](int64_t bytes) {
    const int64_t here = round_up(at, ARN_ALIGN);
    at = here + bytes;
    return here;
  };
  b->at_columns = take(qgemm_column_bytes(b->o_block));
  b->at_slab = take(b->packed != 0 ? 0 : packed_filters_bytes(b->w, b->o_block));
  const bool in_floats = b->floats.pixel != 0;
  b->at_lines = take(b->copied == 0 ? 0 : in_floats ? b->line : s.taps[0] * b->slice + kBeyondLines);
  b->at_pointers = take(depthwise || b->straight != 0 ? 0 : b->stretches * b->p_block * 8);
  if (in_floats) {
    b->floats.at_lines = take(s.taps[0] * b->floats.slice * 4);
    b->floats.at_weights = take(tap_count(s) * b->floats.pixel * 4);
    b->floats.at_sums = take(kFloatPixels * b->floats.pixel * 4);
  } else if (depthwise) {
    const FilterRows f = filter_rows(b->w);
    const int64_t step = ARN_DOT_GROUP * kVectorBytes, channels = woven_channels(b->o_block);
    b->at_taps = take(f.groups * ARN_DOT_GROUP * 8);
    b->at_weights = take(f.columns * f.groups * ARN_DOT_GROUP * channels);
    b->at_ones = take(f.columns * f.groups * step);
    b->at_woven = take(span(s, 2, kDepthwisePixels) * f.groups * step * depthwise_kernel(b->features).wide);
    b->at_outside = take(b->copied != 0 ? 0 : outside_bytes(*b));
    b->at_woven_columns = take(4 * channels * 4);
    b->at_sums = take(3 * kDepthwisePixels * kVectorBytes * 4);
  } else {
    b->at_taps = take(b->stretches * 8);
  }
  if (b->tiles.rows != 0) {
    QTiles& t = b->tiles;
    const auto apart = [](int64_t bytes) { return (round_up(bytes, 64) / 64 | 1) * 64; };  // not all in the same sets
    const int64_t count = t.rows * t.columns, pixels = count * kTileSide * kTileSide;
    t.filter = apart(b->o_block * s.cg * 2);
    t.patch = apart(count * s.cg * 2);
    t.product = apart(count * b->o_block * 4);
    t.at_filters = take(kTilePositions * t.filter);
    t.at_patches = take(kTilePositions * t.patch);
    t.at_products = take(kTilePositions * t.product);
    t.at_sums = take(pixels * b->o_block * 4);
  }
  b->at_block = take(b->use_epilogue != 0 ? kEpilogueRows * b->o_block * 4 : 0);
  b->epilogue_scratch = take(0);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(qconv) {
  using namespace ARN_NS;
  auto* b = cleared<QConvBound>(bound);
  if (args->n_in < 2 || args->n_out < 1) return ARN_UNSUPPORTED;
  const arn_desc three[3] = {args->operand[0], args->operand[1], args->operand[args->n_in]};
  arn_bind_args plain = *args;
  plain.operand = three;
  plain.n_in = 2;
  plain.n_out = 1;
  ConvOperands o;
  int32_t bad = read_conv(&plain, false, &o);
  if (bad != ARN_OK) return bad;
  b->s = o.s;
  b->w = o.w;
  bad = read_quant_operands(args, kFirstQuant, b->s.groups * b->s.og, b);
  if (bad == ARN_OK) bad = read_rest(args, b);
  if (bad != ARN_OK) return bad;
  b->k = tap_count(b->s) * b->s.cg;
  b->depthwise = is_depthwise(b->w);
  b->packed = (args->packed & 2u) != 0;
  b->out_operand = args->n_in;
  b->features = args->target->features;
  b->packed_group = packed_filters_bytes(b->w, b->depthwise != 0 ? b->w.groups : b->w.og);
  if (b->depthwise == 0) flatten(b);
  if (wants_tiles(*b, *args->target))
    choose_tile_grid(b);
  else if (!choose_float_grid(b))
    choose_grid(*args->target, b);
  choose_reading(b);
  b->gemm = qgemm_choose(b->k, b->p_block, b->a_dtype == ARN_I8, *args->target);
  if (b->depthwise != 0) {
    b->gemm.flips = b->a_dtype == ARN_I8 && b->floats.pixel == 0;
    b->gemm.panel = padded_depth(b->w) / ARN_DOT_GROUP * ARN_DOT_PANEL_STEP;
  }
  b->one_run = one_stride(b->s, b->s.y) && (b->form.add < 0 || one_stride(b->s, b->add));
  b->out_pixel = walking_stride(b->s, b->s.y);
  b->add_pixel = walking_stride(b->s, b->add);
  lay_out(b);
  out->run = qconv_run;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b->epilogue_scratch + (b->use_epilogue != 0 ? b->epilogue.core.scratch_bytes : 0);
  out->bound_bytes = sizeof(QConvBound);
  out->variant = b->tiles.rows != 0     ? "tiles"
                 : b->floats.pixel != 0 ? "depthwise floats"
                 : b->depthwise != 0    ? depthwise_kernel(b->features).variant
                                        : qgemm_kernel_name(b->gemm);
  return ARN_OK;
}
