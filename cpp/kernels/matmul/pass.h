// gemm_pass for one element type; included by the sources that instantiate it.
#pragma once

#include "kernels/matmul/micro.h"

namespace ARN_NS {
namespace {

// The widest tile that `rows` rows and `left` remaining vectors allow: short tiles are wide, so that enough independent
// chains are in flight. One row is bound by the reading of B, which more than four streams at a time slow down.
inline int64_t tile_vectors(int64_t rows, int64_t left) {
  if (left >= 4 && rows <= rows_for(4)) return 4;
  if (rows <= rows_for(3)) return ceil_div(left, ceil_div(left, 3));  // even shares of at most 3
  return left >= 2 ? 2 : 1;
}

template <typename T>
TileFn<T> tile_fn(int64_t rows, int64_t vectors) {
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

inline void apply(const ActivationRows& after, float* row, int64_t n) {
  if (after.any()) after.run(row, n);
}
template <typename T>
inline void apply(const ActivationRows&, T*, int64_t) {}

// A last-pass tile whose columns are partial, or whose output or c has no unit column stride: computed into scratch,
// with c gathered before and the result scattered after.
template <typename T>
void edge_tile(const GemmPass<T>& p, Tile<T> t, int64_t i, int64_t j, int64_t rows, int64_t vectors,
               const ActivationRows& after) {
  constexpr int64_t L = kLanes<T>;
  const int64_t width = vectors * L, cols = min64(width, p.n - j);
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
  tile_fn<T>(rows, vectors)(t);
  for (int64_t r = 0; r < rows; ++r) apply(after, result + r * width, cols);
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

// Asks for the rows of A that the next tile reads, a share at each tile of columns, so that they arrive while this one
// runs: they are short pieces far apart, which the processor does not foresee.
template <typename T>
struct NextRows {
  const char* at;
  int64_t row, rows, lines, share, asked;

  NextRows(const T* a, int64_t next_rows, int64_t depth, int64_t a_row, int64_t a_k, int64_t tiles)
      : at(reinterpret_cast<const char*>(a)), row(a_row * static_cast<int64_t>(sizeof(T))), rows(next_rows) {
    constexpr int64_t size = sizeof(T);
    if (a_k != 1 || a_row == 1) rows = 0;
    lines = ceil_div(depth * size, 64);
    share = ceil_div(lines, max64(1, tiles));
    asked = 0;
  }
  void ask() {
    if (rows == 0) return;
    for (const int64_t end = min64(lines, asked + share); asked < end; ++asked)
      for (int64_t r = 0; r < rows; ++r) __builtin_prefetch(at + r * row + asked * 64, 0, 2);
  }
};

// Hands the lines of the next pass's panels out to the tiles of this one, kUnroll steps' worth of them to each.
template <typename T>
struct AheadOfPass {
  const char* at;
  int64_t vecs, vec_bytes, panel_bytes, tile_bytes, vec = 0, byte = 0;

  explicit AheadOfPass(const GemmPass<T>& p)
      : at(reinterpret_cast<const char*>(p.ahead)),
        vecs(p.ahead == nullptr ? 0 : p.ahead_vecs),
        vec_bytes(p.b_vec * static_cast<int64_t>(sizeof(T))),
        panel_bytes(p.ahead_depth * kVectorBytes),
        tile_bytes(p.depth / kUnroll * 64) {}
  const char* take(const T* otherwise) {
    if (vec >= vecs) return reinterpret_cast<const char*>(otherwise);
    const char* from = at + vec * vec_bytes + byte;
    byte += tile_bytes;
    if (byte >= panel_bytes) {
      byte = 0;
      ++vec;
    }
    return from;
  }
};

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
  const int64_t vectors = ceil_div(p.n, L);
  int64_t direct_columns = 0;
  NextRows<T> next(a + rows * p.a_row, next_rows, p.depth, p.a_row, p.a_k, vectors / 2);
  for (int64_t v = 0; v < vectors;) {
    next.ask();
    const int64_t nv = tile_vectors(rows, vectors - v), j = v * L;
    t.b = p.b + v * p.b_vec;
    t.ahead = ahead->take(t.b);
    t.prior = p.first ? nullptr : p.partial + i * p.partial_row + j;
    if (!p.last) {
      t.out = p.partial + i * p.partial_row + j;
      t.out_row = p.partial_row;
      tile_fn<T>(rows, nv)(t);
    } else if (direct && j + nv * L <= p.n) {
      t.out = p.out + i * p.out_row + j;
      t.out_row = p.out_row;
      t.c = p.c == nullptr ? nullptr : p.c + i * p.c_row + j * p.c_col;
      t.c_row = p.c_row;
      t.c_col = p.c_col;
      tile_fn<T>(rows, nv)(t);
      direct_columns = j + nv * L;
    } else {
      edge_tile(p, t, i, j, rows, nv, after);
    }
    v += nv;
  }
  if (direct_columns > 0)
    for (int64_t r = 0; r < rows; ++r) apply(after, p.out + (i + r) * p.out_row, direct_columns);
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
