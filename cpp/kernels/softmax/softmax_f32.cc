// Softmax and LogSoftmax of f32: the largest element, exponentials and their sum, then the quotient.
#include "kernels/quantize/lines.h"
#include "kernels/reduce/fold.h"
#include "kernels/softmax/plan.h"
#include "simd/math.h"

namespace ARN_NS {
namespace {

constexpr int C = kLanesF32, kVectors = 4, kWide = C * kVectors;

struct Line {
  const float *x, *mask;  // mask: nullptr when absent
  float* y;
};

// work[i] = x[i] * scale + mask[i]
void prepare(const SoftmaxBound& b, const Line& l, float* work) {
  const int64_t sx = b.axis_step[kSoftX], sm = b.axis_step[kSoftMask];
  const float scale = static_cast<float>(b.scale);
  if (l.mask == nullptr && sx == 1)
    for (int64_t i = 0; i < b.length; ++i) work[i] = l.x[i] * scale;
  else if (l.mask == nullptr)
    for (int64_t i = 0; i < b.length; ++i) work[i] = l.x[i * sx] * scale;
  else if (sx == 1 && sm == 1)
    for (int64_t i = 0; i < b.length; ++i) work[i] = l.x[i] * scale + l.mask[i];
  else
    for (int64_t i = 0; i < b.length; ++i) work[i] = l.x[i * sx] * scale + l.mask[i * sm];
}

float largest(const float* t, int64_t n) {
  RunFold<LooseMaxFold<float>, float> fold;  // NaN comes back through the sum of the exponentials
  fold.reset();
  fold.add(t, n);
  return fold.total();
}

template <bool kStore>
inline vf32 exponential(const float* t, float* y, vf32 most) {
  const vf32 e = vexp_negative(load_f32(t) - most);
  if (kStore) store_f32(y, e);
  return e;
}

// The sum of exp(t[i] - most); y[i] = that exponential if kStore. Partial sums cover kChunk elements.
template <bool kStore>
double exponentials(const float* t, float* y, int64_t n, float most) {
  const vf32 m = splat_f32(most);
  double total = 0;
  for (int64_t first = 0; first < n; first += kChunk) {
    const int64_t end = min64(n, first + kChunk);
    vf32 sum[kVectors] = {};
    int64_t i = first;
    for (; i + kWide <= end; i += kWide)
#pragma GCC unroll 4
      for (int k = 0; k < kVectors; ++k) sum[k] += exponential<kStore>(t + i + k * C, y + i + k * C, m);
    for (; i + C <= end; i += C) sum[0] += exponential<kStore>(t + i, y + i, m);
    if (i < end) {
      // In place, lanes before the tail hold exponentials already: they are masked, and stored as they are.
      const int64_t part = end - first, rest = end - i;
      const vf32 tail = vexp_negative(Lanes<float>::load_tail(t + first, part, rest, splat_f32(-__builtin_inff())) - m);
      if (kStore) Lanes<float>::store_tail(y + first, part, rest, tail);
      sum[1] += tail;
    }
    total += merge_lanes<SumFold<float>, float>((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
  return total;
}

void softmax_row(const SoftmaxBound& b, const Line& l, float* scratch) {
  const int64_t n = b.length;
  float* y = b.axis_step[kSoftY] == 1 ? l.y : scratch;
  const float* t = l.x;
  if (b.axis_step[kSoftX] != 1 || l.mask != nullptr || b.scale != 1) {
    prepare(b, l, y);
    t = y;
  }
  const float most = largest(t, n);
  if (b.log) {
    const float lost = static_cast<float>(__builtin_log(exponentials<false>(t, y, n, most)));
    for (int64_t i = 0; i < n; ++i) y[i] = (t[i] - most) - lost;
  } else {
    const float by = static_cast<float>(1 / exponentials<true>(t, y, n, most));
    for (int64_t i = 0; i < n; ++i) y[i] *= by;
  }
  if (y != l.y)
    for (int64_t i = 0; i < n; ++i) l.y[i * b.axis_step[kSoftY]] = y[i];
}

// A panel of `n` <= kWide neighbouring lines; padding lanes are computed and dropped. kPlain: a whole panel, contiguous
// on both sides, unscaled and unmasked.
template <bool kPlain>
struct Panel {
  const SoftmaxBound& b;
  const Line& l;
  int64_t n;

  inline vf32 pick(const float* p, int64_t step, int k) const {
    if (kPlain || (step == 1 && (k + 1) * C <= n)) return load_f32(p + k * C);
    if (step == 0) return splat_f32(*p);
    vf32 v = {};
    for (int64_t i = k * C; i < min64(n, (k + 1) * C); ++i) v[i - k * C] = p[i * step];
    return v;
  }
  inline vf32 read(int64_t row, int k) const {
    vf32 v = pick(l.x + row * b.axis_step[kSoftX], b.inner_step[kSoftX], k);
    if (kPlain) return v;
    if (b.scale != 1) v *= static_cast<float>(b.scale);
    if (l.mask != nullptr) v += pick(l.mask + row * b.axis_step[kSoftMask], b.inner_step[kSoftMask], k);
    return v;
  }
  inline vf32 stored(int64_t row, int k) const {
    return pick(l.y + row * b.axis_step[kSoftY], b.inner_step[kSoftY], k);
  }
  inline void write(int64_t row, int k, vf32 v) const {
    float* y = l.y + row * b.axis_step[kSoftY];
    const int64_t step = b.inner_step[kSoftY];
    if (kPlain || (step == 1 && (k + 1) * C <= n)) return store_f32(y + k * C, v);
    for (int64_t i = k * C; i < min64(n, (k + 1) * C); ++i) y[i * step] = v[i - k * C];
  }
};

template <bool kLog, bool kPlain>
void softmax_panel(const SoftmaxBound& b, const Line& l, int64_t n) {
  const Panel<kPlain> p = {b, l, n};
  const int vectors = kPlain ? kVectors : static_cast<int>(ceil_div(n, C));
  vf32 most[kVectors], last[kVectors];
  double total[kWide] = {};
  for (int k = 0; k < kVectors; ++k) most[k] = splat_f32(-__builtin_inff());
  for (int64_t r = 0; r < b.length; ++r)
    for (int k = 0; k < vectors; ++k) most[k] = LooseMaxFold<float>::join(most[k], p.read(r, k));
  for (int64_t r = 0; r < b.length;) {
    vf32 sum[kVectors] = {};
    for (const int64_t until = min64(b.length, r + kDeep); r < until; ++r) {
      for (int k = 0; k < vectors; ++k) {
        const vf32 e = vexp_negative(p.read(r, k) - most[k]);
        if (!kLog) p.write(r, k, e);
        sum[k] += e;
      }
    }
    for (int k = 0; k < vectors; ++k)
      for (int i = 0; i < C; ++i) total[k * C + i] += static_cast<double>(sum[k][i]);
  }
  for (int k = 0; k < vectors; ++k) {
    for (int i = 0; i < C; ++i) {
      const double t = total[k * C + i];
      last[k][i] = static_cast<float>(kLog ? __builtin_log(t) : 1 / t);
    }
  }
  for (int64_t r = 0; r < b.length; ++r)
    for (int k = 0; k < vectors; ++k)
      p.write(r, k, kLog ? (p.read(r, k) - most[k]) - last[k] : p.stored(r, k) * last[k]);
}

template <bool kLog>
void softmax_columns(const SoftmaxBound& b, const Line& l, int64_t n) {
  const bool contiguous = b.inner_step[kSoftX] == 1 && b.inner_step[kSoftY] == 1;
  if (contiguous && n == kWide && b.scale == 1 && l.mask == nullptr)
    softmax_panel<kLog, true>(b, l, n);
  else
    softmax_panel<kLog, false>(b, l, n);
}

int32_t softmax_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                      const arn_state* state) {
  const SoftmaxBound& b = *static_cast<const SoftmaxBound*>(bound);
  const float* x = static_cast<const float*>(operand[b.slot[kSoftX]]);
  float* y = static_cast<float*>(operand[b.slot[kSoftY]]);
  const float* mask = b.slot[kSoftMask] < 0 ? nullptr : static_cast<const float*>(operand[b.slot[kSoftMask]]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    if (from == to) return ARN_OK;
    Cursor<kSoftRoles> c;
    walk_seek(b.kept, from / b.panels, &c);
    int64_t panel = from % b.panels;
    for (int64_t unit = from; unit < to; ++unit) {
      const int64_t first = panel * kWide;
      const Line l = {x + c.offset[kSoftX] + first * b.inner_step[kSoftX],
                      mask == nullptr ? nullptr : mask + c.offset[kSoftMask] + first * b.inner_step[kSoftMask],
                      y + c.offset[kSoftY] + first * b.inner_step[kSoftY]};
      if (!b.columns)
        softmax_row(b, l, static_cast<float*>(scratch));
      else if (b.log)
        softmax_columns<true>(b, l, min64(kWide, b.inner - first));
      else
        softmax_columns<false>(b, l, min64(kWide, b.inner - first));
      if (++panel < b.panels) continue;
      panel = 0;
      walk_next(b.kept, &c);
    }
    return ARN_OK;
  });
}

int32_t bind(const arn_bind_args* args, bool log, arn_bound* out, void* bound) {
  SoftmaxBound* b = static_cast<SoftmaxBound*>(bound);
  const int32_t status = plan_softmax(args, log, kWide, sizeof(float), b);
  if (status != ARN_OK) return status;
  bind_done(out, softmax_tasks, b->tasks, sizeof(SoftmaxBound), b->columns ? "columns" : "rows");
  if (!b->columns && b->axis_step[kSoftY] != 1) out->thread_scratch = b->length * static_cast<int64_t>(sizeof(float));
  return ARN_OK;
}

// A line in place.
void softmax_line(float* t, int64_t n) {
  const float by = static_cast<float>(1 / exponentials<true>(t, t, n, largest(t, n)));
  for (int64_t i = 0; i < n; ++i) t[i] *= by;
}

int32_t softmax_lines(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                      const arn_state* state) {
  const Lines& b = *static_cast<const Lines*>(bound);
  return lines_run(b, operand, begin, end, scratch, state, [&](float* t) { softmax_line(t, b.length); });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(qsoftmax) {
  using namespace ARN_NS;
  Lines* b = cleared<Lines>(bound);
  const int32_t bad = lines_bind(args, 1, 0, b);
  if (bad != ARN_OK) return bad;
  out->run = softmax_lines;
  lines_bound(*b, sizeof(Lines), "lines", out);
  return ARN_OK;
}
ARN_DEFINE_BIND(softmax_f32) { return ARN_NS::bind(args, false, out, bound); }
ARN_DEFINE_BIND(log_softmax_f32) { return ARN_NS::bind(args, true, out, bound); }
