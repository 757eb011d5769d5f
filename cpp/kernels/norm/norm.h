// Normalisation of one type over a set of axes, by rows or by columns: an optional sum with a residual, the statistics
// (the variance in a second pass around the mean), then the scaled result.
#pragma once

#include "kernels/norm/plan.h"
#include "kernels/reduce/fold.h"

namespace ARN_NS {

constexpr int kNormPanel = 4;  // vectors of columns normalised together

template <typename T>
struct DeviationFold : SumFold<T> {
  typedef typename Lanes<T>::V V;
  V mean;
  inline V pad() const { return mean; }
  inline V step(V acc, V x) const {
    const V d = x - mean;
    return acc + d * d;
  }
};

template <typename V, typename F>
static inline void centre(V, F*) {}
template <typename T>
static inline void centre(typename Lanes<T>::V mean, DeviationFold<T>* op) {
  op->mean = mean;
}

template <typename T>
struct NormMemory {
  T* role[kNormRoles];  // nullptr: absent
  NormRole source;      // what is normalised, once the residual is added
};

template <typename T>
static inline NormMemory<T> norm_memory(const NormBound& b, void* const* operand) {
  NormMemory<T> m;
  for (int r = 0; r < kNormRoles; ++r) m.role[r] = b.slot[r] < 0 ? nullptr : static_cast<T*>(operand[b.slot[r]]);
  m.source = m.role[kResidual] == nullptr ? kX : m.role[kSum] != nullptr ? kSum : kY;
  return m;
}

// The factor that t - mean is multiplied by, from the sum of its squares (its absolute values for L1).
static inline double norm_factor(const NormBound& b, double total) {
  switch (b.kind) {
    case kNormL1:
      return total == 0 ? 0 : 1 / total;
    case kNormL2:
      return total == 0 ? 0 : 1 / __builtin_sqrt(total);
    default:
      return 1 / __builtin_sqrt(total / static_cast<double>(b.count) + b.epsilon);
  }
}

// out[i] = a[i] + b[i] for i < n, at strides.
template <typename T>
static inline void add_strided(const T* a, int64_t sa, const T* b, int64_t sb, T* out, int64_t so, int64_t n) {
  if (sa == 1 && sb == 1 && so == 1)
    for (int64_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
  else
    for (int64_t i = 0; i < n; ++i) out[i * so] = a[i * sa] + b[i * sb];
}

// Adds the residual for `n` elements of the inner dim from `first`, at every position of `over`.
template <typename T>
static void add_residual(const NormBound& b, const NormMemory<T>& m, const int64_t* at, int64_t first, int64_t n) {
  Cursor<kNormRoles> c;
  walk_seek(b.over, 0, &c);
  const auto place = [&](NormRole r) { return m.role[r] + at[r] + c.offset[r] + first * b.step[r]; };
  for (int64_t f = 0; f < b.folds; ++f) {
    add_strided<T>(place(kX), b.step[kX], place(kResidual), b.step[kResidual], place(m.source), b.step[m.source], n);
    walk_next(b.over, &c);
  }
}

// y = (x - mean) * factor [* scale[i] [+ bias[i]]], contiguous. With kScaled false, `gain` and `shift` hold for all.
template <typename T, bool kScaled, bool kBiased>
static inline void normalise_run(const T* x, T* y, int64_t n, T mean, T factor, const T* scale, const T* bias, T gain,
                                 T shift) {
  typedef Lanes<T> L;
  typedef typename L::V V;
  constexpr int C = L::kCount;
  const V vm = L::splat(mean), vf = L::splat(factor), vg = L::splat(gain), vs = L::splat(shift);
  const auto one = [&](V t, V g, V s) { return (t - vm) * vf * g + s; };
  int64_t i = 0;
  for (; i + C <= n; i += C)
    L::store(y + i, one(L::load(x + i), kScaled ? L::load(scale + i) : vg, kBiased ? L::load(bias + i) : vs));
  if (i == n) return;
  const V zero = {};
  const auto tail = [&](const T* p) { return L::load_tail(p, n, n - i, zero); };
  L::store_tail(y, n, n - i, one(tail(x), kScaled ? tail(scale) : vg, kBiased ? tail(bias) : vs));
}

template <typename T>
static void normalise_rows(const NormBound& b, const NormMemory<T>& m, const int64_t* at, T mean, T factor) {
  T xs[kChunk], ys[kChunk], scales[kChunk], biases[kChunk];
  Cursor<kNormRoles> c;
  walk_seek(b.over, 0, &c);
  const bool uniform =
      (m.role[kScale] == nullptr || b.step[kScale] == 0) && (m.role[kBias] == nullptr || b.step[kBias] == 0);
  for (int64_t f = 0; f < b.folds; ++f) {
    const auto place = [&](int r, int64_t first) {
      return m.role[r] == nullptr ? nullptr : m.role[r] + at[r] + c.offset[r] + first * b.step[r];
    };
    for (int64_t first = 0; first < b.inner; first += kChunk) {
      const int64_t n = min64(kChunk, b.inner - first);
      const T* x = gathered<T>(place(m.source, first), b.step[m.source], n, xs);
      T* out = place(kY, first);
      T* y = b.step[kY] == 1 ? out : ys;
      const T *scale = place(kScale, first), *bias = place(kBias, first);
      if (uniform) {
        normalise_run<T, false, false>(x, y, n, mean, factor, nullptr, nullptr, scale ? *scale : T(1),
                                       bias ? *bias : T(0));
      } else if (bias == nullptr) {
        scale = gathered(scale, b.step[kScale], n, scales);
        normalise_run<T, true, false>(x, y, n, mean, factor, scale, nullptr, T(1), T(0));
      } else {
        const T one = 1;
        scale = scale == nullptr ? gathered<T>(&one, 0, n, scales) : gathered(scale, b.step[kScale], n, scales);
        bias = gathered(bias, b.step[kBias], n, biases);
        normalise_run<T, true, true>(x, y, n, mean, factor, scale, bias, T(1), T(0));
      }
      if (y != out)
        for (int64_t i = 0; i < n; ++i) out[i * b.step[kY]] = ys[i];
    }
    walk_next(b.over, &c);
  }
}

template <typename T>
static void norm_row(const NormBound& b, const NormMemory<T>& m, const int64_t* at) {
  if (m.source != kX) add_residual(b, m, at, 0, b.inner);
  const T* t = m.role[m.source] + at[m.source];
  const int64_t step = b.step[m.source];
  double total = 0;
  T mean = 0;
  if (b.kind == kNormLayer) {
    mean = static_cast<T>(fold_rows(SumFold<T>{}, b.over, m.source, b.inner, step, t) / static_cast<double>(b.count));
    DeviationFold<T> deviation;
    deviation.mean = Lanes<T>::splat(mean);
    total = fold_rows(deviation, b.over, m.source, b.inner, step, t);
  } else if (b.kind == kNormL1) {
    total = fold_rows(AbsFold<T>{}, b.over, m.source, b.inner, step, t);
  } else {
    total = fold_rows(SquareFold<T>{}, b.over, m.source, b.inner, step, t);
  }
  const T factor = static_cast<T>(norm_factor(b, total));
  normalise_rows(b, m, at, mean, factor);
  if (m.role[kMean] != nullptr) m.role[kMean][at[kMean]] = mean;
  if (m.role[kInverse] != nullptr) m.role[kInverse][at[kInverse]] = factor;
}

template <typename T>
struct NormColumns {
  static constexpr int C = Lanes<T>::kCount, kAll = C * kNormPanel;
  T mean[kAll], factor[kAll];
  double total[kAll];
};

template <typename T, typename F>
static inline void fold_panel(const NormBound& b, const NormMemory<T>& m, const F* op, const T* t, int64_t n,
                              NormColumns<T>* s) {
  typename F::Wide total[NormColumns<T>::kAll];
  const int64_t step = b.step[m.source];
  if (step == 1 && n == NormColumns<T>::kAll)
    fold_columns<F, T, kNormPanel, true>(op, b.over, m.source, step, t, n, total);
  else
    fold_columns<F, T, kNormPanel, false>(op, b.over, m.source, step, t, n, total);
  for (int i = 0; i < NormColumns<T>::kAll; ++i) s->total[i] = static_cast<double>(total[i]);
}

// Columns [first, first + n) of the inner dim, n <= a panel. Padding lanes are computed and dropped.
template <typename T>
static void norm_columns(const NormBound& b, const NormMemory<T>& m, const int64_t* at, int64_t first, int64_t n) {
  typedef Lanes<T> L;
  constexpr int C = L::kCount, kAll = NormColumns<T>::kAll;
  if (m.source != kX) add_residual(b, m, at, first, n);
  const T* t = m.role[m.source] + at[m.source] + first * b.step[m.source];
  NormColumns<T> s;
  for (int i = 0; i < kAll; ++i) s.mean[i] = 0;
  if (b.kind == kNormLayer) {
    const SumFold<T> sum[kNormPanel] = {};
    fold_panel(b, m, sum, t, n, &s);
    DeviationFold<T> deviation[kNormPanel];
    for (int i = 0; i < kAll; ++i) s.mean[i] = static_cast<T>(s.total[i] / static_cast<double>(b.count));
    for (int k = 0; k < kNormPanel; ++k) deviation[k].mean = L::load(s.mean + k * C);
    fold_panel(b, m, deviation, t, n, &s);
  } else if (b.kind == kNormL1) {
    const AbsFold<T> sum[kNormPanel] = {};
    fold_panel(b, m, sum, t, n, &s);
  } else {
    const SquareFold<T> sum[kNormPanel] = {};
    fold_panel(b, m, sum, t, n, &s);
  }
  for (int i = 0; i < kAll; ++i) s.factor[i] = static_cast<T>(norm_factor(b, s.total[i]));
  T xs[kAll] = {}, ys[kAll], scales[kAll], biases[kAll];
  for (int i = 0; i < kAll; ++i) {
    scales[i] = 1;
    biases[i] = 0;
  }
  Cursor<kNormRoles> c;
  walk_seek(b.over, 0, &c);
  const bool whole = n == kAll;
  for (int64_t f = 0; f < b.folds; ++f) {
    const auto fetch = [&](int r, T* buffer) -> const T* {
      if (m.role[r] == nullptr) return buffer;
      const T* p = m.role[r] + at[r] + c.offset[r] + first * b.step[r];
      if (whole && b.step[r] == 1) return p;
      for (int64_t i = 0; i < n; ++i) buffer[i] = p[i * b.step[r]];
      return buffer;
    };
    const T *x = fetch(m.source, xs), *scale = fetch(kScale, scales), *bias = fetch(kBias, biases);
    T* out = m.role[kY] + at[kY] + c.offset[kY] + first * b.step[kY];
    T* y = whole && b.step[kY] == 1 ? out : ys;
    for (int k = 0; k < kAll; k += C)
      L::store(y + k,
               (L::load(x + k) - L::load(s.mean + k)) * L::load(s.factor + k) * L::load(scale + k) + L::load(bias + k));
    if (y != out)
      for (int64_t i = 0; i < n; ++i) out[i * b.step[kY]] = ys[i];
    walk_next(b.over, &c);
  }
  for (int64_t i = 0; i < n; ++i) {
    if (m.role[kMean] != nullptr) m.role[kMean][at[kMean] + (first + i) * b.step[kMean]] = s.mean[i];
    if (m.role[kInverse] != nullptr) m.role[kInverse][at[kInverse] + (first + i) * b.step[kInverse]] = s.factor[i];
  }
}

// A column sum for every one of `n` <= kNormLine contiguous columns, then one for each group of `each`, in all of them.
template <typename T, typename F>
static inline void fold_line(const NormBound& b, const NormMemory<T>& m, const T* t, int64_t n, const T* mean,
                             double* total) {
  constexpr int C = Lanes<T>::kCount, kAll = NormColumns<T>::kAll;
  for (int64_t first = 0; first < n; first += kAll) {
    F op[kNormPanel];
    for (int k = 0; k < kNormPanel; ++k) centre(Lanes<T>::load(mean + first + k * C), &op[k]);
    NormColumns<T> part;
    fold_panel(b, m, op, t + first, min64(kAll, n - first), &part);
    for (int64_t i = 0; i < min64(kAll, n - first); ++i) total[first + i] = part.total[i];
  }
  for (int64_t first = 0; first < n; first += b.inner) {
    double sum = 0;
    for (int64_t i = 0; i < b.inner; ++i) sum += total[first + i];
    for (int64_t i = 0; i < b.inner; ++i) total[first + i] = sum;
  }
}

// Rows [first, first + rows) lying end to end, rows * inner <= kNormLine, as columns of one line.
template <typename T>
static void norm_groups(const NormBound& b, const NormMemory<T>& m, const int64_t* at, int64_t first, int64_t rows) {
  typedef Lanes<T> L;
  typedef typename L::V V;
  constexpr int C = L::kCount;
  const int64_t n = rows * b.inner, begin = first * b.inner;
  if (m.source != kX) add_residual(b, m, at, begin, n);
  const T* t = m.role[m.source] + at[m.source] + begin;
  T mean[kNormLine] = {}, factor[kNormLine], scale[kNormLine], bias[kNormLine];
  double total[kNormLine];
  if (b.kind == kNormLayer) {
    fold_line<T, SumFold<T>>(b, m, t, n, mean, total);
    for (int64_t i = 0; i < n; ++i) mean[i] = static_cast<T>(total[i] / static_cast<double>(b.count));
    fold_line<T, DeviationFold<T>>(b, m, t, n, mean, total);
  } else if (b.kind == kNormL1) {
    fold_line<T, AbsFold<T>>(b, m, t, n, mean, total);
  } else {
    fold_line<T, SquareFold<T>>(b, m, t, n, mean, total);
  }
  for (int64_t i = 0, g = first; i < n; i += b.inner, ++g) {
    const auto fill = [&](NormRole r, T* to, T none) {
      if (m.role[r] == nullptr)
        for (int64_t k = 0; k < b.inner; ++k) to[i + k] = none;
      else
        for (int64_t k = 0; k < b.inner; ++k) to[i + k] = m.role[r][at[r] + g * b.group_step[r] + k * b.step[r]];
    };
    const T by = static_cast<T>(norm_factor(b, total[i]));
    for (int64_t k = 0; k < b.inner; ++k) factor[i + k] = by;
    fill(kScale, scale, T(1));
    fill(kBias, bias, T(0));
    if (m.role[kMean] != nullptr) m.role[kMean][at[kMean] + g * b.group_step[kMean]] = mean[i];
    if (m.role[kInverse] != nullptr) m.role[kInverse][at[kInverse] + g * b.group_step[kInverse]] = factor[i];
  }
  Cursor<kNormRoles> c;
  walk_seek(b.over, 0, &c);
  for (int64_t f = 0; f < b.folds; ++f) {
    const T* x = t + c.offset[m.source];
    T* y = m.role[kY] + at[kY] + c.offset[kY] + begin;
    const auto one = [](V t, V m, V f, V g, V s) { return (t - m) * f * g + s; };
    int64_t i = 0;
    for (; i + C <= n; i += C)
      L::store(y + i,
               one(L::load(x + i), L::load(mean + i), L::load(factor + i), L::load(scale + i), L::load(bias + i)));
    const V zero = {};
    const auto tail = [&](const T* p) { return L::load_tail(p, n, n - i, zero); };
    if (i < n) L::store_tail(y, n, n - i, one(tail(x), tail(mean), tail(factor), tail(scale), tail(bias)));
    walk_next(b.over, &c);
  }
}

template <typename T>
static int32_t norm_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                          const arn_state* state) {
  const NormBound& b = *static_cast<const NormBound*>(bound);
  const NormMemory<T> m = norm_memory<T>(b, operand);
  constexpr int64_t kWide = NormColumns<T>::kAll;
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    if (from == to) return ARN_OK;
    Cursor<kNormRoles> c;
    walk_seek(b.kept, from / b.panels, &c);
    int64_t panel = from % b.panels;
    for (int64_t unit = from; unit < to; ++unit) {
      if (b.walk == kNormByColumns)
        norm_columns(b, m, c.offset, panel * kWide, min64(kWide, b.inner - panel * kWide));
      else if (b.walk == kNormByGroups)
        norm_groups(b, m, c.offset, panel * b.group, min64(b.group, b.groups - panel * b.group));
      else
        norm_row(b, m, c.offset);
      if (++panel < b.panels) continue;
      panel = 0;
      walk_next(b.kept, &c);
    }
    return ARN_OK;
  });
}

