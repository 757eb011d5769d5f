// Tiles of products in vector registers, for kernels whose step is one instruction or a few: a policy gives the vectors
// and the step.
//
//   struct Policy {
//     typedef ... V;                                   // sums: kVectorBytes of int32
//     static constexpr int kRegisters;                 // vectors that a tile may use
//     struct B { ... };                                // what is made of a vector of B
//     struct A { ... };                                // what is made of a group of A, the same in every lane
//     static constexpr int64_t kGroupBytes;            // of A
//     static B load_b(const int8_t*); static A load_a(const uint8_t*);
//     static V step(V, const A&, const B&);
//     static constexpr int rows_for(int vectors);      // most rows of a tile of so many vectors
//     static constexpr int kFewSums;                   // of which two sets leave registers for operands
//   };
#pragma once

#include "kernels/qmatmul/dots.h"
#include "simd/vector.h"

namespace ARN_NS {
namespace {

constexpr int kParts = ARN_DOT_PANEL_STEP / kVectorBytes;  // vectors of a panel

// Rows [0, MR) by vectors [v0, v0 + NV), counted over all panels. Few rows take two groups at a time, so that enough
// chains of sums are in flight.
template <typename P, int MR, int NV>
void dot_tile(const arn_dots& d, int64_t row, int64_t v0) {
  typedef typename P::V V;
  typedef V Unaligned __attribute__((aligned(4), may_alias));
  constexpr int U = MR * NV <= P::kFewSums ? 2 : 1;
  V acc[U][MR][NV] = {};
  const int8_t* b = d.b + v0 / kParts * d.panel + v0 % kParts * kVectorBytes;
  const int64_t panel = d.panel, a_row = d.a_row;
  const auto step = [&](const uint8_t* a, const int8_t* from, V(&sum)[MR][NV]) __attribute__((always_inline)) {
    typename P::B bv[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) bv[v] = P::load_b(from + v / kParts * panel + v % kParts * kVectorBytes);
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
      const typename P::A av = P::load_a(a + r * a_row);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) sum[r][v] = P::step(sum[r][v], av, bv[v]);
    }
  };
  for (int64_t t = 0; t < d.taps; ++t) {
    const uint8_t* a = d.a + row * a_row + (d.tap != nullptr ? d.tap[t] : 0);
    int64_t g = 0;
    for (; g + U <= d.groups; g += U) {
#pragma GCC unroll 2
      for (int u = 0; u < U; ++u) step(a + u * P::kGroupBytes, b + u * ARN_DOT_PANEL_STEP, acc[u]);
      a += U * P::kGroupBytes;
      b += U * ARN_DOT_PANEL_STEP;
    }
    if (U > 1 && g < d.groups) {
      step(a, b, acc[0]);
      b += ARN_DOT_PANEL_STEP;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < MR; ++r) {
    int32_t* out = d.out + (row + r) * d.out_row + v0 * (kVectorBytes / 4);
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      V sum = acc[0][r][v];
      if (U > 1) sum += acc[U - 1][r][v];
      *reinterpret_cast<Unaligned*>(out + v * (kVectorBytes / 4)) = sum;
    }
  }
}

typedef void (*DotTile)(const arn_dots&, int64_t, int64_t);

template <int... I>
struct Rows {};
template <int N, int... I>
struct MakeRows : MakeRows<N - 1, N - 1, I...> {};
template <int... I>
struct MakeRows<0, I...> {
  typedef Rows<I...> Type;
};
template <typename P, int NV, typename R = typename MakeRows<P::rows_for(NV)>::Type>
struct DotTiles;
template <typename P, int NV, int... I>
struct DotTiles<P, NV, Rows<I...>> {
  static constexpr DotTile fn[] = {dot_tile<P, I + 1, NV>...};
};

template <typename P>
DotTile tile_of(int64_t rows, int64_t vectors) {
  switch (vectors) {
    case 1:
      return DotTiles<P, 1>::fn[rows - 1];
    case 2:
      return DotTiles<P, 2>::fn[rows - 1];
    case 3:
      return DotTiles<P, 3>::fn[rows - 1];
    default:
      return DotTiles<P, 4>::fn[rows - 1];
  }
}

// Tiles as wide as the rows allow, at most four vectors.
template <typename P>
void run_tiles(const arn_dots* d) {
  const int64_t vectors = d->panels * kParts;
  for (int64_t v = 0; v < vectors;) {
    int64_t wide = vectors - v < 4 ? vectors - v : 4;
    while (wide > 1 && P::rows_for(static_cast<int>(wide)) < d->rows) --wide;
    // Four vectors are two and two rather than three and one; and a tile begins and ends with parts of a panel that it
    // has whole, or is a part of one.
    if (wide == 3 && (kParts > 1 || vectors - v == 4)) wide = 2;
    tile_of<P>(d->rows, wide)(*d, 0, v);
    v += wide;
  }
}

}  // namespace
}  // namespace ARN_NS
