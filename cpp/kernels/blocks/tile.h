// Tiles of block products in vector registers. A policy gives the dot product of codes by signed bytes:
//   struct Policy { static vi32 dot<bits>(vi32 sum, vi32 codes, vi32 a); };
#pragma once

#include "kernels/blocks/dots.h"
#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int kParts = 64 / kVectorBytes;  // vectors of a line

inline vi32 load_codes(const uint8_t* p) { return *reinterpret_cast<const vi32u*>(p); }
template <int kBits>
inline vi32 group_of(vi32 line, int g) {
  if constexpr (kBits == 8) return line;
  constexpr int32_t kMask = kBits == 4 ? 0x0f0f0f0f : 0x03030303;
  return (line >> (kBits * g)) & kMask;
}

// Rows [row, row + MR), vectors [v0, v0 + NV) counted over all panels. A single row, which waits for memory, asks for
// what the next tile reads where this one reads, a line for a line.
template <typename P, int kBits, bool kZeros, int MR, int NV>
void block_tile(const arn_blocks& d, int64_t row, int64_t v0) {
  constexpr int64_t kGroups = 8 / kBits, kLanes = kVectorBytes / 4;
  const int64_t p0 = v0 / kParts, part = v0 % kParts, lines = d.block / (4 * kGroups);
  const uint8_t* b = d.b + p0 * d.panel + part * kVectorBytes;
  const float* scale = d.scale + p0 * d.per_panel + part * kLanes;
  const uint8_t* zero = kZeros ? d.zero + p0 * d.per_panel + part * kLanes : nullptr;
  const int8_t* a = d.a + row * d.block;
  const auto at = [&](int v, int64_t panel, int64_t step) { return v / kParts * panel + v % kParts * step; };
  vf32 total[MR][NV] = {};
  for (int64_t k = 0; k < d.blocks; ++k) {
    vi32 sum[MR][NV];
    const int64_t first = k * d.tall + row;
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r) {
      const vi32 shift = (kZeros ? 0 : d.a_shift[first + r]) - vi32{};
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) sum[r][v] = shift;
    }
    const int8_t* from = a;
    for (int64_t l = 0; l < lines; ++l) {
      vi32 line[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        line[v] = load_codes(b + at(v, d.panel, kVectorBytes));
        if (MR == 1) __builtin_prefetch(b + at(v, d.panel, kVectorBytes) + at(NV, d.panel, 0));
      }
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) {
        vi32 codes[NV];
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) codes[v] = group_of<kBits>(line[v], g);
#pragma GCC unroll 8
        for (int r = 0; r < MR; ++r) {
          int32_t four;
          __builtin_memcpy(&four, from + r * d.block + 4 * g, 4);
          const vi32 av = four - vi32{};
#pragma GCC unroll 8
          for (int v = 0; v < NV; ++v) sum[r][v] = P::template dot<kBits>(sum[r][v], codes[v], av);
        }
      }
      from += 4 * kGroups;
      b += 64;
    }
    vf32 s[NV], z[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      s[v] = load_f32(scale + at(v, d.per_panel, kLanes));
      if (MR == 1) __builtin_prefetch(scale + at(v, d.per_panel, kLanes) + at(NV, d.per_panel, 0));
      if (kZeros) z[v] = __builtin_convertvector(load_u8(zero + at(v, d.per_panel, kLanes)), vf32);
    }
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r) {
      const vf32 a_scale = splat_f32(d.a_scale[first + r]), a_sum = splat_f32(d.a_sum[first + r]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        vf32 x = __builtin_convertvector(sum[r][v], vf32);
        if (kZeros) x -= z[v] * a_sum;
        total[r][v] += x * s[v] * a_scale;
      }
    }
    a += d.a_step;
    scale += 16;
    if (kZeros) zero += 16;
  }
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store_f32(d.out + (row + r) * d.out_row + (v0 + v) * kLanes, total[r][v]);
}

template <int N>
struct Fixed {
  static constexpr int value = N;
};
constexpr int kTall = kVectorBytes == 64 ? 6 : 2;  // rows of the tallest tile
constexpr int kNarrow = kParts > 2 ? kParts : 2;   // vectors of its width
constexpr int kWide = 4;                           // and of a single row's

template <typename P, int kBits, bool kZeros, typename Height, typename Width>
void block_rows(const arn_blocks& d, int64_t row, Height, Width) {
  constexpr int MR = Height::value, NV = Width::value;
  const int64_t vectors = d.panels * kParts;
  int64_t v = 0;
  for (; v + NV <= vectors; v += NV) block_tile<P, kBits, kZeros, MR, NV>(d, row, v);
  if constexpr (NV > kParts)
    for (; v < vectors; v += kParts) block_tile<P, kBits, kZeros, MR, kParts>(d, row, v);
}

template <typename P, int kBits, bool kZeros>
void run_block_rows(const arn_blocks& d) {
  int64_t row = 0;
  for (; d.rows - row >= kTall; row += kTall) block_rows<P, kBits, kZeros>(d, row, Fixed<kTall>{}, Fixed<kNarrow>{});
  for (; d.rows - row >= 2; row += 2) block_rows<P, kBits, kZeros>(d, row, Fixed<2>{}, Fixed<kNarrow>{});
  for (; row < d.rows; ++row) block_rows<P, kBits, kZeros>(d, row, Fixed<1>{}, Fixed<kWide>{});
}

template <typename P>
void run_blocks(const arn_blocks* d, int32_t) {
  const bool zeros = d->zero != nullptr;
  switch (d->bits) {
    case 2:
      return zeros ? run_block_rows<P, 2, true>(*d) : run_block_rows<P, 2, false>(*d);
    case 4:
      return zeros ? run_block_rows<P, 4, true>(*d) : run_block_rows<P, 4, false>(*d);
    default:
      return zeros ? run_block_rows<P, 8, true>(*d) : run_block_rows<P, 8, false>(*d);
  }
}

}  // namespace
}  // namespace ARN_NS
