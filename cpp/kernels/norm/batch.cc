// BatchNormalization (inference) and LRN: both work along the channel dim 1 of x [n, c, ...].
#include "kernels/norm/norm.h"

namespace ARN_NS {
namespace {

constexpr int64_t kLine = 256;  // elements of the inner dim in one unit of LRN

// BatchNormalization. Every thread folds the four channel vectors into y = x * gain[c] + shift[c] for itself.
struct BatchBound {
  Walk<3> outer;  // operand 0: x, 1: y, 2: channel number
  int64_t inner, step[3];
  int64_t channels, channel_step[4];  // of scale, bias, mean, variance
  int64_t units, tasks;
  double epsilon;
};

template <typename T>
void fold_channels(const BatchBound& b, void* const* operand, T* gain, T* shift) {
  const T* part[4];
  for (int k = 0; k < 4; ++k) part[k] = static_cast<const T*>(operand[k + 1]);
  for (int64_t c = 0; c < b.channels; ++c) {
    double at[4];
    for (int k = 0; k < 4; ++k) at[k] = static_cast<double>(part[k][c * b.channel_step[k]]);
    const double g = at[0] / __builtin_sqrt(at[3] + b.epsilon);
    gain[c] = static_cast<T>(g);
    shift[c] = static_cast<T>(at[1] - at[2] * g);
  }
}

// y = x * gain + shift. Several vectors are read before the first is written: x and y may lie equally far into pages.
template <typename T>
inline void scale_run(const T* x, T* y, int64_t n, T gain, T shift) {
  typedef Lanes<T> L;
  typedef typename L::V V;
  constexpr int C = L::kCount;
  const V g = L::splat(gain), s = L::splat(shift);
  int64_t i = 0;
  for (; i + 4 * C <= n; i += 4 * C) {
    V v[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) v[k] = L::load(x + i + k * C) * g + s;
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) L::store(y + i + k * C, v[k]);
  }
  for (; i + C <= n; i += C) L::store(y + i, L::load(x + i) * g + s);
  for (; i < n; ++i) y[i] = x[i] * gain + shift;
}

template <typename T>
void batch_line(const BatchBound& b, const T* x, T* y, const T* gain, const T* shift) {
  T xs[kChunk], ys[kChunk];
  for (int64_t first = 0; first < b.inner; first += kChunk) {
    const int64_t n = min64(kChunk, b.inner - first);
    const T* in = gathered<T>(x + first * b.step[0], b.step[0], n, xs);
    T* out = y + first * b.step[1];
    T* to = b.step[1] == 1 ? out : ys;
    if (b.step[2] == 0)
      scale_run<T>(in, to, n, *gain, *shift);
    else
      normalise_run<T, true, true>(in, to, n, T(0), T(1), gain + first, shift + first, T(1), T(0));
    if (to != out)
      for (int64_t i = 0; i < n; ++i) out[i * b.step[1]] = ys[i];
  }
}

template <typename T>
int32_t batch_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                    const arn_state* state) {
  const BatchBound& b = *static_cast<const BatchBound*>(bound);
  T *gain = static_cast<T*>(scratch), *shift = gain + b.channels;
  fold_channels<T>(b, operand, gain, shift);
  const T* x = static_cast<const T*>(operand[0]);
  T* y = static_cast<T*>(operand[5]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    Cursor<3> c;
    walk_seek(b.outer, from, &c);
    for (int64_t unit = from; unit < to; ++unit) {
      batch_line<T>(b, x + c.offset[0], y + c.offset[1], gain + c.offset[2], shift + c.offset[2]);
      walk_next(b.outer, &c);
    }
    return ARN_OK;
  });
}

template <typename T>
int32_t bind_batch(const arn_bind_args* args, arn_bound* out, void* bound) {
  const arn_desc &x = args->operand[0], &y = args->operand[5];
  if (x.rank < 2 || !same_dims(x, y)) return ARN_SHAPE_MISMATCH;
  BatchBound* b = static_cast<BatchBound*>(bound);
  b->channels = x.dims[1];
  b->epsilon = static_cast<const arn_channel_norm_params*>(args->params)->epsilon;
  for (int k = 0; k < 4; ++k) {
    const arn_desc& d = args->operand[k + 1];
    if (d.rank != 1 || d.dims[0] != b->channels) return ARN_SHAPE_MISMATCH;
    b->channel_step[k] = d.strides[0];
  }
  walk_clear(&b->outer);
  for (int i = 0; i < x.rank; ++i) walk_push(&b->outer, x.dims[i], {x.strides[i], y.strides[i], i == 1});
  walk_sort(&b->outer, 0);
  const int last = b->outer.rank - 1;
  b->inner = last < 0 ? 1 : b->outer.dims[last];
  for (int k = 0; k < 3; ++k) b->step[k] = last < 0 ? k != 2 : b->outer.step[k][last];
  if (last >= 0) walk_remove(&b->outer, last);
  b->units = element_count(x) == 0 ? 0 : walk_count(b->outer);
  b->tasks = tasks_for(b->units, element_count(x) * static_cast<int64_t>(sizeof(T)));
  bind_done(out, batch_tasks<T>, b->tasks, sizeof(BatchBound), b->step[2] == 0 ? "channel a line" : "channels inside");
  out->thread_scratch = 2 * b->channels * static_cast<int64_t>(sizeof(T));
  return ARN_OK;
}