template <typename T>
static int32_t bind_norm(const NormShape& s, int64_t axes, NormKind kind, double epsilon, arn_bound* out, void* bound) {
  NormBound* b = static_cast<NormBound*>(bound);
  const int32_t status = plan_norm(s, axes, kind, epsilon, NormColumns<T>::kAll, sizeof(T), b);
  if (status != ARN_OK) return status;
  static const char* const kVariants[] = {"rows", "columns", "groups"};
  return bind_done(out, norm_tasks<T>, b->tasks, sizeof(NormBound), kVariants[b->walk]);
}

static inline int64_t axes_from(int64_t axis, int64_t rank) {
  return ((int64_t{1} << rank) - 1) & -(int64_t{1} << axis);
}

// LayerNormalization (x, scale, bias?, residual? -> y, mean?, inverse?, sum?)
template <typename T>
static int32_t bind_layer_norm(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_layer_norm_params*>(args->params);
  const arn_desc& x = args->operand[0];
  if (p->axis < 0 || p->axis >= x.rank) return ARN_SHAPE_MISMATCH;
  const int64_t axes = axes_from(p->axis, x.rank);
  NormShape s;
  norm_clear(&s);
  norm_x(x, &s);
  const int o = args->n_in;
  const NormRole inputs[] = {kX, kScale, kBias, kResidual}, outputs[] = {kY, kMean, kInverse, kSum};
  for (int i = 1; i < o && i < 4; ++i)
    if (!norm_operand(args, i, inputs[i], 0, &s)) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < args->n_out && i < 4; ++i)
    if (!norm_operand(args, o + i, outputs[i], i == 1 || i == 2 ? axes : 0, &s)) return ARN_SHAPE_MISMATCH;
  if (s.slot[kY] < 0 || (s.slot[kSum] >= 0 && s.slot[kResidual] < 0)) return ARN_SHAPE_MISMATCH;
  return bind_norm<T>(s, axes, kNormLayer, p->epsilon, out, bound);
}

