// Binding of Winograd convolutions: tiles, blocks, scratch.
#include "kernels/conv/winograd/winograd.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr int64_t kMostTiles = 4 * kTileRows;
constexpr int64_t kLeastScratch = 96 << 10, kMostScratch = 256 << 10;  // in elements

// Element strides whose lines do not all fall into the same cache sets.
inline int64_t spread(int64_t elements) { return (round_up(elements, 16) / 16 | 1) * 16; }

// Blocks of tiles: the filters are read once a block, so the more tiles the better; the transformed input and the
// products of a block stay in cache. Scratch may take twice what the images do, or, where the filters are read again
// from L2, a quarter; and no more than there is room for, but for the fewest tiles.
void choose_blocks(int64_t l2_bytes, int64_t room_bytes, WinogradBound* b) {
  const ConvShape& s = b->s;
  constexpr int64_t column = kTileVectors * L;
  const int64_t images = s.batch * s.groups * (s.cg * s.in[1] * s.in[2] + s.og * s.out[1] * s.out[2]);
  const bool near = 8 * b->positions * s.cg * s.og <= l2_bytes;
  const int64_t fastest = max64(kLeastScratch, min64(kMostScratch, near ? images / 4 : 2 * images));
  const int64_t room = room_bytes > 0 ? min64(fastest, room_bytes / 4) : fastest;
  const int64_t widest = min64(round_up(128, column), round_up(s.og, L)), narrow = min64(widest, round_up(64, column));
  const auto fits = [&](int64_t rows, int64_t columns) { return b->positions * rows * (s.cg + columns) <= room; };
  int64_t rows = max64(1, min64(b->tiles, kMostTiles));
  while (rows > kTileRows && !fits(rows, narrow)) rows = (rows - 1) / kTileRows * kTileRows;
  b->o_block = fits(rows, widest) ? widest : narrow;
  b->t_block = rows;
  b->t_blocks = ceil_div(b->tiles, rows);
  const auto units = [&] { return s.groups * b->t_blocks * ceil_div(s.og, b->o_block); };
  const double work = static_cast<double>(s.groups * s.cg * s.og) * static_cast<double>(b->positions * b->tiles);
  const double unit = 1 << 20;  // multiply-adds: narrower blocks of channels lose more than another thread wins
  while (units() < 16 && b->o_block >= 2 * column && work / static_cast<double>(units()) > 2 * unit)
    b->o_block = round_up(b->o_block / 2, column);
  // Few and odd: one more, so that two threads get as much each.
  const int64_t narrower = round_up(ceil_div(s.og, ceil_div(s.og, b->o_block) + 1), column);
  if (units() < 8 && units() % 2 != 0 && narrower < b->o_block && narrower >= 2 * column) b->o_block = narrower;
  b->o_blocks = ceil_div(s.og, b->o_block);
  b->units = units();
  b->units_per_task = units_for_task(work, b->units, kTaskWork);
}

// An addition that is done in registers reads the operand at the output's own places.
bool adds_in_registers(const arn_desc& other, const arn_desc& y, WinogradBound* b) {
  if (other.rank != 4 || (other.strides[1] != 1 && other.dims[1] != 1)) return false;
  for (int i = 0; i < 4; ++i)
    if (other.dims[i] != y.dims[i]) return false;
  b->add_n = other.strides[0];
  b->add[1] = other.strides[2];
  b->add[2] = other.strides[3];
  return true;
}

}  // namespace

int32_t winograd_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  auto* b = cleared<WinogradBound>(bound);
  ConvOperands o;
  const int32_t status = read_conv(args, false, &o);
  if (status != ARN_OK) return status;
  b->s = o.s;
  b->tile = winograd_tile(args);
  b->positions = (b->tile + 2) * (b->tile + 2);
  b->tiles_y = ceil_div(b->s.out[1], b->tile);
  b->tiles_x = ceil_div(b->s.out[2], b->tile);
  b->tiles = b->s.batch * b->tiles_y * b->tiles_x;
  const arn_desc& y = args->operand[args->n_in];
  const int32_t bad = bind_rest(args, o, b->s.yc == 1 || y.dims[1] == 1, adds_in_registers, b);
  if (bad != ARN_OK) return bad;
  const int64_t room = static_cast<const arn_conv_params*>(args->params)->room;
  choose_blocks(args->target != nullptr ? args->target->l2_bytes : 0, room, b);
  b->v_row = round_up(b->s.cg, L);
  if (b->v_row % 256 == 0) b->v_row += 16;
  b->m_row = round_up(b->o_block, L);
  b->v_position = spread(b->t_block * b->v_row);
  b->m_position = spread(b->t_block * b->m_row);
  const int64_t pixels = b->tile * b->tile;
  b->stage_tiles = max64(1, min64(b->tiles_x, 8192 / (pixels * b->m_row)));
  b->at_products = b->positions * b->v_position;
  b->at_bias = b->at_products + b->positions * b->m_position;
  b->at_stage = b->at_bias + b->m_row;
  const int64_t staged = b->use_epilogue != 0 ? b->stage_tiles : b->activation.applied != 0 ? 1 : 0;
  const int64_t end = b->at_stage + staged * pixels * b->m_row;
  b->epilogue_scratch = round_up(end * 4, ARN_ALIGN);
  return bind_units(out, winograd_run, *b, b->tile == 4 ? "winograd 4x4" : "winograd 2x2");
}

}  // namespace ARN_NS
