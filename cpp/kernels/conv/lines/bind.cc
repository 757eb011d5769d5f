// Binding of convolutions over lines: where lines lie, rectangles, scratch.
#include "kernels/conv/lines/lines.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr int64_t kStage = 12 << 10;      // elements of the lines that several output rows share, in L1 or nearly
constexpr int64_t kWideStage = 32 << 10;  // of the lines of up to four rows, which are copied again for the next ones
constexpr int64_t kLargestStage = 48 << 10;  // elements that the lines of one output row may take
constexpr int64_t kLongestRow = 512;         // output columns of a unit
constexpr int64_t kSharedColumns = 48;       // that a unit has at least where columns are shared out

int64_t line_elements(const ConvShape& s, int64_t columns) {
  return round_up(((columns - 1) * s.step[2] + s.taps[2]) * s.cg, L) + L;
}
int64_t lines_of(const ConvShape& s, int64_t rows) {
  return (rows - 1) * s.step[1] + (s.taps[1] - 1) * s.tap_step[1] + 1;
}

int64_t columns_of(const ConvShape& s) {
  return s.out[2] <= kLongestRow ? s.out[2] : round_up(ceil_div(s.out[2], ceil_div(s.out[2], kLongestRow)), 12);
}

// The taps of a line are a run of X itself.
bool reads_in_place(const ConvShape& s) {
  return s.xc == 1 && (s.taps[2] == 1 || s.x[2] == s.cg) && s.first[2] == 0 && s.first[1] == 0 &&
         (s.out[2] - 1) * s.step[2] + s.taps[2] <= s.in[2] &&
         (s.out[1] - 1) * s.step[1] + (s.taps[1] - 1) * s.tap_step[1] < s.in[1];
}

void choose_rectangles(LinesBound* b) {
  const ConvShape& s = b->s;
  if (pixel_count(s) == 0 || s.batch == 0 || s.og == 0) {
    b->rows = b->columns = b->o_block = b->row_blocks = b->column_blocks = b->o_blocks = b->units_per_task = 1;
    return;
  }
  const int64_t k = tap_count(s) * s.cg;
  b->columns = columns_of(s);
  b->line = line_elements(s, b->columns);
  b->column_blocks = ceil_div(s.out[2], b->columns);
  const bool whole = b->spread > 1 && b->use_epilogue != 0;  // rows of channels become rows of pixels
  const int64_t share = round_up(ceil_div(s.og, ceil_div(s.og, kColumns)), kTileVectors * L);
  b->o_block = whole ? s.og : min64(share, round_up(s.og, L));
  b->rows = 1;
  const auto outer = [&] { return s.batch * s.groups * b->phases * b->column_blocks; };
  const auto units = [&] { return outer() * ceil_div(s.out[1], b->rows) * ceil_div(s.og, b->o_block); };
  const double work =
      static_cast<double>(s.batch * s.groups * b->phases * k * s.og) * static_cast<double>(pixel_count(s));
  const auto each = [&] { return work / static_cast<double>(max64(1, units())); };
  const double small = 1 << 18;  // multiply-adds that are worth a unit
  // Rows that share lines and weights, as long as enough units are left to share out.
  while (b->rows < s.out[1]) {
    const int64_t more = b->rows + 1;
    const bool fits = b->in_place != 0
                          ? more * b->columns <= 168
                          : lines_of(s, more) * b->line <= (more <= 4 ? kWideStage : kStage) || more * b->columns <= 48;
    const int64_t left = outer() * ceil_div(s.out[1], more) * ceil_div(s.og, b->o_block);
    if (!fits || (left < 16 && each() >= small && b->rows * b->columns >= 48)) break;
    b->rows = more;
  }
  b->row_blocks = ceil_div(s.out[1], b->rows);
  b->rows = ceil_div(s.out[1], max64(1, b->row_blocks));
  while (!whole && units() < 8 && b->o_block >= 4 * kTileVectors * L && each() > 4 * small)
    b->o_block = round_up(b->o_block / 2, kTileVectors * L);
  // Columns are shared out where nothing else is left: an even number of blocks, for two threads.
  while (units() < 4 && b->columns >= 2 * kSharedColumns && each() > 4 * small) {
    b->columns = round_up(ceil_div(s.out[2], 2 * b->column_blocks), 4);
    b->column_blocks = ceil_div(s.out[2], b->columns);
    b->line = line_elements(s, b->columns);
  }
  b->o_blocks = ceil_div(s.og, b->o_block);
  b->units = units();
  b->units_per_task = units_for_task(work, b->units, kTaskWork);
  b->lines = lines_of(s, b->rows);
}

