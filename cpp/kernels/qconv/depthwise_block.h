// The loops of depthwise_dots.h over vectors of N bytes. Four bytes of four taps are brought together for every
// channel, so that a dot product of four makes a step. Policy: static I<N> dot(I<N> sum, B<N> x, B<N> b), x unsigned, b
// signed.
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
  typedef int32_t IU __attribute__((vector_size(N), aligned(4), may_alias));
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

constexpr int64_t kGroupsAtOnce = 16;

// Stores sums whose vector v holds channels 16 l + 4 v ... in its 16 bytes l.
template <int N>
inline void store_sums(int32_t* out, const typename Bytes<N>::I (&sum)[4]) {
  typedef typename Bytes<16>::I Four;
  typedef typename Bytes<16>::IU FourU;
  if constexpr (N == 16) {
    for (int v = 0; v < 4; ++v) *reinterpret_cast<FourU*>(out + 4 * v) = (Four)sum[v];
  } else {
#if defined(__AVX512F__)
    if constexpr (N == 64) {
      const __m512i a = _mm512_maskz_shuffle_i32x4(0xffff, (__m512i)sum[0], (__m512i)sum[1], 0x88);
      const __m512i b = _mm512_maskz_shuffle_i32x4(0xffff, (__m512i)sum[0], (__m512i)sum[1], 0xdd);
      const __m512i c = _mm512_maskz_shuffle_i32x4(0xffff, (__m512i)sum[2], (__m512i)sum[3], 0x88);
      const __m512i d = _mm512_maskz_shuffle_i32x4(0xffff, (__m512i)sum[2], (__m512i)sum[3], 0xdd);
      // a: sum 0 of lanes 0 and 2, sum 1 of lanes 0 and 2; b: of lanes 1 and 3.
      _mm512_storeu_si512(out, _mm512_maskz_shuffle_i32x4(0xffff, a, c, 0x88));
      _mm512_storeu_si512(out + 16, _mm512_maskz_shuffle_i32x4(0xffff, b, d, 0x88));
      _mm512_storeu_si512(out + 32, _mm512_maskz_shuffle_i32x4(0xffff, a, c, 0xdd));
      _mm512_storeu_si512(out + 48, _mm512_maskz_shuffle_i32x4(0xffff, b, d, 0xdd));
      return;
    }
#endif
    for (int v = 0; v < 4; ++v) {
      Four lane[N / 16];
      __builtin_memcpy(lane, &sum[v], N);
      for (int l = 0; l < N / 16; ++l) *reinterpret_cast<FourU*>(out + 16 * l + 4 * v) = lane[l];
    }
  }
}

template <typename P, int N>
void depthwise_channels(const arn_depthwise& d, int64_t c) {
  typedef typename Bytes<N>::B B;
  typedef typename Bytes<N>::BU BU;
  typedef typename Bytes<N>::I I;
  alignas(64) int8_t weights[kGroupsAtOnce * 4 * N];
  const B flip = B{} + d.flip;
  for (int64_t g0 = 0; g0 < d.groups; g0 += kGroupsAtOnce) {
    const int64_t groups = d.groups - g0 < kGroupsAtOnce ? d.groups - g0 : kGroupsAtOnce;
    for (int64_t g = 0; g < groups; ++g)
      for (int v = 0; v < 4; ++v)
        for (int l = 0; l < N / 16; ++l)
          __builtin_memcpy(weights + (g * 4 + v) * N + 16 * l, d.b + (c / 16 + l) * d.panel + (g0 + g) * 64 + 16 * v,
                           16);
    for (int64_t i = 0; i < d.pixels; ++i) {
      const uint8_t* x = d.x + i * d.hop + c;
      const int64_t* tap = d.tap + 4 * g0;
      I sum[4] = {};
      for (int64_t g = 0; g < groups; ++g, tap += 4) {
        const B x0 = *reinterpret_cast<const BU*>(x + tap[0]) ^ flip;
        const B x1 = *reinterpret_cast<const BU*>(x + tap[1]) ^ flip;
        const B x2 = *reinterpret_cast<const BU*>(x + tap[2]) ^ flip;
        const B x3 = *reinterpret_cast<const BU*>(x + tap[3]) ^ flip;
        const B low01 = interleave_bytes<N, 0>(x0, x1), high01 = interleave_bytes<N, 1>(x0, x1);
        const B low23 = interleave_bytes<N, 0>(x2, x3), high23 = interleave_bytes<N, 1>(x2, x3);
        const B* w = reinterpret_cast<const B*>(weights + g * 4 * N);
        sum[0] = P::template dot<N>(sum[0], interleave_words<N, 0>(low01, low23), w[0]);
        sum[1] = P::template dot<N>(sum[1], interleave_words<N, 1>(low01, low23), w[1]);
        sum[2] = P::template dot<N>(sum[2], interleave_words<N, 0>(high01, high23), w[2]);
        sum[3] = P::template dot<N>(sum[3], interleave_words<N, 1>(high01, high23), w[3]);
      }
      int32_t* out = d.out + i * d.out_row + c;
      if (g0 == 0) {
        store_sums<N>(out, sum);
        continue;
      }
      int32_t more[N];
      store_sums<N>(more, sum);
      for (int k = 0; k < N; ++k) out[k] += more[k];
    }
  }
}

template <typename P>
void depthwise(const arn_depthwise* d) {
  int64_t c = 0;
  for (; c + kVectorBytes <= d->channels; c += kVectorBytes) depthwise_channels<P, kVectorBytes>(*d, c);
  if constexpr (kVectorBytes >= 64)
    for (; c + 32 <= d->channels; c += 32) depthwise_channels<P, 32>(*d, c);
  if constexpr (kVectorBytes >= 32)
    for (; c < d->channels; c += 16) depthwise_channels<P, 16>(*d, c);
}

}  // namespace
}  // namespace ARN_NS
