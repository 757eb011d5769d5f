// The tile kernels behind gemm_pass, from one generic source: MR rows by NV vectors of accumulators in registers.
#pragma once

#include "kernels/matmul/gemm.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

// Rows of the tallest tile that is NV vectors wide, by the number of vector registers of the tier.
constexpr int rows_for(int nv) {
#if ARN_TIER_LEVEL >= 2
  return nv <= 2 ? 14 : nv == 3 ? 9 : 4;
#elif ARN_TIER_LEVEL == 1
  return nv <= 2 ? 6 : nv == 3 ? 4 : 3;
#else
  return nv <= 2 ? 4 : nv == 3 ? 3 : 2;
#endif
}

// Keeps the compiler from contracting a product into the addition that follows: whether it would depends on the code
// around, and every tile must round alike.
template <typename V>
inline V rounded(V v) {
#if defined(__aarch64__)
  __asm__("" : "+w"(v));
#elif defined(__AVX512F__)
  __asm__("" : "+v"(v));
#elif ARN_VECTOR_BYTES > 32  // tier v4 emulated: no register holds such a vector
  __asm__("" : "+m"(v));
#elif defined(__x86_64__)
  __asm__("" : "+x"(v));
#endif
  return v;
}

constexpr int64_t kAhead = 16;  // rows of B that are prefetched ahead

// Wider vectors leave no registers for the addresses of four steps.
constexpr int kUnroll = ARN_VECTOR_BYTES > 32 ? 2 : 4;

template <typename T>
struct Tile {
  int64_t depth;
  const T *a, *b;
  int64_t a_row, a_k, b_vec, b_k;
  const T* prior;  // sums of the blocks before, or null
  int64_t prior_row;
  bool finish;
  T alpha, beta;
  const T* c;  // read in whole vectors when c_col is 1, one element a row when it is 0
  int64_t c_row, c_col;
  bool limited;  // to [low, high]; NaN stays
  T low, high;
  T* out;
  int64_t out_row;
  const char* ahead;  // lines that a later tile reads: one is asked for every kUnroll steps
};

// acc += x * b, rounded once where the tier has fused multiply-adds.
template <typename V>
inline void multiply_add(V& acc, V x, V b) {
  acc += x * b;
}
#if ARN_TIER_LEVEL == 1 && defined(__FMA__)
// Spelt out, because in a tile that fills the register file the compiler would accumulate into x's register and move.
inline void multiply_add(vf32& acc, vf32 x, vf32 b) { __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc) : "x"(x), "x"(b)); }
inline void multiply_add(vf64& acc, vf64 x, vf64 b) { __asm__("vfmadd231pd %2, %1, %0" : "+x"(acc) : "x"(x), "x"(b)); }
#endif

// How the operands of a tile lie; the inner loop of each is addressed by constants where the layout fixes a stride.
enum Access {
  kStreams,    // any strides
  kUnitInner,  // a_k = 1, B in panels: rows of A as they are stored
  kUnitRow,    // a_row = 1, B in panels: compact tiles of A
};

