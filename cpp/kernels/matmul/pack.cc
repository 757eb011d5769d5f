// Packing of B into panels of kLanes columns, from any strides. Only moves bits.
#include "kernels/matmul/gemm.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

// One step of a transposition: rows a and b, S apart, exchange the lanes whose index has bit S set (a) or clear (b).
template <typename V, int S, int... I>
inline void exchange(V& a, V& b, Seq<I...>) {
  constexpr int L = sizeof...(I);
  const V low = shuffle<V, ((I & S) == 0 ? I : L + I - S)...>(a, b);
  b = shuffle<V, ((I & S) == 0 ? I + S : L + I)...>(a, b);
  a = low;
}

template <typename T, int S>
struct Transpose {
  typedef typename Simd<T>::V V;
  static inline void run(V* r) {
    constexpr int L = static_cast<int>(kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i)
      if ((i & S) == 0) exchange<V, S>(r[i], r[i + S], typename MakeSeq<L>::Type());
    Transpose<T, S / 2>::run(r);
  }
};
template <typename T>
struct Transpose<T, 0> {
  static inline void run(typename Simd<T>::V*) {}
};

// Panel of n <= kLanes columns, n = kLanes if kWhole, with unit inner stride in k.
template <bool kWhole, typename T>
void pack_transposed(T* dst, const T* src, int64_t depth, int64_t n, int64_t n_stride) {
  typedef typename Simd<T>::V V;
  constexpr int64_t L = kLanes<T>;
  int64_t k = 0;
  for (; k + L <= depth; k += L) {
    V r[L];
#pragma GCC unroll 16
    for (int64_t j = 0; j < L; ++j) r[j] = kWhole || j < n ? load(src + j * n_stride + k) : V{};
    Transpose<T, L / 2>::run(r);
#pragma GCC unroll 16
    for (int64_t i = 0; i < L; ++i) store(dst + (k + i) * L, r[i]);
  }
  for (; k < depth; ++k)
    for (int64_t j = 0; j < L; ++j) dst[k * L + j] = j < n ? src[j * n_stride + k] : T(0);
}

}  // namespace

template <typename T>
void pack_panels(T* dst, int64_t panel, const T* src, int64_t depth, int64_t n, int64_t k_stride, int64_t n_stride) {
  constexpr int64_t L = kLanes<T>;
  const int64_t whole = n / L, tail = n % L;
  if (n_stride == 1) {
    for (int64_t k = 0; k < depth; ++k) {
      const T* from = src + k * k_stride;
      T* to = dst + k * L;
      for (int64_t p = 0; p < whole; ++p) store(to + p * panel, load(from + p * L));
      if (tail > 0)
        for (int64_t j = 0; j < L; ++j) to[whole * panel + j] = j < tail ? from[whole * L + j] : T(0);
    }
    return;
  }
  for (int64_t p = 0; p * L < n; ++p) {
    const int64_t cols = min64(L, n - p * L);
    T* to = dst + p * panel;
    const T* from = src + p * L * n_stride;
    if (k_stride == 1) {
      if (cols == L)
        pack_transposed<true>(to, from, depth, cols, n_stride);
      else
        pack_transposed<false>(to, from, depth, cols, n_stride);
      continue;
    }
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t j = 0; j < L; ++j) to[k * L + j] = j < cols ? from[k * k_stride + j * n_stride] : T(0);
  }
}

template void pack_panels<uint32_t>(uint32_t*, int64_t, const uint32_t*, int64_t, int64_t, int64_t, int64_t);
template void pack_panels<uint64_t>(uint64_t*, int64_t, const uint64_t*, int64_t, int64_t, int64_t, int64_t);

}  // namespace ARN_NS
