// AMX tiles as products use them. For sources that are compiled for AMX only.
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/kernel.h"

namespace ARN_NS {

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};

  void load() const { __asm__ volatile("ldtilecfg %0" : : "m"(*this)); }
};

// For products of up to 32 rows: tiles 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 columns of B. Up to 16 rows the
// sums lie side by side; above, 0 and 1 have the first 16 rows, 2 and 3 the rest. bytes: of a row of A, four for each
// row of B.
static inline void configure_product_of(int64_t rows, int64_t bytes) {
  TileConfig c;
  const uint8_t upper = static_cast<uint8_t>(rows > 16 ? 16 : rows);
  const uint8_t lower = rows > 16 ? static_cast<uint8_t>(rows - 16) : upper;
  const uint8_t deep = static_cast<uint8_t>(bytes / 4), wide = static_cast<uint8_t>(bytes);
  const uint8_t height[8] = {upper, upper, lower, lower, upper, lower, deep, deep};
  const uint8_t width[8] = {64, 64, 64, 64, wide, wide, 64, 64};
  for (int t = 0; t < 8; ++t) {
    c.column_bytes[t] = width[t];
    c.rows[t] = height[t];
  }
  c.load();
}
static inline void configure_product(int64_t rows) { configure_product_of(rows, 64); }

static inline void release_tiles() { _tile_release(); }

// The sums of N panels of 16 columns, of four-byte numbers with `row` bytes between rows: of up to 16 rows in tiles 0
// to N - 1, of more in tiles 0 to N - 1 and, `under` them, 2 to N + 1.
template <int N>
static inline void zero_low() {
  _tile_zero(0);
  if constexpr (N > 1) _tile_zero(1);
  if constexpr (N > 2) _tile_zero(2);
  if constexpr (N > 3) _tile_zero(3);
}

template <int N, typename T>
static inline void store_low(T* out, int64_t row) {
  static_assert(sizeof(T) == 4, "sums have four bytes");
  _tile_stored(0, out, row);
  if constexpr (N > 1) _tile_stored(1, out + 16, row);
  if constexpr (N > 2) _tile_stored(2, out + 32, row);
  if constexpr (N > 3) _tile_stored(3, out + 48, row);
}

template <int N>
static inline void zero_high() {
  _tile_zero(0);
  _tile_zero(2);
  if constexpr (N > 1) {
    _tile_zero(1);
    _tile_zero(3);
  }
}

template <int N, typename T>
static inline void store_high(T* out, T* under, int64_t row) {
  static_assert(sizeof(T) == 4, "sums have four bytes");
  _tile_stored(0, out, row);
  _tile_stored(2, under, row);
  if constexpr (N > 1) {
    _tile_stored(1, out + 16, row);
    _tile_stored(3, under + 16, row);
  }
}

// products() adds to each of the tiles 0 to 3 once; called `rounds` times on zeros. Returns the operations done, each
// call being 4 * 16 * 16 * terms of them.
template <typename Products>
static inline double peak_of_tiles(int64_t rounds, int64_t terms, int32_t* sink, Products&& products) {
  configure_product(32);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t r = 0; r < rounds; ++r) products();
  alignas(64) int32_t sums[16 * 16];
  _tile_stored(0, sums, 64);
  release_tiles();
  sink[0] = sums[0];
  return static_cast<double>(rounds) * static_cast<double>(4 * 16 * 16 * terms);
}

}  // namespace ARN_NS