// LRN: y = x / (bias + alpha / size * sum of squares over `size` channels around)^beta.
struct LrnBound {
  Walk<2> outer;  // operand 0: x, 1: y; without the channels and the inner dim
  int64_t inner, step[2], lines;
  int64_t channels, channel_step[2];
  int64_t before, after;
  int64_t units, tasks;
  double scale, beta, bias;
};

// d[i] = base[i] ^ -beta. 3/4 is what the op's inventors use, and needs no logarithm.
template <typename T>
inline void inverse_power(const T* base, T* d, int64_t n, double beta) {
  if (beta == 0.75) {
    for (int64_t i = 0; i < n; ++i) {
      const T root = static_cast<T>(sizeof(T) == 4 ? __builtin_sqrtf(static_cast<float>(base[i]))
                                                   : __builtin_sqrt(static_cast<double>(base[i])));
      const T quarter = static_cast<T>(sizeof(T) == 4 ? __builtin_sqrtf(static_cast<float>(root))
                                                      : __builtin_sqrt(static_cast<double>(root)));
      d[i] = T(1) / (root * quarter);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) d[i] = static_cast<T>(__builtin_pow(static_cast<double>(base[i]), -beta));
  }
}

template <typename T>
void lrn_line(const LrnBound& b, const T* x, T* y, int64_t n) {
  T base[kLine], factor[kLine], line[kLine];
  for (int64_t c = 0; c < b.channels; ++c) {
    for (int64_t i = 0; i < n; ++i) base[i] = 0;
    const int64_t end = min64(b.channels, c + b.after + 1);
    for (int64_t k = max64(0, c - b.before); k < end; ++k) {
      const T* p = gathered<T>(x + k * b.channel_step[0], b.step[0], n, line);
      for (int64_t i = 0; i < n; ++i) base[i] += p[i] * p[i];
    }
    const T scale = static_cast<T>(b.scale), bias = static_cast<T>(b.bias);
    for (int64_t i = 0; i < n; ++i) base[i] = bias + scale * base[i];
    inverse_power<T>(base, factor, n, b.beta);
    const T* p = x + c * b.channel_step[0];
    T* out = y + c * b.channel_step[1];
    if (b.step[0] == 1 && b.step[1] == 1)
      for (int64_t i = 0; i < n; ++i) out[i] = p[i] * factor[i];
    else
      for (int64_t i = 0; i < n; ++i) out[i * b.step[1]] = p[i * b.step[0]] * factor[i];
  }
}

template <typename T>
int32_t lrn_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                  const arn_state* state) {
  const LrnBound& b = *static_cast<const LrnBound*>(bound);
  const T* x = static_cast<const T*>(operand[0]);
  T* y = static_cast<T*>(operand[1]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) {
      Cursor<2> c;
      walk_seek(b.outer, unit / b.lines, &c);
      const int64_t first = unit % b.lines * kLine;
      lrn_line<T>(b, x + c.offset[0] + first * b.step[0], y + c.offset[1] + first * b.step[1],
                  min64(kLine, b.inner - first));
    }
    return ARN_OK;
  });
}

template <typename T>
int32_t bind_lrn(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_lrn_params*>(args->params);
  const arn_desc &x = args->operand[0], &y = args->operand[1];
  if (x.rank < 2 || !same_dims(x, y)) return ARN_SHAPE_MISMATCH;
  if (p->size < 1) return ARN_BAD_VALUE;
  LrnBound* b = static_cast<LrnBound*>(bound);
  walk_clear(&b->outer);
  for (int i = 0; i < x.rank; ++i)
    if (i != 1) walk_push(&b->outer, x.dims[i], {x.strides[i], y.strides[i]});
  walk_sort(&b->outer, 0);
  const int last = b->outer.rank - 1;
  b->inner = last < 0 ? 1 : b->outer.dims[last];
  for (int k = 0; k < 2; ++k) b->step[k] = last < 0 ? 1 : b->outer.step[k][last];
  if (last >= 0) walk_remove(&b->outer, last);
  b->lines = ceil_div(b->inner, kLine);
  b->channels = x.dims[1];
  b->channel_step[0] = x.strides[1];
  b->channel_step[1] = y.strides[1];
  b->before = min64(b->channels, (p->size - 1) / 2);
  b->after = min64(b->channels, p->size / 2);
  b->scale = p->alpha / static_cast<double>(p->size);
  b->beta = p->beta;
  b->bias = p->bias;
  b->units = element_count(x) == 0 ? 0 : walk_count(b->outer) * b->lines;
  b->tasks = tasks_for(b->units, element_count(x) * static_cast<int64_t>(sizeof(T)) * 4);
  return bind_done(out, lrn_tasks<T>, b->tasks, sizeof(LrnBound), "lines");
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(batch_norm_f32) { return ARN_NS::bind_batch<float>(args, out, bound); }
ARN_DEFINE_BIND(lrn_f32) { return ARN_NS::bind_lrn<float>(args, out, bound); }

#if ARN_TIER_LEVEL == 0
ARN_DEFINE_BIND(batch_norm_f64) { return ARN_NS::bind_batch<double>(args, out, bound); }
ARN_DEFINE_BIND(lrn_f64) { return ARN_NS::bind_lrn<double>(args, out, bound); }
#endif
