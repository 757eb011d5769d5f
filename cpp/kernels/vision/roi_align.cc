// RoiAlign: regions cut into bins, each the mean of bilinear samples, or the largest weighted corner of one. A bin's
// mean is a sum over its rows and columns, weighted by what all samples of the bin give to them.
#include "kernels/vision/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

constexpr int64_t kMostRatio = 1 << 12;  // samples along an axis of a bin that a model may ask for
constexpr double kMostSamples = 1e9;     // that a region may span

struct RoiBound {
  int64_t images, channels, size[2], regions, bins[2];
  int64_t x_step[4], region_step[2], batch_step, y_step[4];
  int64_t ratio, tasks;
  double scale;
  int32_t half_pixel, maximum;
};

// The samples of one axis of a region: in bin k the i-th lies at start + (k + (i + 0.5) / each) * step.
struct Axis {
  double start, step, each;
  int64_t length;
};

// Samples [first, last) of a bin that lie within a pixel of the image.
void samples_inside(const Axis& a, int64_t bin, double* first, double* last) {
  const double origin = a.start + static_cast<double>(bin) * a.step, gap = a.step / a.each;
  *first = 0;
  *last = a.each;
  if (!(gap > 0)) return;  // backwards, or all in one place: a ratio that the model asks for
  const double low = __builtin_floor((-1 - origin) / gap - 0.5) - 1;
  const double high = __builtin_ceil((static_cast<double>(a.length) - origin) / gap - 0.5) + 2;
  if (low > *first) *first = low;
  if (high < *last) *last = high;
}

// The two neighbours of a sample and the second one's weight; false where it lies beyond a pixel outside.
inline bool taps(const Axis& a, int64_t bin, double i, int64_t* low, double* part) {
  double at = (static_cast<double>(bin) + (i + 0.5) / a.each) * a.step + a.start;
  const double last = static_cast<double>(a.length - 1);
  if (!(at >= -1 && at <= static_cast<double>(a.length))) return false;
  at = at < 0 ? 0 : at > last ? last : at;
  *low = static_cast<int64_t>(at);
  *part = at - static_cast<double>(*low);
  return true;
}

template <typename T>
struct Region {
  Axis axis[2];
  const T* image;
};

// weights[bin * length + pixel], and per bin the pixels [range[2 bin], range[2 bin + 1]) that have any.
template <typename T>
void weigh(const Axis& a, int64_t bins, T* weights, int64_t* range) {
  for (int64_t bin = 0; bin < bins; ++bin, weights += a.length) {
    int64_t from = a.length, to = 0;
    double first, last;
    samples_inside(a, bin, &first, &last);
    for (int64_t k = 0; k < a.length; ++k) weights[k] = 0;
    for (double i = first; i < last; ++i) {
      int64_t low;
      double part;
      if (!taps(a, bin, i, &low, &part)) continue;
      const int64_t next = min64(low + 1, a.length - 1);
      weights[low] += static_cast<T>((1 - part) / a.each);
      weights[next] += static_cast<T>(part / a.each);
      from = min64(from, low);
      to = max64(to, next + 1);
    }
    range[2 * bin] = from;
    range[2 * bin + 1] = to;
  }
}

template <typename T>
void mean_bins(const RoiBound& b, const Region<T>& r, T* y, T* weights, int64_t* range) {
  T* columns = weights + b.bins[0] * b.size[0];
  int64_t* spans = range + 2 * b.bins[0];
  weigh(r.axis[0], b.bins[0], weights, range);
  weigh(r.axis[1], b.bins[1], columns, spans);
  for (int64_t c = 0; c < b.channels; ++c)
    for (int64_t i = 0; i < b.bins[0]; ++i)
      for (int64_t j = 0; j < b.bins[1]; ++j) {
        const T *wr = weights + i * b.size[0], *wc = columns + j * b.size[1];
        T total = 0;
        for (int64_t row = range[2 * i]; row < range[2 * i + 1]; ++row) {
          const T* x = r.image + c * b.x_step[1] + row * b.x_step[2];
          T sum = 0;
          for (int64_t k = spans[2 * j]; k < spans[2 * j + 1]; ++k) sum += wc[k] * x[k * b.x_step[3]];
          total += wr[row] * sum;
        }
        y[c * b.y_step[1] + i * b.y_step[2] + j * b.y_step[3]] = total;
      }
}

template <typename T>
T largest_corner(const RoiBound& b, const Region<T>& r, const T* x, int64_t i, int64_t j) {
  double row_first, row_last, first, last;
  samples_inside(r.axis[0], i, &row_first, &row_last);
  samples_inside(r.axis[1], j, &first, &last);
  // A sample outside counts as zero.
  bool any = row_first > 0 || row_last < r.axis[0].each || first > 0 || last < r.axis[1].each;
  T most = 0;
  for (double p = row_first; p < row_last; ++p)
    for (double q = first; q < last; ++q) {
      int64_t row, column;
      double down, right;
      const bool inside = taps(r.axis[0], i, p, &row, &down) && taps(r.axis[1], j, q, &column, &right);
      if (!inside) most = any ? (most > 0 ? most : 0) : 0;
      for (int k = 0; inside && k < 4; ++k) {
        const int64_t h = min64(row + k / 2, b.size[0] - 1), w = min64(column + k % 2, b.size[1] - 1);
        const double weight = (k / 2 != 0 ? down : 1 - down) * (k % 2 != 0 ? right : 1 - right);
        const T v = static_cast<T>(weight) * x[h * b.x_step[2] + w * b.x_step[3]];
        if ((!any && k == 0) || v > most) most = v;
        any = true;
      }
      any = true;
    }
  return most;
}