// The multiply-adds of the tile. Strides reach the loop through an empty asm, so that addresses are formed from few
// base registers instead of one pointer a row.
template <typename T, int MR, int NV, Access kAccess>
inline void multiply(const Tile<T>& t, typename Simd<T>::V (&acc)[MR][NV]) {
  typedef typename Simd<T>::V V;
  constexpr int64_t L = kLanes<T>, size = sizeof(T);
  constexpr int kGroup = kAccess == kUnitRow ? MR : 5;
  int64_t row = kAccess == kUnitRow ? size : t.a_row * size, row3 = 3 * row, vec = t.b_vec * size, vec3 = 3 * vec;
  const int64_t a_k = kAccess == kUnitInner ? size : t.a_k * size, b_k = kAccess == kStreams ? t.b_k * size : L * size;
  const char* a[3];
  const char* b;
  a[0] = reinterpret_cast<const char*>(t.a);
  a[1] = a[0] + 5 * row;
  a[2] = a[1] + 5 * row;
  b = reinterpret_cast<const char*>(t.b);
  const auto step = [&](int64_t u) __attribute__((always_inline)) {
    const int64_t at[5] = {0, row, 2 * row, row3, 4 * row};
    const int64_t bt[4] = {0, vec, 2 * vec, vec3};
    V bv[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) bv[v] = load(reinterpret_cast<const T*>(b + bt[v] + u * b_k));
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const char* from = kAccess == kUnitRow ? a[0] + i * size : a[i / kGroup] + at[i % kGroup];
      const V x = splat(*reinterpret_cast<const T*>(from + u * a_k));
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) multiply_add(acc[i][v], x, bv[v]);
    }
  };
  const auto advance = [&](int64_t steps) __attribute__((always_inline)) {
#pragma GCC unroll 3
    for (int g = 0; g < (kAccess == kUnitRow ? 1 : (MR + 4) / 5); ++g) a[g] += steps * a_k;
    b += steps * b_k;
  };
  // Rows of B in place lie apart; panels are runs that the processor foresees, and asking for them costs issue slots.
  const auto prefetch = [&]() __attribute__((always_inline)) {
    if (MR < 4) return;
    const int64_t bt[4] = {0, vec, 2 * vec, vec3};
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) __builtin_prefetch(b + bt[v] + kAhead * b_k);
  };
  const char* ahead = t.ahead;
  int64_t k = t.depth;
  if (kAccess != kStreams) {
    for (; k >= kUnroll; k -= kUnroll) {
      __asm__("" : "+r"(row), "+r"(row3), "+r"(vec), "+r"(vec3));
      if (MR >= 4) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += 64;
      }
      if (kAccess == kUnitInner) {
#pragma GCC unroll 4
        for (int u = 0; u < kUnroll; ++u) step(u);
        advance(kUnroll);
      } else {
#pragma GCC unroll 4
        for (int u = 0; u < kUnroll; ++u) {
          step(0);
          advance(1);
        }
      }
    }
  }
  for (; k > 0; --k) {
    __asm__("" : "+r"(row), "+r"(row3), "+r"(vec), "+r"(vec3));
    if (kAccess == kStreams) prefetch();
    step(0);
    advance(1);
  }
}

template <int MR, int NV, typename T>
inline void prefetch_rows(const T* p, int64_t row) {
  if (MR < 4) return;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 8
    for (int64_t at = 0; at < NV * kVectorBytes; at += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(p + i * row) + at);
}

#define ARN_EACH_ROW _Pragma("GCC unroll 16") for (int i = 0; i < MR; ++i)
#define ARN_EACH_VECTOR _Pragma("GCC unroll 8") for (int v = 0; v < NV; ++v)

// What is added at the end is asked for when the tile begins.
template <typename T, int MR, int NV>
inline void begin_tile(const Tile<T>& t, typename Simd<T>::V (&acc)[MR][NV]) {
  typedef typename Simd<T>::V V;
  ARN_EACH_ROW ARN_EACH_VECTOR acc[i][v] = V{};
  if (t.prior != nullptr) prefetch_rows<MR, NV>(t.prior, t.prior_row);
  if (t.finish && t.c != nullptr) prefetch_rows<MR, NV>(t.c, t.c_row);
}