// RMSNormalization (x, scale, residual? -> y, sum?)
template <typename T>
static int32_t bind_rms_norm(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_layer_norm_params*>(args->params);
  const arn_desc& x = args->operand[0];
  if (p->axis < 0 || p->axis >= x.rank) return ARN_SHAPE_MISMATCH;
  NormShape s;
  norm_clear(&s);
  norm_x(x, &s);
  const int o = args->n_in;
  const NormRole inputs[] = {kX, kScale, kResidual}, outputs[] = {kY, kSum};
  for (int i = 1; i < o && i < 3; ++i)
    if (!norm_operand(args, i, inputs[i], 0, &s)) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < args->n_out && i < 2; ++i)
    if (!norm_operand(args, o + i, outputs[i], 0, &s)) return ARN_SHAPE_MISMATCH;
  if (s.slot[kY] < 0 || (s.slot[kSum] >= 0 && s.slot[kResidual] < 0)) return ARN_SHAPE_MISMATCH;
  return bind_norm<T>(s, axes_from(p->axis, x.rank), kNormRms, p->epsilon, out, bound);
}

// LpNormalization (x -> y)
template <typename T>
static int32_t bind_lp_norm(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_lp_norm_params*>(args->params);
  const arn_desc& x = args->operand[0];
  if (p->axis < 0 || p->axis >= x.rank) return ARN_SHAPE_MISMATCH;
  if (p->p != 1 && p->p != 2) return ARN_UNSUPPORTED;
  NormShape s;
  norm_clear(&s);
  norm_x(x, &s);
  if (!norm_operand(args, 1, kY, 0, &s) || s.slot[kY] < 0) return ARN_SHAPE_MISMATCH;
  return bind_norm<T>(s, int64_t{1} << p->axis, p->p == 1 ? kNormL1 : kNormL2, 0, out, bound);
}