// ARN_OK with no image: the region has no samples at all, its bins are zero.
template <typename T>
int32_t place(const RoiBound& b, const T* region, Region<T>* r) {
  const T offset = b.half_pixel ? static_cast<T>(0.5) : static_cast<T>(0);
  T edge[4];
  for (int k = 0; k < 4; ++k) edge[k] = region[k * b.region_step[1]] * static_cast<T>(b.scale) - offset;
  for (int k = 0; k < 2; ++k) {
    T size = edge[3 - k] - edge[1 - k];
    if (!b.half_pixel && !(size >= 1)) size = 1;
    const T step = size / static_cast<T>(b.bins[k]);
    Axis& a = r->axis[k];
    a.start = edge[1 - k];
    a.step = step;
    a.each = b.ratio > 0 ? static_cast<double>(b.ratio) : __builtin_ceil(static_cast<double>(step));
    a.length = b.size[k];
    if (a.each >= kMostSamples) return ARN_BAD_VALUE;
    if (!(a.each >= 1) || a.length == 0) r->image = nullptr;
  }
  return ARN_OK;
}

template <typename T>
int32_t run_regions(const RoiBound& b, void* const* operand, int64_t from, int64_t to, void* scratch,
                    const arn_state* state) {
  T* weights = static_cast<T*>(scratch);
  const int64_t bytes = (b.bins[0] * b.size[0] + b.bins[1] * b.size[1]) * static_cast<int64_t>(sizeof(T));
  int64_t* range = reinterpret_cast<int64_t*>(static_cast<char*>(scratch) + round_up(bytes, ARN_ALIGN));
  for (int64_t unit = from; unit < to; ++unit) {
    if (arn_stopped(state)) return ARN_CANCELLED;
    const int64_t image = static_cast<const int64_t*>(operand[2])[unit * b.batch_step];
    if (image < 0 || image >= b.images) return ARN_INDEX_OUT_OF_RANGE;
    T* y = static_cast<T*>(operand[3]) + unit * b.y_step[0];
    Region<T> r;
    r.image = static_cast<const T*>(operand[0]) + image * b.x_step[0];
    const int32_t status = place(b, static_cast<const T*>(operand[1]) + unit * b.region_step[0], &r);
    if (status != ARN_OK) return status;
    const bool there = r.image != nullptr;
    if (there && !b.maximum) {
      mean_bins(b, r, y, weights, range);
      continue;
    }
    for (int64_t c = 0; c < b.channels; ++c)
      for (int64_t i = 0; i < b.bins[0]; ++i)
        for (int64_t j = 0; j < b.bins[1]; ++j)
          y[c * b.y_step[1] + i * b.y_step[2] + j * b.y_step[3]] =
              there ? largest_corner(b, r, r.image + c * b.x_step[1], i, j) : static_cast<T>(0);
  }
  return ARN_OK;
}

template <typename T>
int32_t roi_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                  const arn_state* state) {
  const RoiBound& b = *static_cast<const RoiBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.regions, state,
                   [&](int64_t from, int64_t to) { return run_regions<T>(b, operand, from, to, scratch, state); });
}

template <typename T>
int32_t bind_roi(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_roi_align_params*>(args->params);
  const arn_desc &x = args->operand[0], &regions = args->operand[1], &batches = args->operand[2], &y = args->operand[3];
  if (x.rank != 4 || y.rank != 4 || regions.rank != 2 || batches.rank != 1 || regions.dims[1] != 4)
    return ARN_SHAPE_MISMATCH;
  if (batches.dims[0] != regions.dims[0] || y.dims[0] != regions.dims[0] || y.dims[1] != x.dims[1])
    return ARN_SHAPE_MISMATCH;
  if (p->sampling_ratio > kMostRatio) return ARN_UNSUPPORTED;
  RoiBound* b = static_cast<RoiBound*>(bound);
  b->images = x.dims[0];
  b->channels = x.dims[1];
  b->regions = regions.dims[0];
  for (int i = 0; i < 4; ++i) {
    b->x_step[i] = x.strides[i];
    b->y_step[i] = y.strides[i];
  }
  for (int i = 0; i < 2; ++i) {
    b->size[i] = x.dims[2 + i];
    b->bins[i] = y.dims[2 + i];
    b->region_step[i] = regions.strides[i];
  }
  b->batch_step = batches.strides[0];
  b->ratio = max64(0, p->sampling_ratio);
  b->scale = p->spatial_scale;
  b->half_pixel = p->half_pixel != 0;
  b->maximum = p->maximum != 0;
  b->tasks = tasks_for(b->regions, element_count(y) * 64);
  bind_done(out, roi_tasks<T>, b->tasks, sizeof(RoiBound), b->maximum ? "max" : "mean");
  const int64_t weights = b->bins[0] * b->size[0] + b->bins[1] * b->size[1];
  out->thread_scratch = round_up(weights * static_cast<int64_t>(sizeof(T)), ARN_ALIGN) + (b->bins[0] + b->bins[1]) * 16;
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(roi_align_f32) { return ARN_NS::bind_roi<float>(args, out, bound); }
ARN_DEFINE_BIND(roi_align_f64) { return ARN_NS::bind_roi<double>(args, out, bound); }
#endif
