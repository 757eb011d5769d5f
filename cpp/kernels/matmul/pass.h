// gemm_pass for one element type; included by the sources that instantiate it.
#pragma once

#include "kernels/matmul/micro.h"

namespace ARN_NS {
namespace {

// `tiles` tiles of `vectors` each that begin a row of `left` vectors; narrower ones may follow.
struct Run {
  int64_t vectors, tiles;
};

// The widest tiles that `rows` rows allow: short tiles are wide, so that enough independent chains are in flight. One
// row is bound by the reading of B, which more than four streams at a time slow down.
inline Run widest_tiles(int64_t rows, int64_t left) {
  if (left >= 4 && rows <= rows_for(4)) return {4, left / 4};
  if (rows <= rows_for(3)) {  // even shares of at most 3
    const int64_t tiles = ceil_div(left, 3), most = ceil_div(left, tiles);
    return {most, left - (most - 1) * tiles};
  }
  return left >= 2 ? Run{2, left / 2} : Run{1, 1};
}

template <typename T>
TileRowFn<T> tile_fn(int64_t rows, int64_t vectors) {
  switch (vectors) {
    case 1:
      return TileTable<T, 1>::fn[rows - 1];
    case 2:
      return TileTable<T, 2>::fn[rows - 1];
    case 3:
      return TileTable<T, 3>::fn[rows - 1];
    default:
      return TileTable<T, 4>::fn[rows - 1];
  }
}

constexpr int64_t kStagedColumns = 192;  // of rows of tiles that an activation follows

inline void apply(const ActivationRows& after, float* to, int64_t to_row, const float* from, int64_t from_row,
                  int64_t n, int64_t rows) {
  if (after.any()) after.run(to, to_row, from, from_row, n, rows);
}
template <typename T>
inline void apply(const ActivationRows&, T*, int64_t, const T*, int64_t, int64_t, int64_t) {}

// A last-pass tile whose columns are partial, or whose output or c has no unit column stride: computed into scratch,
// with c gathered before and the result scattered after.
template <typename T>
void edge_tile(const GemmPass<T>& p, TileRow<T> row, int64_t i, int64_t j, int64_t rows, int64_t vectors,
               const ActivationRows& after) {
  constexpr int64_t L = kLanes<T>;
  const int64_t width = vectors * L, cols = min64(width, p.n - j);
  row.tiles = 1;
  Tile<T>& t = row.tile;
  T* result = p.edge;
  T* c = p.edge + kMaxRows * kMaxVectors * L;
  if (p.c != nullptr) {
    for (int64_t r = 0; r < rows; ++r) {
      const T* from = p.c + (i + r) * p.c_row + j * p.c_col;
      for (int64_t x = 0; x < cols; ++x) c[r * width + x] = from[x * p.c_col];
      for (int64_t x = cols; x < width; ++x) c[r * width + x] = T(0);
    }
    t.c = c;
    t.c_row = width;
    t.c_col = 1;
  }
  t.out = result;
  t.out_row = width;
  tile_fn<T>(rows, vectors)(row);
  apply(after, result, width, result, width, width, rows);
  T* out = p.out + i * p.out_row + j * p.out_col;
  if (p.out_col == 1) {
    for (int64_t r = 0; r < rows; ++r)
      __builtin_memcpy(out + r * p.out_row, result + r * width, static_cast<size_t>(cols) * sizeof(T));
  } else {
    for (int64_t x = 0; x < cols; ++x)
      for (int64_t r = 0; r < rows; ++r) out[r * p.out_row + x * p.out_col] = result[r * width + x];
  }
}

template <typename T>
void compact_rows(T* dst, const T* a, int64_t rows, int64_t depth, int64_t a_row, int64_t a_k) {
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t r = 0; r < rows; ++r) dst[k * rows + r] = a[k * a_k + r * a_row];
}

// `next_rows`: rows of the tile that follows this one, 0 for none.
template <typename T>
void row_tile(const GemmPass<T>& p, int64_t i, int64_t rows, int64_t next_rows, const T* a, AheadOfPass<T>* ahead,
              const ActivationRows& after) {
  constexpr int64_t L = kLanes<T>;
  Tile<T> t{};
  t.depth = p.depth;
  t.a = a;
  t.a_row = p.a_row;
  t.a_k = p.a_k;
  if (p.compact != nullptr) {
    compact_rows(p.compact, a, rows, p.depth, p.a_row, p.a_k);
    t.a = p.compact;
    t.a_row = 1;
    t.a_k = rows;
  }
  t.b_vec = p.b_vec;
  t.b_k = p.b_k;
  t.prior_row = p.partial_row;
  t.finish = p.last;
  t.alpha = p.alpha;
  t.beta = p.beta;
  t.limited = p.activation.limited != 0;
  if (t.limited) {
    t.low = static_cast<T>(p.activation.low);
    t.high = static_cast<T>(p.activation.high);
  }
  const bool direct = p.out_col == 1 && (p.c == nullptr || p.c_col == 0 || p.c_col == 1);
  const int64_t vectors = ceil_div(p.n, L), whole = !p.last ? vectors : direct ? p.n / L : 0;
  int64_t direct_columns = 0;
  // What an activation follows is put together in L1: the output's lines may still be on their way.
  alignas(64) T block[kMaxRows * kStagedColumns];
  const int64_t width = whole * L;
  const bool staged = p.last && after.any() && width <= kStagedColumns;
  NextRows<T> next(a + rows * p.a_row, next_rows, p.depth, p.a_row, p.a_k, vectors / 2);
  for (int64_t v = 0; v < vectors;) {
    const Run run = widest_tiles(rows, vectors - v);
    const int64_t j = v * L;
    t.b = p.b + v * p.b_vec;
    t.prior = p.first ? nullptr : p.partial + i * p.partial_row + j;
    TileRow<T> row{t, min64(run.tiles, max64(0, whole - v) / run.vectors), &next, ahead};
    if (row.tiles == 0) {
      edge_tile(p, row, i, j, rows, run.vectors, after);
      v += run.vectors;
      continue;
    }
    v += row.tiles * run.vectors;
    if (!p.last) {
      row.tile.out = p.partial + i * p.partial_row + j;
      row.tile.out_row = p.partial_row;
    } else {
      row.tile.out = staged ? block + j : p.out + i * p.out_row + j;
      row.tile.out_row = staged ? width : p.out_row;
      row.tile.c = p.c == nullptr ? nullptr : p.c + i * p.c_row + j * p.c_col;
      row.tile.c_row = p.c_row;
      row.tile.c_col = p.c_col;
      direct_columns = v * L;
    }
    tile_fn<T>(rows, run.vectors)(row);
  }
  if (direct_columns > 0)
    apply(after, p.out + i * p.out_row, p.out_row, staged ? block : p.out + i * p.out_row, staged ? width : p.out_row,
          direct_columns, rows);
}

}  // namespace

// Rows are shared out evenly over tiles: few rows over the tallest ones, so that B is read once or twice, more over
// those of the best shape (9 x 3 vectors with 32 registers, which needs fewer loads a multiply-add than 14 x 2; 6 x 2
// with 16).
template <typename T>
void gemm_pass(const GemmPass<T>& p) {
  AheadOfPass<T> ahead(p);
  const ActivationRows activate(p.last ? p.activation : BlockActivation{});
  const int64_t span = p.a_panel > 0 ? kLanes<T> : max64(p.m, 1);
  for (int64_t i0 = 0; i0 < p.m; i0 += span) {
    const int64_t rows = min64(span, p.m - i0), best = ARN_TIER_LEVEL >= 2 ? rows_for(3) : rows_for(2);
    const int64_t tiles = ceil_div(rows, rows <= 2 * rows_for(2) ? rows_for(2) : best);
    const T* a = p.a_panel > 0 ? p.a + i0 / span * p.a_panel : p.a;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
      const int64_t after = t + 1 < tiles ? rows * (t + 2) / tiles - to : 0;
      row_tile(p, i0 + from, to - from, after, a + from * p.a_row, &ahead, activate);
    }
  }
}

}  // namespace ARN_NS
