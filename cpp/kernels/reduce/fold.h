// Folds of one type: the vector step, the wide accumulator that partial folds are merged into, and the two ways of
// walking strided operands. Partial folds cover at most kChunk elements a vector lane set (rows) or kDeep elements a
// lane (columns), so that rounding grows with the number of partial folds in the wide type only.
#pragma once

#include "kernels/walk.h"
#include "simd/shuffle.h"

namespace ARN_NS {

template <int kBytes>
struct IndexOf;
template <>
struct IndexOf<1> {
  typedef int8_t type;
};
template <>
struct IndexOf<4> {
  typedef int32_t type;
};
template <>
struct IndexOf<8> {
  typedef int64_t type;
};

template <typename T>
struct Kind {
  typedef T Wide;  // what partial folds are merged in
  typedef typename IndexOf<sizeof(T)>::type Index;
};
template <>
struct Kind<float> {
  typedef double Wide;
  typedef int32_t Index;
};

// Integer sums wrap, so they run on the unsigned type.
template <typename T>
struct Wrap {
  typedef T type;
};
template <>
struct Wrap<int32_t> {
  typedef uint32_t type;
};
template <>
struct Wrap<int64_t> {
  typedef uint64_t type;
};
template <>
struct Wrap<int8_t> {
  typedef uint8_t type;
};

template <typename T>
struct Lanes {
  typedef T V __attribute__((vector_size(ARN_VECTOR_BYTES)));
  typedef typename Wrap<T>::type U __attribute__((vector_size(ARN_VECTOR_BYTES)));
  typedef typename Kind<T>::Index Index;
  typedef Index I __attribute__((vector_size(ARN_VECTOR_BYTES)));
  static constexpr int kCount = ARN_VECTOR_BYTES / static_cast<int>(sizeof(T));
  static inline V load(const T* p) {
    V v;
    __builtin_memcpy(&v, p, sizeof(V));
    return v;
  }
  static inline void store(T* p, V v) { __builtin_memcpy(p, &v, sizeof(V)); }
  static inline V splat(T x) { return x - V{}; }
  // Lane i is i. Written out: a loop would build it lane by lane at run time.
  static inline I numbers() {
    constexpr auto at = [](int i) constexpr { return static_cast<Index>(i); };
    if constexpr (kCount == 2) {
      return I{at(0), at(1)};
    } else if constexpr (kCount == 4) {
      return I{at(0), at(1), at(2), at(3)};
    } else if constexpr (kCount == 8) {
      return I{at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)};
    } else if constexpr (kCount == 16) {
      return I{at(0), at(1), at(2),  at(3),  at(4),  at(5),  at(6),  at(7),
               at(8), at(9), at(10), at(11), at(12), at(13), at(14), at(15)};
    } else {
      I lanes;
      for (int i = 0; i < kCount; ++i) lanes[i] = at(i);
      return lanes;
    }
  }
  // Selects the last `rest` lanes.
  static inline I last_lanes(int64_t rest) { return numbers() >= static_cast<Index>(kCount - rest) - I{}; }
  // The last `rest` < kCount of the n elements at p, the other lanes from `pad`. They are the last lanes if n is at
  // least a vector, else the first; nothing outside the n elements is read.
  static inline V load_tail(const T* p, int64_t n, int64_t rest, V pad) {
    if (n >= kCount) return last_lanes(rest) ? load(p + n - kCount) : pad;
    T part[kCount];
    store(part, pad);
    for (int64_t i = 0; i < rest; ++i) part[i] = p[n - rest + i];
    return load(part);
  }
  // Stores what load_tail loaded.
  static inline void store_tail(T* p, int64_t n, int64_t rest, V v) {
    if (n >= kCount) return store(p + n - kCount, last_lanes(rest) ? v : load(p + n - kCount));
    T part[kCount];
    store(part, v);
    for (int64_t i = 0; i < rest; ++i) p[n - rest + i] = part[i];
  }
};

template <typename T>
struct Limits;
#define ARN_LIMITS(T, LOW, HIGH)               \
  template <>                                  \
  struct Limits<T> {                           \
    static constexpr T low = LOW, high = HIGH; \
  };