// InstanceNormalization is GroupNormalization with a channel a group: (x, scale, bias -> y), x [n, c, ...], scale and
// bias [c]. The channel dim is split into groups and channels of a group.
template <typename T>
static int32_t bind_group_norm(const arn_bind_args* args, int64_t groups, double epsilon, arn_bound* out, void* bound) {
  const arn_desc &x = args->operand[0], &y = args->operand[3];
  if (x.rank < 2 || !same_dims(x, y)) return ARN_SHAPE_MISMATCH;
  if (x.rank >= ARN_MAX_RANK) return ARN_UNSUPPORTED;
  const int64_t channels = x.dims[1];
  if (groups <= 0 || channels % groups != 0) return ARN_SHAPE_MISMATCH;
  NormShape s;
  norm_clear(&s);
  s.rank = x.rank + 1;
  const int64_t each = channels / groups;
  for (int i = 0; i < s.rank; ++i) {
    const int from = i < 2 ? i : i - 1;
    s.dims[i] = i == 1 ? groups : i == 2 ? each : x.dims[from];
    s.stride[kX][i] = x.strides[from] * (i == 1 ? each : 1);
    s.stride[kY][i] = y.strides[from] * (i == 1 ? each : 1);
  }
  for (int k = 1; k <= 2; ++k) {
    const arn_desc& d = args->operand[k];
    if (d.rank != 1 || d.dims[0] != channels) return ARN_SHAPE_MISMATCH;
    const NormRole role = k == 1 ? kScale : kBias;
    s.slot[role] = k;
    s.stride[role][1] = d.strides[0] * each;
    s.stride[role][2] = d.strides[0];
  }
  s.slot[kX] = 0;
  s.slot[kY] = 3;
  return bind_norm<T>(s, axes_from(2, s.rank), kNormLayer, epsilon, out, bound);
}

template <typename T>
static int32_t bind_instance_norm(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_channel_norm_params*>(args->params);
  const int64_t channels = args->operand[0].rank < 2 ? 0 : args->operand[0].dims[1];
  return bind_group_norm<T>(args, max64(1, channels), p->epsilon, out, bound);
}

}  // namespace ARN_NS
