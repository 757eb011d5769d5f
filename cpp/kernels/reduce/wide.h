// Folds in vectors of f64, for kinds whose results leave the element type: means, norms and logarithms of integers, and
// the logarithm of a sum of exponentials.
#pragma once

#include <type_traits>

#include "kernels/reduce/fold.h"
#include "kernels/reduce/params.h"
#include "kernels/reduce/space.h"
#include "simd/math_double.h"

namespace ARN_NS {

template <typename T>
struct WideLoad {
  typedef T Part __attribute__((vector_size(sizeof(T) * kLanesF64)));
  static inline vf64 load(const T* p) {
    Part part;
    __builtin_memcpy(&part, p, sizeof(part));
    return convert(part);
  }
  static inline vf64 convert(Part x) { return __builtin_convertvector(x, vf64); }
};

// 64 bits as two halves with an exponent each, whose sum rounds once.
template <uint64_t flip, uint64_t bias, typename U>
static inline vf64 double_of_halves(U x) {
  const U low = (x & 0xffffffffu) | 0x4330000000000000u, high = (x >> 32) ^ flip;
  return ((vf64)high - (vf64)(U{} + bias)) + (vf64)low;
}
typedef uint64_t vu64 __attribute__((vector_size(ARN_VECTOR_BYTES)));
template <>
inline vf64 WideLoad<int64_t>::convert(Part x) {
  return double_of_halves<0x4530000080000000u, 0x4530000080100000u>((vu64)x);
}
template <>
inline vf64 WideLoad<uint64_t>::convert(Part x) {
  return double_of_halves<0x4530000000000000u, 0x4530000000100000u>((vu64)x);
}

struct WideSum {
  static inline vf64 start() { return vf64{}; }
  static inline vf64 join(vf64 a, vf64 b) { return a + b; }
  inline vf64 of(vf64 x) const { return x; }
};
struct WideSquares : WideSum {
  inline vf64 of(vf64 x) const { return x * x; }
};
struct WideMost {
  static inline vf64 start() { return splat_f64(-__builtin_inf()); }
  static inline vf64 join(vf64 a, vf64 b) { return (b > a) | (b != b) ? b : a; }  // a NaN stays
  inline vf64 of(vf64 x) const { return x; }
};
// Sums of exp(x - most). kShort: to what f32 results need.
template <bool kShort>
struct WideExp : WideSum {
  vf64 most;
  inline vf64 of(vf64 x) const { return kShort ? wide_exp(x - most) : exp_double(x - most); }
};

// One output: `n` elements (fewer than a vector) at the end of a run become lanes, the others the fold's start.
template <typename T, typename G>
static inline vf64 wide_tail(const G& g, const T* p, int64_t n) {
  T part[kLanesF64];
  for (int64_t l = 0; l < kLanesF64; ++l) part[l] = l < n ? p[l] : T(0);
  vf64 v = g.of(WideLoad<T>::load(part));
  for (int64_t l = n; l < kLanesF64; ++l) v[l] = G::start()[0];
  return v;
}

template <typename T, typename G>
static double wide_rows(const ReduceSpace& s, const G& g, const T* base) {
  vf64 acc[4] = {G::start(), G::start(), G::start(), G::start()};
  Cursor<1> c;
  walk_seek(s.reduced, 0, &c);
  T buffer[kChunk];
  for (int64_t r = 0; r < s.folds; ++r) {
    for (int64_t at = 0; at < s.inner; at += kChunk) {
      const int64_t n = min64(kChunk, s.inner - at);
      const T* p = gathered(base + c.offset[0] + at * s.inner_in, s.inner_in, n, buffer);
      int64_t i = 0;
      for (; i + 4 * kLanesF64 <= n; i += 4 * kLanesF64)
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) acc[k] = G::join(acc[k], g.of(WideLoad<T>::load(p + i + k * kLanesF64)));
      for (; i + kLanesF64 <= n; i += kLanesF64) acc[0] = G::join(acc[0], g.of(WideLoad<T>::load(p + i)));
      if (i < n) acc[1] = G::join(acc[1], wide_tail(g, p + i, n - i));
    }
    walk_next(s.reduced, &c);
  }
  const vf64 lanes = G::join(G::join(acc[0], acc[1]), G::join(acc[2], acc[3]));
  vf64 all = lanes;
  for (int l = 1; l < kLanesF64; ++l) all = G::join(all, splat_f64(lanes[l]));
  return all[0];
}

// kVectors vectors of neighbouring columns; `n` of them are there, at stride `step`, and the rest repeat the last.
template <int kVectors, typename T, typename G>
static inline void wide_columns(const ReduceSpace& s, const G* g, const T* base, int64_t n, vf64* acc) {
  constexpr int64_t kAll = kVectors * kLanesF64;
  const bool direct = s.inner_in == 1 && n == kAll;
  for (int k = 0; k < kVectors; ++k) acc[k] = G::start();
  Cursor<1> c;
  walk_seek(s.reduced, 0, &c);
  T buffer[kAll];
  for (int64_t r = 0; r < s.folds; ++r) {
    const T* p = base + c.offset[0];
    if (!direct) {
      for (int64_t i = 0; i < kAll; ++i) buffer[i] = p[min64(i, n - 1) * s.inner_in];
      p = buffer;
    }
#pragma GCC unroll 4
    for (int k = 0; k < kVectors; ++k) acc[k] = G::join(acc[k], g[k].of(WideLoad<T>::load(p + k * kLanesF64)));
    walk_next(s.reduced, &c);
  }
}

