// Linear and cubic resize of elements S, computed in T. The weighted sum over the taps of all outer dims is taken on
// whole rows of the input; where the innermost dim is resized too, its taps then pick from that row.
#pragma once

#include "kernels/resize/plan.h"

namespace ARN_NS {

constexpr int64_t kResizeBlock = 1024;  // elements of a kept innermost dim summed together

// Tables of every dim: tap t of output position y is at table + y * taps + t. The first offset of an extrapolated
// position is kOutside.
template <typename T>
struct ResizeTables {
  int64_t* offset;  // in elements; of the innermost dim, into `row`
  T* weight;
  T* row;  // one row of the input's innermost dim, summed
};

static inline double resize_kernel(const ResizeBound& b, double x) {
  x = __builtin_fabs(x);
  if (b.mode == ARN_RESIZE_LINEAR) return x < 1 ? 1 - x : 0;
  const double a = b.a;
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

template <typename T>
static void fill_taps(const ResizeBound& b, const ResizeDim& d, int64_t step, int64_t y, int64_t* offset, T* weight) {
  double x;
  const bool inside = resize_source(b, d, y, &x);
  // The window lies around (base, base + 1], base < x <= base + 1.
  const double base = __builtin_ceil(x) - 1, ratio = x - base;
  const int64_t first = resize_index(base, d.in) + 1 - d.taps / 2;
  const bool smooth = b.antialias != 0;
  const double stretch = smooth && d.scale < 1 ? d.scale : 1;
  double total = 0;
  for (int pass = 0; pass < 2; ++pass) {
    double kept = 0;
    for (int64_t t = 0; t < d.taps; ++t) {
      const double w = resize_kernel(b, stretch * (static_cast<double>(1 - d.taps / 2 + t) - ratio));
      const bool dropped = b.exclude_outside && (first + t < 0 || first + t >= d.in);
      if (!dropped) kept += w;
      if (pass == 0) continue;
      weight[t] = static_cast<T>(dropped ? 0 : w / total);
      offset[t] = resize_clamp(first + t, d.in) * step;
    }
    // Weights that add up to 1 by construction are left as they are.
    total = (smooth || b.exclude_outside) && kept != 0 ? kept : 1;
  }
  if (!inside) offset[0] = kOutside;
}

template <typename T>
static void fill_tables(const ResizeBound& b, const ResizeTables<T>& t) {
  for (int k = 0; k < b.rank; ++k) {
    const ResizeDim& d = b.dim[k];
    for (int64_t y = 0; d.taps > 0 && y < d.out; ++y)
      fill_taps<T>(b, d, k + 1 < b.rank ? d.in_step : 1, y, t.offset + d.table + y * d.taps,
                   t.weight + d.table + y * d.taps);
  }
}

// Where one output row's taps lie: an odometer over the taps of the outer resized dims.
template <typename T>
struct ResizeRow {
  const int64_t* offset[ARN_MAX_RANK];
  const T* weight[ARN_MAX_RANK];
  int64_t taps[ARN_MAX_RANK];
  int rank;
  bool outside;
};

// N taps of a weighted sum, one after the other; `first`: of a new sum, else of one that sum[] holds.
template <int N, typename S, typename T>
static inline void add_taps(const S* const* p, const T* w, int64_t step, bool first, T* __restrict sum, int64_t n) {
  const auto run = [&](auto from, auto begin) {
    for (int64_t i = 0; i < n; ++i) {
      T s = begin(i);
#pragma GCC unroll 4
      for (int k = 1; k < N; ++k) s += w[k] * from(p[k], i);
      sum[i] = s;
    }
  };
  const auto dense = [](const S* x, int64_t i) { return static_cast<T>(x[i]); };
  const auto apart = [&](const S* x, int64_t i) { return static_cast<T>(x[i * step]); };
  if (first && step == 1)
    run(dense, [&](int64_t i) { return w[0] * dense(p[0], i); });
  else if (first)
    run(apart, [&](int64_t i) { return w[0] * apart(p[0], i); });
  else if (step == 1)
    run(dense, [&](int64_t i) { return sum[i] + w[0] * dense(p[0], i); });
  else
    run(apart, [&](int64_t i) { return sum[i] + w[0] * apart(p[0], i); });
}

// sum[i] = the weighted sum of x[i * step] over all combinations of taps, i < n, the last dim's taps fastest.
template <typename S, typename T>
static void sum_rows(const ResizeRow<T>& r, const S* x, int64_t step, T* sum, int64_t n) {
  int64_t at[ARN_MAX_RANK] = {};
  const S* from[4];
  T weight[4];
  bool first = true;
  for (int held = 0;;) {
    const S* p = x;
    T w = 1;
    for (int k = 0; k < r.rank; ++k) {
      p += r.offset[k][at[k]];
      w *= r.weight[k][at[k]];
    }
    from[held] = p;
    weight[held++] = w;
    int k = r.rank - 1;
    for (; k >= 0 && ++at[k] == r.taps[k]; --k) at[k] = 0;
    if (held < 4 && k >= 0) continue;
    switch (held) {
      case 1:
        add_taps<1>(from, weight, step, first, sum, n);
        break;
      case 2:
        add_taps<2>(from, weight, step, first, sum, n);
        break;
      case 3:
        add_taps<3>(from, weight, step, first, sum, n);
        break;
      default:
        add_taps<4>(from, weight, step, first, sum, n);
    }
    first = false;
    held = 0;
    if (k < 0) return;
  }
}

// A sum as an element; an integer is the nearest one, or the limit of its type.
template <typename S, typename T>
static inline S resize_element(T v) {
  if constexpr (static_cast<S>(0.5) != S(0)) {
    return static_cast<S>(v);
  } else {
    constexpr bool kSigned = static_cast<S>(-1) < S(0);
    constexpr int kBits = static_cast<int>(sizeof(S)) * 8 - (kSigned ? 1 : 0);
    constexpr S kMost = static_cast<S>(~uint64_t{0} >> (64 - kBits)),
                kLeast = kSigned ? static_cast<S>(-kMost - 1) : S(0);
    // 2^kBits, just above the largest element.
    constexpr T kAbove = static_cast<T>(uint64_t{1} << (kBits - 1)) * 2;
    const T whole =
        sizeof(T) == 4 ? static_cast<T>(__builtin_rintf(static_cast<float>(v))) : static_cast<T>(__builtin_rint(v));
    if (whole >= kAbove) return kMost;
    return whole > static_cast<T>(kLeast) ? static_cast<S>(whole) : kLeast;
  }
}

// y[i] = the weighted sum of the row's elements at the taps of i.
template <typename S, typename T>
static void pick_row(const ResizeBound& b, const ResizeDim& d, const ResizeTables<T>& t, S* y) {
  const S outside = resize_element<S>(static_cast<T>(b.extrapolation));
  const int64_t* at = t.offset + d.table;
  const T* w = t.weight + d.table;
  if (d.taps == 2 && b.coordinates != ARN_RESIZE_TF_CROP_AND_RESIZE) {
    for (int64_t i = 0; i < d.out; ++i)
      y[i * d.out_step] = resize_element<S>(w[2 * i] * t.row[at[2 * i]] + w[2 * i + 1] * t.row[at[2 * i + 1]]);
    return;
  }
  for (int64_t i = 0; i < d.out; ++i, at += d.taps, w += d.taps) {
    if (at[0] == kOutside) {
      y[i * d.out_step] = outside;
      continue;
    }
    T sum = w[0] * t.row[at[0]];
    for (int64_t k = 1; k < d.taps; ++k) sum += w[k] * t.row[at[k]];
    y[i * d.out_step] = resize_element<S>(sum);
  }
}

template <typename S, typename T>
static void resize_row(const ResizeBound& b, const ResizeTables<T>& t, const S* x, S* y, int64_t unit) {
  ResizeRow<T> r;
  r.rank = 0;
  r.outside = false;
  for (int k = b.rank - 2; k >= 0; --k) {
    const ResizeDim& d = b.dim[k];
    const int64_t at = unit % d.out;
    unit /= d.out;
    y += at * d.out_step;
    if (d.taps == 0) {
      x += at * d.in_step;
      continue;
    }
    r.offset[r.rank] = t.offset + d.table + at * d.taps;
    r.weight[r.rank] = t.weight + d.table + at * d.taps;
    r.taps[r.rank] = d.taps;
    r.outside |= r.offset[r.rank][0] == kOutside;
    ++r.rank;
  }
  const ResizeDim& last = b.dim[b.rank - 1];
  if (r.outside) {
    const S outside = resize_element<S>(static_cast<T>(b.extrapolation));
    for (int64_t i = 0; i < last.out; ++i) y[i * last.out_step] = outside;
  } else if (last.taps > 0) {
    sum_rows(r, x, last.in_step, t.row, last.in);
    pick_row(b, last, t, y);
  } else {
    T block[kResizeBlock];
    for (int64_t first = 0; first < last.out; first += kResizeBlock) {
      const int64_t n = min64(kResizeBlock, last.out - first);
      if constexpr (sizeof(S) == sizeof(T) && static_cast<S>(0.5) != S(0)) {
        if (last.out_step == 1) {
          sum_rows(r, x + first * last.in_step, last.in_step, y + first, n);
          continue;
        }
      }
      sum_rows(r, x + first * last.in_step, last.in_step, block, n);
      for (int64_t i = 0; i < n; ++i) y[(first + i) * last.out_step] = resize_element<S>(block[i]);
    }
  }
}

template <typename S, typename T>
static int32_t resize_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                            const arn_state* state) {
  ResizeBound b = *static_cast<const ResizeBound*>(bound);
  if (!resize_settle(&b, static_cast<const float*>(operand[1]))) return ARN_BAD_VALUE;
  ResizeTables<T> t;
  t.offset = static_cast<int64_t*>(scratch);
  t.weight = reinterpret_cast<T*>(t.offset + b.tables);
  t.row = t.weight + b.tables;
  fill_tables(b, t);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit)
      resize_row(b, t, static_cast<const S*>(operand[0]), static_cast<S*>(operand[b.out_operand]), unit);
    return ARN_OK;
  });
}

template <typename S, typename T>
static int32_t bind_resize(const arn_bind_args* args, arn_bound* out, void* bound) {
  const int64_t mode = static_cast<const arn_resize_params*>(args->params)->mode;
  if (mode != ARN_RESIZE_LINEAR && mode != ARN_RESIZE_CUBIC) return ARN_UNSUPPORTED;
  ResizeBound* b = static_cast<ResizeBound*>(bound);
  const int32_t status = plan_resize(args, 1, b);
  if (status != ARN_OK) return status;
  ResizeDim& last = b->dim[b->rank - 1];
  bind_done(out, resize_tasks<S, T>, b->tasks, sizeof(ResizeBound), last.taps > 0 ? "rows" : "kept inside");
  const int64_t bytes = static_cast<int64_t>(sizeof(T));
  out->thread_scratch = b->tables * (8 + bytes) + (last.taps > 0 ? last.in * bytes : 0);
  return ARN_OK;
}

}  // namespace ARN_NS
