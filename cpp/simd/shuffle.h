// Lane shuffles with constant indices.
#pragma once

#include "simd/vector.h"

namespace ARN_NS {

template <int... I>
struct Seq {};
template <int N, int... I>
struct MakeSeq : MakeSeq<N - 1, N - 1, I...> {};
template <int... I>
struct MakeSeq<0, I...> {
  typedef Seq<I...> Type;
};

template <int ElementBytes, int VectorBytes>
struct LaneIndex;
template <int VectorBytes>
struct LaneIndex<1, VectorBytes> {
  typedef int8_t Type __attribute__((vector_size(VectorBytes)));
};
template <int VectorBytes>
struct LaneIndex<2, VectorBytes> {
  typedef int16_t Type __attribute__((vector_size(VectorBytes)));
};
template <int VectorBytes>
struct LaneIndex<4, VectorBytes> {
  typedef int32_t Type __attribute__((vector_size(VectorBytes)));
};
template <int VectorBytes>
struct LaneIndex<8, VectorBytes> {
  typedef int64_t Type __attribute__((vector_size(VectorBytes)));
};

// Lane l of the result is lane Index[l] of the lanes of a followed by those of b.
template <typename V, int... Index>
static inline V shuffle(V a, V b) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(a, b, Index...);
#else
  const typename LaneIndex<sizeof(V) / sizeof...(Index), sizeof(V)>::Type index = {Index...};
  return __builtin_shuffle(a, b, index);
#endif
}

template <typename V, int... I>
static inline V even_lanes(V a, V b, Seq<I...>) {
  return shuffle<V, 2 * I...>(a, b);
}

// Every second one of the lanes of a followed by those of b.
template <typename V>
static inline V even_lanes(V a, V b) {
  return even_lanes(a, b, typename MakeSeq<static_cast<int>(sizeof(V) / sizeof(a[0]))>::Type());
}

template <int Offset, typename V, int... I>
static inline V rotate_lanes(V v, Seq<I...>) {
  return shuffle<V, (I + Offset) % static_cast<int>(sizeof...(I))...>(v, v);
}

// Lane l of the result is lane l + Offset, counted modulo the lanes.
template <int Offset, typename V>
static inline V rotate_lanes(V v) {
  return rotate_lanes<Offset>(v, typename MakeSeq<static_cast<int>(sizeof(V) / sizeof(v[0]))>::Type());
}

template <int First, typename V, int... I>
static inline V interleave_lanes(V a, V b, Seq<I...>) {
  return shuffle<V, (I % 2 * static_cast<int>(sizeof...(I)) + First + I / 2)...>(a, b);
}

// Lanes First, First + 1, ... of a, each followed by the same lane of b.
template <int First, typename V>
static inline V interleave_lanes(V a, V b) {
  return interleave_lanes<First>(a, b, typename MakeSeq<static_cast<int>(sizeof(V) / sizeof(a[0]))>::Type());
}

}  // namespace ARN_NS
