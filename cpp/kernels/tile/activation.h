// Activations that a producer applies to what it has just finished, instead of handing blocks to a tile program: limits
// in registers (which relu is, too), any other tile function of one operand on rows that are still in L1. The bytes are
// those of the tile functions.
#pragma once

#include "kernels/tile/table.h"

namespace ARN_NS {

struct BlockActivation {
  int32_t limited, applied;  // which of the two there is: at most one
  float low, high;           // limited: max(x, low), then min(that, high); NaN stays
  int32_t fn, immediates;    // applied: index of the tile function; how many immediates follow its operand
  float immediate[2];
};

// Positions in the table.
enum : uint16_t {
#define ARN_TILE_FN(name, result, a, b, c) kTile_##name,
#include "kernels/tile/functions.inc"
#undef ARN_TILE_FN
};

// The activation that instruction `i` of a program is, its operand being register `value`; false when it is none.
static inline bool read_activation(const arn_tile& t, const arn_tile_instr& i, uint8_t value, BlockActivation* to) {
  if (i.fn >= kTileFunctionCount || i.a != value) return false;
  const TileTypes& types = kTileTypes[i.fn];
  if (types.result != ARN_F32 || types.arg[0] != ARN_F32) return false;
  *to = BlockActivation{};
  const uint8_t source[2] = {i.b, i.c};
  for (int s = 0; s < 2; ++s) {
    if (types.arg[s + 1] == ARN_NONE) break;
    const int32_t k = source[s] - t.n_in;
    if (types.arg[s + 1] != ARN_F32 || k < 0 || k >= t.n_imm) return false;
    __builtin_memcpy(&to->immediate[to->immediates++], &t.imm[k], sizeof(float));
  }
  if (i.fn == kTile_relu_f32 || i.fn == kTile_clip_f32) {
    to->limited = 1;
    to->low = i.fn == kTile_relu_f32 ? 0.0f : to->immediate[0];
    to->high = i.fn == kTile_relu_f32 ? __builtin_inff() : to->immediate[1];
  } else {
    to->applied = 1;
    to->fn = i.fn;
  }
  return true;
}

// Applies tile functions to rows of any length. In place only what is in L1: a row that was just stored may still be on
// its way, and reading it waits for the rest of its lines.
class ActivationRows {
 public:
  explicit ActivationRows(const BlockActivation& a) : fn_(a.applied != 0 ? kTileFunctions[a.fn] : nullptr) {
    if (fn_ == nullptr) return;
    step_ = a.immediates == 0 ? INT64_MAX : kStep;
    for (int32_t k = 0; k < a.immediates; ++k)
      for (int64_t i = 0; i < kStep; ++i) immediate_[k][i] = a.immediate[k];
  }
  bool any() const { return fn_ != nullptr; }
  void run(float* to, const float* from, int64_t n) const {
    for (int64_t at = 0; at < n; at += min64(step_, n - at))
      fn_(min64(step_, n - at), to + at, from + at, immediate_[0], immediate_[1]);
  }
  // `count` rows, to_row and from_row elements apart.
  void run(float* to, int64_t to_row, const float* from, int64_t from_row, int64_t n, int64_t count) const {
    if (n == to_row && n == from_row) return run(to, from, n * count);
    for (int64_t i = 0; i < count; ++i) run(to + i * to_row, from + i * from_row, n);
  }

 private:
  static constexpr int64_t kStep = 64;
  arn_tile_fn fn_;
  int64_t step_ = 0;
  alignas(64) float immediate_[2][kStep];
};

}  // namespace ARN_NS
