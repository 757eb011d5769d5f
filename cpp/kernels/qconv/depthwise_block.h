// The loops of depthwise_dots.h over vectors of N bytes. Four bytes of four taps are brought together for every
// channel, so that a dot product of four makes a step.
//
//   struct Policy {
//     static constexpr int kWide;                      // vectors that a woven vector is: 2 where bytes are widened,
//     bytes
//                                                      // 0 and 2 of each channel before 1 and 3
//     template <int N> struct Weights { ... };         // what is made of four vectors of weights, signed
//     template <int N> static Weights<N> prepare(B<N>);
//     template <int N> static I<N> dot(I<N> sum, const B<N>* x, const Weights<N>&);  // x: kWide vectors, unsigned
//   };
#pragma once

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "kernels/qconv/depthwise_dots.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

template <int N>
struct Bytes {
  typedef uint8_t B __attribute__((vector_size(N)));
  typedef uint8_t BU __attribute__((vector_size(N), aligned(1), may_alias));
  typedef int32_t I __attribute__((vector_size(N)));
  typedef uint16_t W __attribute__((vector_size(N)));
};

// Within each 16 bytes: elements of their half `High` of a, each followed by that of b.
template <typename V, int PerLane, int High, int... I>
inline V interleave(V a, V b, Seq<I...>) {
  constexpr int kCount = static_cast<int>(sizeof...(I));
  return shuffle<V, (I % 2 * kCount + I / PerLane * PerLane + High * (PerLane / 2) + I % PerLane / 2)...>(a, b);
}
template <int N, int High>
inline typename Bytes<N>::B interleave_bytes(typename Bytes<N>::B a, typename Bytes<N>::B b) {
  return interleave<typename Bytes<N>::B, 16, High>(a, b, typename MakeSeq<N>::Type());
}
template <int N, int High>
inline typename Bytes<N>::B interleave_words(typename Bytes<N>::B a, typename Bytes<N>::B b) {
  typedef typename Bytes<N>::W W;
  return (typename Bytes<N>::B)interleave<W, 8, High>((W)a, (W)b, typename MakeSeq<N / 2>::Type());
}

template <int N, int kWide>
void weave(const arn_depthwise& d) {
  typedef typename Bytes<N>::B B;
  typedef typename Bytes<N>::BU BU;
  const B flip = B{} + d.flip;
  typedef typename Bytes<N>::I I;
  const int64_t column = d.groups * 4 * kWide;
  const auto fill = [&](int64_t first, int64_t columns) {
    B* to = reinterpret_cast<B*>(d.woven) + first * column;
    const B pad = kWide == 1 ? B{} + d.pad : (B)(typename Bytes<N>::W{} + d.pad);
    for (int64_t i = 0; i < columns * column; ++i) to[i] = pad;
  };
  fill(0, d.left);
  fill(d.left + d.columns, d.right);
  B* to = reinterpret_cast<B*>(d.woven) + d.left * column;
  const auto put = [&](int v, B x) __attribute__((always_inline)) {
    if constexpr (kWide == 1) {
      to[v] = x;
    } else {
      to[2 * v] = (B)((I)x & 0x00ff00ff);
      to[2 * v + 1] = (B)((I)x >> 8 & 0x00ff00ff);
    }
  };
  for (int64_t i = 0; i < d.columns; ++i) {
    const uint8_t* x = d.x + i * d.next;
    for (int64_t g = 0; g < d.groups; ++g, to += 4 * kWide) {
      const int64_t* row = d.row + 4 * g;
      const B x0 = *reinterpret_cast<const BU*>(x + row[0]) ^ flip,
              x1 = *reinterpret_cast<const BU*>(x + row[1]) ^ flip;
      const B x2 = *reinterpret_cast<const BU*>(x + row[2]) ^ flip,
              x3 = *reinterpret_cast<const BU*>(x + row[3]) ^ flip;
      const B low01 = interleave_bytes<N, 0>(x0, x1), high01 = interleave_bytes<N, 1>(x0, x1);
      const B low23 = interleave_bytes<N, 0>(x2, x3), high23 = interleave_bytes<N, 1>(x2, x3);
      put(0, interleave_words<N, 0>(low01, low23));
      put(1, interleave_words<N, 1>(low01, low23));
      put(2, interleave_words<N, 0>(high01, high23));
      put(3, interleave_words<N, 1>(high01, high23));
    }
  }
}

// kSteps: dot products of a sum, their weights kept in registers; 0: any number.
template <typename P, int N, int kSteps>
void sum_taps(const arn_depthwise& d) {
  typedef typename Bytes<N>::B B;
  typedef typename Bytes<N>::I I;
  const B* woven = reinterpret_cast<const B*>(d.woven);
  const B* weights = reinterpret_cast<const B*>(d.weights);
  I* out = reinterpret_cast<I*>(d.out);
  constexpr int W = P::kWide;
  const int64_t pixel = d.hop * d.groups * 4 * W, tap = d.tap_hop * d.groups * 4 * W;
  typename P::template Weights<N> kept[kSteps > 0 ? kSteps : 1][4];
  if constexpr (kSteps > 0)
    for (int s = 0; s < kSteps; ++s)
      for (int v = 0; v < 4; ++v) kept[s][v] = P::template prepare<N>(weights[4 * s + v]);
  for (int64_t i = 0; i < d.pixels; ++i, out += 4, woven += pixel) {
    I s0{}, s1{}, s2{}, s3{};
    if constexpr (kSteps > 0) {
#pragma GCC unroll 4
      for (int s = 0; s < kSteps; ++s) {
        const B* x = woven + s * tap;
        s0 = P::template dot<N>(s0, x, kept[s][0]);
        s1 = P::template dot<N>(s1, x + W, kept[s][1]);
        s2 = P::template dot<N>(s2, x + 2 * W, kept[s][2]);
        s3 = P::template dot<N>(s3, x + 3 * W, kept[s][3]);
      }
    } else {
      const B* w = weights;
      for (int64_t t = 0; t < d.taps; ++t) {
        const B* x = woven + t * tap;
        for (int64_t g = 0; g < d.groups; ++g, w += 4, x += 4 * W) {
          s0 = P::template dot<N>(s0, x, P::template prepare<N>(w[0]));
          s1 = P::template dot<N>(s1, x + W, P::template prepare<N>(w[1]));
          s2 = P::template dot<N>(s2, x + 2 * W, P::template prepare<N>(w[2]));
          s3 = P::template dot<N>(s3, x + 3 * W, P::template prepare<N>(w[3]));
        }
      }
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
  }
}

template <typename P, int N>
void depthwise_channels(const arn_depthwise& d) {
  weave<N, P::kWide>(d);
  if (d.groups == 1 && d.taps == 3)
    sum_taps<P, N, 3>(d);
  else
    sum_taps<P, N, 0>(d);
}

template <typename P>
void depthwise(const arn_depthwise* d, int64_t bytes) {
  if constexpr (kVectorBytes >= 64)
    if (bytes == 64) return depthwise_channels<P, 64>(*d);
  if constexpr (kVectorBytes >= 32)
    if (bytes == 32) return depthwise_channels<P, 32>(*d);
  depthwise_channels<P, 16>(*d);
}

}  // namespace
}  // namespace ARN_NS