ARN_LIMITS(float, -__builtin_inff(), __builtin_inff())
ARN_LIMITS(double, -__builtin_inf(), __builtin_inf())
ARN_LIMITS(int8_t, INT8_MIN, INT8_MAX)
ARN_LIMITS(uint8_t, 0, UINT8_MAX)
ARN_LIMITS(int32_t, INT32_MIN, INT32_MAX)
ARN_LIMITS(uint32_t, 0, UINT32_MAX)
ARN_LIMITS(int64_t, INT64_MIN, INT64_MAX)
ARN_LIMITS(uint64_t, 0, UINT64_MAX)
#undef ARN_LIMITS

// A fold over T: start (its identity), pad (an element that changes nothing), step (one more vector), join (vectors),
// merge (partial folds).
// A NaN stays: max and min keep the first they meet.
template <typename T>
struct SumFold {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::U U;
  typedef typename Kind<T>::Wide Wide;
  static constexpr T start = 0;
  static inline V pad() { return Lanes<T>::splat(start); }
  static inline V step(V acc, V x) { return (V)((U)acc + (U)x); }
  static inline V join(V a, V b) { return (V)((U)a + (U)b); }
  static inline Wide merge(Wide a, Wide b) {
    typedef typename Wrap<Wide>::type Free;
    return static_cast<Wide>(static_cast<Free>(a) + static_cast<Free>(b));
  }
};

template <typename T>
struct AbsFold : SumFold<T> {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::U U;
  static inline V step(V acc, V x) {
    const V zero = {};
    return (V)((U)acc + (x < zero ? (U)zero - (U)x : (U)x));
  }
};

template <typename T>
struct SquareFold : SumFold<T> {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::U U;
  static inline V step(V acc, V x) { return (V)((U)acc + (U)x * (U)x); }
};

template <typename T>
struct ProdFold {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::U U;
  typedef typename Kind<T>::Wide Wide;
  static constexpr T start = 1;
  static inline V pad() { return Lanes<T>::splat(start); }
  static inline V step(V acc, V x) { return (V)((U)acc * (U)x); }
  static inline V join(V a, V b) { return (V)((U)a * (U)b); }
  static inline Wide merge(Wide a, Wide b) {
    typedef typename Wrap<Wide>::type Free;
    return static_cast<Wide>(static_cast<Free>(a) * static_cast<Free>(b));
  }
};

template <typename T>
struct MaxFold {
  typedef typename Lanes<T>::V V;
  typedef T Wide;
  static constexpr T start = Limits<T>::low;
  static inline V pad() { return Lanes<T>::splat(start); }
  static inline V step(V acc, V x) { return join(acc, x); }
  static inline V join(V a, V b) { return (b > a) | (b != b) ? b : a; }
  static inline T merge(T a, T b) { return (b > a) | (b != b) ? b : a; }
};

// One instruction a step; what NaN does is not defined.
template <typename T>
struct LooseMaxFold : MaxFold<T> {
  typedef typename Lanes<T>::V V;
  static inline V step(V acc, V x) { return join(acc, x); }
  static inline V join(V a, V b) { return b > a ? b : a; }
};

template <typename T>
struct MinFold {
  typedef typename Lanes<T>::V V;
  typedef T Wide;
  static constexpr T start = Limits<T>::high;
  static inline V pad() { return Lanes<T>::splat(start); }
  static inline V step(V acc, V x) { return join(acc, x); }
  static inline V join(V a, V b) { return (b < a) | (b != b) ? b : a; }
  static inline T merge(T a, T b) { return (b < a) | (b != b) ? b : a; }
};

constexpr int64_t kChunk = 1024;
constexpr int64_t kDeep = 64;

// All lanes of v joined, in halving steps.
template <typename F, typename T, int kHalf = Lanes<T>::kCount / 2>
static inline typename F::Wide merge_lanes(typename Lanes<T>::V v) {
  v = F::join(v, rotate_lanes<kHalf>(v));
  if constexpr (kHalf > 1)
    return merge_lanes<F, T, kHalf / 2>(v);
  else
    return static_cast<typename F::Wide>(v[0]);
}

// `p` if it is contiguous, else its n elements gathered in `buffer`.
template <typename T>
static inline const T* gathered(const T* p, int64_t stride, int64_t n, T* buffer) {
  if (stride == 1) return p;
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i * stride];
  return buffer;
}