static inline double wide_finish(int64_t kind, double total, int64_t count) {
  switch (kind) {
    case ARN_REDUCE_MEAN:
      return total / static_cast<double>(count);
    case ARN_REDUCE_L2:
      return __builtin_sqrt(total);
    default:
      return __builtin_log(total);
  }
}

// exp(-k) for whole k, as products of exp(-2^i), to 1e-15; what would not be normal by much is 0.
constexpr int64_t kWholeExps = 746;
struct WholeExps {
  double of[kWholeExps];
};
constexpr WholeExps whole_exps() {
  constexpr double kPowers[] = {0.36787944117144233,    0.1353352832366127,     0.01831563888873418,
                                0.00033546262790251185, 1.1253517471925912e-07, 1.2664165549094176e-14,
                                1.603810890548638e-28,  2.572209372642415e-56,  6.616261056709485e-112,
                                4.377491037053051e-223};
  WholeExps made{};
  for (int k = 0; k + 1 < kWholeExps; ++k) {
    made.of[k] = 1;
    for (int i = 0; i < 10; ++i)
      if ((k >> i & 1) != 0) made.of[k] *= kPowers[i];
  }
  return made;
}
static constexpr WholeExps kWholeExp = whole_exps();

// log(sum(exp(x))) of integers, which lie whole numbers below the largest.
template <typename T>
static double whole_log_sum_exp(const ReduceSpace& s, const T* base) {
  using U = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  if (s.count == 0) return -__builtin_inf();
  T most = *base, buffer[kChunk];
  double sum[4] = {};
  for (int pass = 0; pass < 2; ++pass) {
    Cursor<1> c;
    walk_seek(s.reduced, 0, &c);
    for (int64_t r = 0; r < s.folds; ++r) {
      for (int64_t at = 0; at < s.inner; at += kChunk) {
        const int64_t n = min64(kChunk, s.inner - at);
        const T* p = gathered(base + c.offset[0] + at * s.inner_in, s.inner_in, n, buffer);
        if (pass == 0) {
          const T best = fold_run(MaxFold<T>{}, p, n);
          most = best > most ? best : most;
          continue;
        }
        const auto term = [&](int64_t i) {
          const U below = static_cast<U>(most) - static_cast<U>(p[i]);
          return kWholeExp.of[below < kWholeExps ? below : kWholeExps - 1];
        };
        double t0 = sum[0], t1 = sum[1], t2 = sum[2], t3 = sum[3];  // an array would be added to in memory
        int64_t i = 0;
        for (; i + 4 <= n; i += 4) {
          t0 += term(i);
          t1 += term(i + 1);
          t2 += term(i + 2);
          t3 += term(i + 3);
        }
        for (; i < n; ++i) t0 += term(i);
        sum[0] = t0;
        sum[1] = t1;
        sum[2] = t2;
        sum[3] = t3;
      }
      walk_next(s.reduced, &c);
    }
  }
  return static_cast<double>(most) + __builtin_log((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// The result of one output whose first element `base` addresses.
template <typename T>
static double wide_row_result(const ReduceSpace& s, int64_t kind, const T* base) {
  if constexpr (std::is_integral_v<T>) {
    if (kind == ARN_REDUCE_LOG_SUM_EXP) return whole_log_sum_exp(s, base);
  }
  if (kind == ARN_REDUCE_LOG_SUM_EXP) {
    const double most = wide_rows(s, WideMost{}, base);
    if (most - most != 0) return most;  // infinite or NaN
    WideExp<sizeof(T) == 4> g;
    g.most = splat_f64(most);
    return most + __builtin_log(wide_rows(s, g, base));
  }
  const double total = kind == ARN_REDUCE_L2 ? wide_rows(s, WideSquares{}, base) : wide_rows(s, WideSum{}, base);
  return wide_finish(kind, total, s.count);
}

constexpr int kWidePanel = 4;  // vectors of columns folded together

// The results of n <= kWidePanel * kLanesF64 neighbouring outputs.
template <typename T>
static void wide_column_results(const ReduceSpace& s, int64_t kind, const T* base, int64_t n, double* out) {
  constexpr int P = kWidePanel;
  vf64 acc[P];
  if (kind != ARN_REDUCE_LOG_SUM_EXP) {
    const WideSum sums[P] = {};
    const WideSquares squares[P] = {};
    if (kind == ARN_REDUCE_L2)
      wide_columns<P>(s, squares, base, n, acc);
    else
      wide_columns<P>(s, sums, base, n, acc);
    for (int64_t i = 0; i < n; ++i) out[i] = wide_finish(kind, acc[i / kLanesF64][i % kLanesF64], s.count);
    return;
  }
  const WideMost most[P] = {};
  vf64 top[P];
  wide_columns<P>(s, most, base, n, top);
  WideExp<sizeof(T) == 4> g[P];
  for (int k = 0; k < P; ++k) g[k].most = top[k];
  wide_columns<P>(s, g, base, n, acc);
  for (int64_t i = 0; i < n; ++i) {
    const double m = top[i / kLanesF64][i % kLanesF64];
    out[i] = m - m != 0 ? m : m + __builtin_log(acc[i / kLanesF64][i % kLanesF64]);
  }
}

}  // namespace ARN_NS