// Walking the pixels of an image is one stride, in X as in Y.
bool is_one_line(const ConvShape& s) {
  return s.taps[1] == 1 && s.taps[2] == 1 && s.step[1] == 1 && s.step[2] == 1 && s.first[1] == 0 && s.first[2] == 0 &&
         s.in[1] == s.out[1] && s.in[2] == s.out[2] && s.x[1] == s.in[2] * s.x[2] && s.y[1] == s.out[2] * s.y[2];
}

void make_one_line(LinesBound* b) {
  ConvShape& s = b->s;
  s.in[2] = s.out[2] = b->y_columns = s.in[1] * s.in[2];
  s.in[1] = s.out[1] = b->y_rows = 1;
}

bool fills_output(const LinesBound& b) {
  return b.s.in[1] * b.phases == b.y_rows && b.s.in[2] * b.spread == b.y_columns;
}

bool adds_in_registers(const arn_desc& other, const arn_desc& y, LinesBound* b) {
  if (other.rank != y.rank || (other.strides[1] != 1 && other.dims[1] != 1)) return false;
  for (int i = 0; i < y.rank; ++i) {
    if (other.dims[i] != y.dims[i]) return false;
    if (i >= 2) b->add[3 - y.rank + i] = other.strides[i];
  }
  b->add_n = other.strides[0];
  if (b->spread > 1 && b->add[2] != b->og) return false;
  b->add_phase = b->add[1];
  b->add[1] *= b->phases;
  b->add[2] *= b->spread;
  const int64_t k = tap_count(b->s) * b->s.cg;
  return b->has_bias == 0 || k <= depth_block(k);  // the bias takes the place of the sums before
}

}  // namespace

bool lines_fit(const ConvShape& s) {
  // Rows of pixels that fill tiles badly are joined over the image instead, which many channels pay for.
  const bool narrow = s.out[2] < 2 * kTileRows && s.out[1] > 1 && !is_one_line(s);
  if (narrow && s.og > 4 * kTileVectors * L) return false;
  if (s.taps[0] != 1 || s.in[0] != 1 || s.first[0] != 0 || s.out[0] != 1 || s.cg < 1 || pixel_count(s) == 0)
    return false;
  if (s.taps[1] > kMostLines || (s.tap_step[2] != 1 && s.taps[2] != 1)) return false;
  return reads_in_place(s) || lines_of(s, 1) * line_elements(s, columns_of(s)) <= kLargestStage;
}

int32_t lines_bind(const arn_bind_args* args, const ConvOperands& o, bool nonoverlapping, arn_bound* out, void* bound) {
  auto* b = cleared<LinesBound>(bound);
  const arn_desc& y = args->operand[args->n_in];
  b->s = o.s;
  b->phases = b->spread = 1;
  b->y_phase = o.s.y[1];
  b->y_rows = o.s.out[1];
  b->y_columns = o.s.out[2];
  b->og = o.s.og;
  bool in_registers = o.s.yc == 1 || y.dims[1] == 1;
  if (nonoverlapping) {
    b->phases = o.s.taps[1];
    b->spread = o.s.taps[2];
    nonoverlapping_shape(o, &b->s);
    // Neighbouring pixels follow each other, and nothing of Y is left over.
    in_registers = in_registers && (b->spread == 1 || o.s.y[2] == o.s.og) && fills_output(*b);
  }
  const ConvShape& s = b->s;
  const int32_t bad = bind_rest(args, o, in_registers, adds_in_registers, b);
  if (bad != ARN_OK) return bad;
  if (!nonoverlapping && is_one_line(s) && (b->add_operand < 0 || b->add[1] == s.out[2] * b->add[2])) make_one_line(b);
  b->in_place = reads_in_place(s) && ARN_CHOICE("conv/lines in place", true);
  b->hop = s.step[2] * (b->in_place != 0 ? s.x[2] : s.cg);
  choose_rectangles(b);
  const int64_t k = b->packed_k = tap_count(s) * s.cg, width = round_up(b->o_block, L), pixels = b->rows * b->columns;
  b->partial_row = k > depth_block(k) ? width : 0;
  b->block_row = b->spread > 1 ? b->o_block : width;
  int64_t at = pixels * b->partial_row;
  b->at_block = b->block_row == b->partial_row ? 0 : at;
  if (b->use_epilogue != 0 && b->at_block == at) at += round_up(pixels * b->block_row, L);
  b->at_stage = at;
  at += b->in_place != 0 ? 0 : b->lines * b->line;
  b->at_bias = at;
  at += width;
  b->at_edge = at;
  at += edge_elements();
  b->epilogue_scratch = round_up(at * 4, ARN_ALIGN);
  return bind_units(out, lines_run, *b, b->in_place != 0 ? "lines in place" : "lines");
}

}  // namespace ARN_NS