// Four accumulators over contiguous elements; whole vectors, the tail padded.
template <typename F, typename T>
struct RunFold {
  typedef Lanes<T> L;
  typedef typename L::V V;
  V acc[4];
  F op;
  inline void reset() {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) acc[i] = L::splat(F::start);
  }
  inline void add(const T* p, int64_t n) {
    constexpr int C = L::kCount;
    int64_t i = 0;
    for (; i + 4 * C <= n; i += 4 * C)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) acc[k] = op.step(acc[k], L::load(p + i + k * C));
    for (; i + C <= n; i += C) acc[0] = op.step(acc[0], L::load(p + i));
    if (i == n) return;
    acc[1] = op.step(acc[1], L::load_tail(p, n, n - i, op.pad()));
  }
  inline typename F::Wide total() const {
    return merge_lanes<F, T>(F::join(F::join(acc[0], acc[1]), F::join(acc[2], acc[3])));
  }
};

// One run of n <= kChunk contiguous elements.
template <typename F, typename T>
static inline typename F::Wide fold_run(const F& op, const T* p, int64_t n) {
  RunFold<F, T> fold;
  fold.op = op;
  fold.reset();
  fold.add(p, n);
  return F::merge(static_cast<typename F::Wide>(F::start), fold.total());
}

// Folds `inner` elements at stride `step` for every position of walk `w`'s operand `role`; `base` addresses the first.
template <typename F, typename T, int N>
static typename F::Wide fold_walked(const F& op, const Walk<N>& w, int role, int64_t inner, int64_t step,
                                    const T* base) {
  RunFold<F, T> fold;
  fold.op = op;
  fold.reset();
  typename F::Wide total = static_cast<typename F::Wide>(F::start);
  Cursor<N> c;
  walk_seek(w, 0, &c);
  const int64_t folds = walk_count(w);
  int64_t pending = 0;
  T buffer[kChunk];
  for (int64_t r = 0; r < folds; ++r) {
    const T* p = base + c.offset[role];
    for (int64_t at = 0; at < inner; at += kChunk) {
      const int64_t n = min64(kChunk, inner - at);
      fold.add(gathered(p + at * step, step, n, buffer), n);
      pending += n;
      if (pending >= kChunk) {
        total = F::merge(total, fold.total());
        fold.reset();
        pending = 0;
      }
    }
    walk_next(w, &c);
  }
  return F::merge(total, fold.total());
}

// The same; most often there is one position, whose elements are contiguous.
template <typename F, typename T, int N>
static inline typename F::Wide fold_rows(const F& op, const Walk<N>& w, int role, int64_t inner, int64_t step,
                                         const T* base) {
  if (w.rank == 0 && step == 1 && inner <= kChunk) return fold_run(op, base, inner);
  return fold_walked(op, w, role, inner, step, base);
}

// kVectors vectors of neighbouring columns, folded over every position of walk `w`'s operand `role`. kDirect: the
// columns are contiguous and all there; otherwise `n` of them are gathered at stride `step`, the rest being padding.
// op[k] folds vector k.
template <typename F, typename T, int kVectors, bool kDirect, int N>
static void fold_columns(const F* op, const Walk<N>& w, int role, int64_t step, const T* base, int64_t n,
                         typename F::Wide* out) {
  typedef Lanes<T> L;
  typedef typename L::V V;
  constexpr int C = L::kCount, kAll = C * kVectors;
  V acc[kVectors];
  T buffer[kAll];
  for (int k = 0; k < kAll; ++k) {
    buffer[k] = F::start;
    out[k] = static_cast<typename F::Wide>(F::start);
  }
  Cursor<N> c;
  walk_seek(w, 0, &c);
  const int64_t folds = walk_count(w), stride = w.rank == 1 ? w.step[role][0] : 0;
  const T* from = base;
  for (int64_t r = 0; r < folds;) {
#pragma GCC unroll 4
    for (int k = 0; k < kVectors; ++k) acc[k] = L::splat(F::start);
    const int64_t until = min64(folds, r + kDeep);
    for (; r < until; ++r) {
      const T* p = from;
      if (!kDirect) {
        for (int64_t i = 0; i < n; ++i) buffer[i] = p[i * step];
        p = buffer;
      }
#pragma GCC unroll 4
      for (int k = 0; k < kVectors; ++k) acc[k] = op[k].step(acc[k], L::load(p + k * C));
      if (w.rank == 1) {
        from += stride;
      } else {
        walk_next(w, &c);
        from = base + c.offset[role];
      }
    }
#pragma GCC unroll 4
    for (int k = 0; k < kVectors; ++k)
      for (int i = 0; i < C; ++i) out[k * C + i] = F::merge(out[k * C + i], static_cast<typename F::Wide>(acc[k][i]));
  }
}

}  // namespace ARN_NS
