// MaxRoiPool: regions (batch, x1, y1, x2, y2), corners included, cut into bins that overlap where the region does not
// divide; the largest element of each, 0 where it holds none.
#include "kernels/vision/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL <= 1

namespace ARN_NS {
namespace {

struct MaxRoiBound {
  int64_t images, channels, size[2], regions, bins[2];
  int64_t x_step[4], region_step[2], y_step[4], tasks;
  double scale;
};

struct BinRange {
  int64_t from, to;
};

// A corner in pixels, within so much that sums of a few of them stay exact. Not a number: 0.
template <typename T>
int64_t pixel_of(T corner, double scale) {
  const T at = __builtin_floor(corner * static_cast<T>(scale) + static_cast<T>(0.5));
  constexpr double kFar = 1 << 30;
  const double wide = static_cast<double>(at);
  return wide > kFar    ? static_cast<int64_t>(kFar)
         : wide > -kFar ? static_cast<int64_t>(wide)
         : wide == wide ? -static_cast<int64_t>(kFar)
                        : 0;
}

BinRange bin_range(int64_t first, int64_t last, int64_t bin, int64_t bins, int64_t size) {
  const double extent = static_cast<double>(max64(last - first + 1, 1)) / static_cast<double>(bins);
  const int64_t from = static_cast<int64_t>(__builtin_floor(static_cast<double>(bin) * extent)) + first;
  const int64_t to = static_cast<int64_t>(__builtin_ceil(static_cast<double>(bin + 1) * extent)) + first;
  return {min64(max64(from, 0), size), min64(max64(to, 0), size)};
}

template <typename T>
T largest(const T* x, const int64_t* step, BinRange rows, BinRange columns) {
  if (rows.from >= rows.to || columns.from >= columns.to) return T(0);
  T best = x[rows.from * step[0] + columns.from * step[1]];
  for (int64_t r = rows.from; r < rows.to; ++r)
    for (int64_t c = columns.from; c < columns.to; ++c) {
      const T v = x[r * step[0] + c * step[1]];
      best = (v > best) | (v != v) ? v : best;
    }
  return best;
}

template <typename T>
int32_t pool_regions(const MaxRoiBound& b, void* const* operand, int64_t from, int64_t to) {
  for (int64_t unit = from; unit < to; ++unit) {
    const T* region = static_cast<const T*>(operand[1]) + unit * b.region_step[0];
    const double image = static_cast<double>(region[0]);
    if (!(image >= 0 && image < static_cast<double>(b.images))) return ARN_INDEX_OUT_OF_RANGE;
    const T* x = static_cast<const T*>(operand[0]) + static_cast<int64_t>(image) * b.x_step[0];
    T* y = static_cast<T*>(operand[2]) + unit * b.y_step[0];
    int64_t corner[4];
    for (int k = 0; k < 4; ++k) corner[k] = pixel_of(region[(k + 1) * b.region_step[1]], b.scale);
    for (int64_t i = 0; i < b.bins[0]; ++i) {
      const BinRange rows = bin_range(corner[1], corner[3], i, b.bins[0], b.size[0]);
      for (int64_t j = 0; j < b.bins[1]; ++j) {
        const BinRange columns = bin_range(corner[0], corner[2], j, b.bins[1], b.size[1]);
        for (int64_t c = 0; c < b.channels; ++c)
          y[c * b.y_step[1] + i * b.y_step[2] + j * b.y_step[3]] =
              largest(x + c * b.x_step[1], b.x_step + 2, rows, columns);
      }
    }
  }
  return ARN_OK;
}

template <typename T>
int32_t max_roi_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                      const arn_state* state) {
  const MaxRoiBound& b = *static_cast<const MaxRoiBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.regions, state,
                   [&](int64_t from, int64_t to) { return pool_regions<T>(b, operand, from, to); });
}

template <typename T>
int32_t bind_max_roi(const arn_bind_args* args, arn_bound* out, void* bound) {
  const arn_desc &x = args->operand[0], &regions = args->operand[1], &y = args->operand[2];
  if (x.rank != 4 || y.rank != 4 || regions.rank != 2 || regions.dims[1] != 5 || y.dims[0] != regions.dims[0] ||
      y.dims[1] != x.dims[1])
    return ARN_SHAPE_MISMATCH;
  MaxRoiBound* b = static_cast<MaxRoiBound*>(bound);
  b->images = x.dims[0];
  b->channels = x.dims[1];
  b->regions = regions.dims[0];
  b->scale = static_cast<const arn_max_roi_params*>(args->params)->spatial_scale;
  for (int i = 0; i < 4; ++i) {
    b->x_step[i] = x.strides[i];
    b->y_step[i] = y.strides[i];
  }
  for (int i = 0; i < 2; ++i) {
    b->size[i] = x.dims[2 + i];
    b->bins[i] = y.dims[2 + i];
    b->region_step[i] = regions.strides[i];
  }
  b->tasks = tasks_for(b->regions, b->regions * b->channels * (b->size[0] * b->size[1] + 16));
  return bind_done(out, max_roi_tasks<T>, b->tasks, sizeof(MaxRoiBound), "regions");
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(max_roi_pool_f32) { return ARN_NS::bind_max_roi<float>(args, out, bound); }
ARN_DEFINE_BIND(max_roi_pool_f64) { return ARN_NS::bind_max_roi<double>(args, out, bound); }
#endif