// Adds what comes before and beside the products, and stores.
template <typename T, int MR, int NV>
inline void finish_tile(const Tile<T>& t, typename Simd<T>::V (&acc)[MR][NV]) {
  typedef typename Simd<T>::V V;
  constexpr int64_t L = kLanes<T>;
  if (t.prior != nullptr) {
    ARN_EACH_ROW ARN_EACH_VECTOR acc[i][v] += load(t.prior + i * t.prior_row + v * L);
  }
  if (t.finish) {
    if (t.alpha != T(1)) {
      const V s = splat(t.alpha);
      ARN_EACH_ROW ARN_EACH_VECTOR acc[i][v] = rounded(s * acc[i][v]);
    }
    if (t.c != nullptr) {
      const V s = splat(t.beta);
      const bool scaled = t.beta != T(1);
      if (t.c_col == 0) {
        ARN_EACH_ROW {
          V x = splat(t.c[i * t.c_row]);
          if (scaled) x = rounded(s * x);
          ARN_EACH_VECTOR acc[i][v] += x;
        }
      } else if (scaled) {
        ARN_EACH_ROW ARN_EACH_VECTOR acc[i][v] += rounded(s * load(t.c + i * t.c_row + v * L));
      } else {
        ARN_EACH_ROW ARN_EACH_VECTOR acc[i][v] += load(t.c + i * t.c_row + v * L);
      }
    }
    if (t.limited) {
      const V low = splat(t.low), high = splat(t.high);
      ARN_EACH_ROW ARN_EACH_VECTOR {
        const V x = acc[i][v] < low ? low : acc[i][v];
        acc[i][v] = x > high ? high : x;
      }
    }
  }
  T* out = t.out;  // a store may change what t says, as far as the compiler knows
  const int64_t out_row = t.out_row;
  ARN_EACH_ROW ARN_EACH_VECTOR store(out + i * out_row + v * L, acc[i][v]);
}

#undef ARN_EACH_ROW
#undef ARN_EACH_VECTOR

// Asks for the rows of A that the next row of tiles reads, a share at each tile, so that they arrive while this one
// runs: they are short pieces far apart, which the processor does not foresee.
template <typename T>
struct NextRows {
  const char* at;
  int64_t row, rows, lines, share, asked;

  NextRows(const T* a, int64_t next_rows, int64_t depth, int64_t a_row, int64_t a_k, int64_t tiles)
      : at(reinterpret_cast<const char*>(a)), row(a_row * static_cast<int64_t>(sizeof(T))), rows(next_rows) {
    if (a_k != 1 || a_row == 1) rows = 0;
    lines = rows == 0 ? 0 : ceil_div(depth * static_cast<int64_t>(sizeof(T)), 64);
    share = rows == 0 ? 0 : ceil_div(lines, max64(1, tiles));
    asked = 0;
  }
  inline void ask() {
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
  inline const char* take(const T* otherwise) {
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

// `tiles` tiles of NV vectors side by side, `tile` being the first.
template <typename T>
struct TileRow {
  Tile<T> tile;
  int64_t tiles;
  NextRows<T>* next;
  AheadOfPass<T>* ahead;
};

template <typename T, int MR, int NV>
void tile_row(TileRow<T>& row) {
  constexpr int64_t width = NV * kLanes<T>;
  Tile<T>& t = row.tile;
  for (int64_t left = row.tiles; left > 0; --left) {
    row.next->ask();
    t.ahead = row.ahead->take(t.b);
    typename Simd<T>::V acc[MR][NV];
    begin_tile<T, MR, NV>(t, acc);
    if (t.b_k == kLanes<T> && t.a_k == 1)
      multiply<T, MR, NV, kUnitInner>(t, acc);
    else if (t.b_k == kLanes<T> && t.a_row == 1)
      multiply<T, MR, NV, kUnitRow>(t, acc);
    else
      multiply<T, MR, NV, kStreams>(t, acc);
    finish_tile<T, MR, NV>(t, acc);
    t.b += NV * t.b_vec;
    t.out += width;
    if (t.prior != nullptr) t.prior += width;
    if (t.c != nullptr && t.c_col != 0) t.c += width;
  }
}

template <typename T>
using TileRowFn = void (*)(TileRow<T>&);

// Kernels of one width, by row count: fn[r - 1].
template <typename T, int NV, typename Rows = typename MakeSeq<rows_for(NV)>::Type>
struct TileTable;
template <typename T, int NV, int... I>
struct TileTable<T, NV, Seq<I...>> {
  static constexpr TileRowFn<T> fn[] = {tile_row<T, I + 1, NV>...};
};

}  // namespace
}  // namespace ARN_NS
