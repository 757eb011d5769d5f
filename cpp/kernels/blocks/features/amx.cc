// Block products by AMX tiles: 16 rows by a panel, a block at a time.
#include "simd/amx.h"

#include "kernels/blocks/tile.h"

namespace ARN_NS {
namespace {

constexpr int64_t kRows = 16;

// Tiles 0 and 1 hold sums, 2 and 3 rows of A, 4 and 5 codes; a step along K is a block, at most 64 bytes of it.
void configure(int64_t, int64_t block) {
  const int64_t step = block < 64 ? block : 64;
  TileConfig c;
  for (int t = 0; t < 6; ++t) {
    const bool a = t == 2 || t == 3, b = t >= 4;
    c.column_bytes[t] = static_cast<uint16_t>(a ? step : 64);
    c.rows[t] = static_cast<uint8_t>(b ? step / 4 : kRows);
  }
  c.load();
}

template <int kBits>
void unpack(const arn_blocks& d) {
  constexpr int kGroups = 8 / kBits;
  const int64_t lines = d.blocks * d.block / (4 * kGroups);
  uint8_t* to = d.unpacked;
  for (int64_t l = 0; l < lines; ++l) {
    const vi32 line = load_codes(d.b + l * 64);
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g, to += 64) *reinterpret_cast<vi32u*>(to) = group_of<kBits>(line, g);
  }
}

// The 16 sums of every row of a block, scaled and added.
template <bool kZeros>
inline void add_block(const arn_blocks& d, int64_t k, const int32_t* sums, vf32 (&total)[kRows]) {
  const float *a_scale = d.a_scale + k * d.tall, *a_sum = d.a_sum + k * d.tall;
  const int32_t* a_shift = d.a_shift + k * d.tall;
  const vf32 scale = load_f32(d.scale + k * 16),
             zero = kZeros ? __builtin_convertvector(load_u8(d.zero + k * 16), vf32) : vf32{};
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    vi32 sum = *reinterpret_cast<const vi32u*>(sums + 16 * r);
    if (!kZeros) sum += a_shift[r] - vi32{};
    vf32 x = __builtin_convertvector(sum, vf32);
    if (kZeros) x -= zero * splat_f32(a_sum[r]);
    total[r] += x * scale * splat_f32(a_scale[r]);
  }
}

// The products of block k, into tile 0 or, of A and codes in other tiles, 1.
template <int kSums>
inline void multiply_block(const arn_blocks& d, int64_t k) {
  const int64_t step = d.block < 64 ? d.block : 64;
  const int8_t* a = d.a + k * d.a_step;
  const uint8_t* codes = d.unpacked + k * 16 * d.block;
  if constexpr (kSums == 0)
    _tile_zero(0);
  else
    _tile_zero(1);
  for (int64_t at = 0; at < d.block; at += step) {
    if constexpr (kSums == 0) {
      _tile_loadd(2, a + at, d.block);
      _tile_loadd(4, codes + 16 * at, 64);
      _tile_dpbsud(0, 2, 4);
    } else {
      _tile_loadd(3, a + at, d.block);
      _tile_loadd(5, codes + 16 * at, 64);
      _tile_dpbsud(1, 3, 5);
    }
  }
}

template <bool kZeros>
void run_panel(const arn_blocks& d) {
  alignas(64) int32_t sums[2][kRows * 16];
  vf32 total[kRows] = {};
  int64_t k = 0;
  for (; k + 2 <= d.blocks; k += 2) {
    multiply_block<0>(d, k);
    multiply_block<1>(d, k + 1);
    _tile_stored(0, sums[0], 64);
    add_block<kZeros>(d, k, sums[0], total);
    _tile_stored(1, sums[1], 64);
    add_block<kZeros>(d, k + 1, sums[1], total);
  }
  if (k < d.blocks) {
    multiply_block<0>(d, k);
    _tile_stored(0, sums[0], 64);
    add_block<kZeros>(d, k, sums[0], total);
  }
  // A loop of a fixed length, so that the totals stay in registers.
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
    if (r < d.rows) store_f32(d.out + r * d.out_row, total[r]);
}

void run(const arn_blocks* d, int32_t fresh) {
  if (fresh != 0) {
    if (d->bits == 2)
      unpack<2>(*d);
    else if (d->bits == 4)
      unpack<4>(*d);
    else
      unpack<8>(*d);
  }
  if (d->zero != nullptr)
    run_panel<true>(*d);
  else
    run_panel<false>(*d);
}

// Rows of A are always 16 in memory: those past d.rows are read, and what becomes of them is left.
const arn_blocks_kernel kKernel = {"amx", kRows, 1, configure, run, release_tiles};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_blocks_kernel* ARN_CONCAT(arn_blocks_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }
