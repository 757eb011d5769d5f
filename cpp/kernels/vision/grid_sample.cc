// GridSample: where each point of the grid reads, worked out once for a block of points, then all channels of it.
#include "kernels/vision/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL <= 1

namespace ARN_NS {
namespace {

constexpr int kMostDims = 3, kMostTaps = 64;
constexpr int64_t kBlock = 64;

// Strides in elements.
struct GridBound {
  Walk<2> points;  // operand 0: the grid, 1: the output
  int64_t batches, channels, count, blocks;
  int64_t size[kMostDims], x_step[kMostDims], x_batch, x_channel;
  int64_t grid_batch, grid_last, y_batch, y_channel;
  int64_t tasks;
  int32_t dims, mode, padding, align, axis_taps, taps;
};

// One neighbour along an axis.
struct Tap {
  int64_t at;
  double weight;
};

// A coordinate mirrored at both ends until it lies between them.
inline double reflect(double at, double low, double high) {
  const double span = high - low;
  if (!(span > 0)) return 0;
  const double past = __builtin_fmod(__builtin_fabs(at - low), 2 * span);
  return (past > span ? 2 * span - past : past) + low;
}

inline double inside(const GridBound& b, double at, int64_t length) {
  const double last = static_cast<double>(length - 1);
  if (b.padding == ARN_GRID_ZEROS) return at;
  if (b.padding == ARN_GRID_REFLECTION) {
    const double low = b.align ? 0 : -0.5, high = b.align ? last : last + 0.5;
    if (at < low || at > high) at = reflect(at, low, high);
  }
  return at < 0 ? 0 : at > last ? last : at;
}

inline Tap tap_at(double at, double weight, int64_t length) {
  if (!(at >= 0 && at <= static_cast<double>(length - 1))) return {0, 0};
  return {static_cast<int64_t>(at), weight};
}

// Of the four neighbours from -1 to 2 around a coordinate.
inline void cubic_weights(double part, double* w) {
  constexpr double a = -0.75;
  const auto near = [](double t) { return ((a + 2) * t - (a + 3)) * t * t + 1; };
  const auto far = [](double t) { return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a; };
  w[0] = far(part + 1);
  w[1] = near(part);
  w[2] = near(1 - part);
  w[3] = far(2 - part);
}

void axis_taps(const GridBound& b, double unit, int64_t length, Tap* taps) {
  const double n = static_cast<double>(length);
  const double at = b.align ? (unit + 1) / 2 * (n - 1) : ((unit + 1) * n - 1) / 2;
  if (b.mode == ARN_GRID_NEAREST) {
    taps[0] = tap_at(__builtin_rint(inside(b, at, length)), 1, length);
  } else if (b.mode == ARN_GRID_CUBIC) {
    const double low = __builtin_floor(at);
    double w[4];
    cubic_weights(at - low, w);
    for (int i = 0; i < 4; ++i) taps[i] = tap_at(inside(b, low + i - 1, length), w[i], length);
  } else {
    const double placed = inside(b, at, length), low = __builtin_floor(placed);
    taps[0] = tap_at(low, 1 - (placed - low), length);
    taps[1] = tap_at(low + 1, placed - low, length);
  }
}

// Offsets and weights of one point's taps, kBlock apart.
template <typename T>
void point_taps(const GridBound& b, const T* grid, int64_t* offset, T* weight) {
  Tap taps[kMostDims][4];
  for (int d = 0; d < b.dims; ++d)
    axis_taps(b, static_cast<double>(grid[(b.dims - 1 - d) * b.grid_last]), b.size[d], taps[d]);
  int64_t at[kMostTaps];
  double w[kMostTaps];
  at[0] = 0;
  w[0] = 1;
  int count = 1;
  for (int d = b.dims - 1; d >= 0; --d, count *= b.axis_taps)  // the last axis runs fastest
    for (int i = b.axis_taps - 1; i >= 0; --i)
      for (int t = 0; t < count; ++t) {
        at[i * count + t] = at[t] + taps[d][i].at * b.x_step[d];
        w[i * count + t] = w[t] * taps[d][i].weight;
      }
  for (int t = 0; t < b.taps; ++t) {
    offset[t * kBlock] = at[t];
    weight[t * kBlock] = static_cast<T>(w[t]);
  }
}

// A tap of weight zero reads nothing: what lies there may be infinite.
template <typename T>
inline T sum_taps(const T* x, const int64_t* offset, const T* weight, int taps) {
  T sum = 0;
  for (int t = 0; t < taps; ++t) {
    const T w = weight[t * kBlock];
    sum += w == 0 ? 0 : w * x[offset[t * kBlock]];
  }
  return sum;
}

// Points whose taps all count, one tap count at compile time.
template <typename T, int kTaps>
inline void whole_points(const T* x, T* y, const int64_t* offset, const T* weight, const int64_t* place, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T sum = 0;
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) sum += weight[t * kBlock + i] * x[offset[t * kBlock + i]];
    y[place[i]] = sum;
  }
}

// One point, channels side by side.
template <typename T>
inline void point_channels(const GridBound& b, const T* x, T* y, const int64_t* offset, const T* weight) {
  for (int64_t k = 0; k < b.channels; ++k) y[k] = 0;
  for (int t = 0; t < b.taps; ++t) {
    const T w = weight[t * kBlock];
    const T* from = x + offset[t * kBlock];
    if (w == 0) continue;
    for (int64_t k = 0; k < b.channels; ++k) y[k] += w * from[k];
  }
}

template <typename T>
void run_block(const GridBound& b, const T* x, const T* grid, T* y, int64_t first, int64_t n, void* scratch) {
  int64_t* offset = static_cast<int64_t*>(scratch);
  int64_t* place = offset + kMostTaps * kBlock;
  T* weight = reinterpret_cast<T*>(place + kBlock);
  Cursor<2> c;
  walk_seek(b.points, first, &c);
  // Points whose taps all count from the front, the others from the back.
  int64_t whole = 0, parts = n;
  for (int64_t i = 0; i < n; ++i) {
    point_taps(b, grid + c.offset[0], offset + whole, weight + whole);
    bool all = true;
    for (int t = 0; t < b.taps; ++t) all = all && weight[t * kBlock + whole] != 0;
    const int64_t at = all ? whole++ : --parts;
    place[at] = c.offset[1];
    for (int t = 0; !all && t < b.taps; ++t) {
      const int64_t kept = offset[t * kBlock + whole];
      const T w = weight[t * kBlock + whole];
      offset[t * kBlock + at] = kept;
      weight[t * kBlock + at] = w;
    }
    walk_next(b.points, &c);
  }
  if (b.x_channel == 1 && b.y_channel == 1 && b.channels > 1) {
    for (int64_t i = 0; i < n; ++i) point_channels(b, x, y + place[i], offset + i, weight + i);
    return;
  }
  const auto run_whole = b.taps == 4 ? whole_points<T, 4> : b.taps == 1 ? whole_points<T, 1> : whole_points<T, 8>;
  if (b.taps != 1 && b.taps != 4 && b.taps != 8) whole = 0;
  for (int64_t k = 0; k < b.channels; ++k) {
    const T* from = x + k * b.x_channel;
    T* to = y + k * b.y_channel;
    run_whole(from, to, offset, weight, place, whole);
    for (int64_t i = whole; i < n; ++i) to[place[i]] = sum_taps(from, offset + i, weight + i, b.taps);
  }
}

template <typename T>
int32_t grid_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                   const arn_state* state) {
  const GridBound& b = *static_cast<const GridBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.batches * b.blocks, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) {
      const int64_t batch = unit / b.blocks, first = unit % b.blocks * kBlock;
      run_block(b, static_cast<const T*>(operand[0]) + batch * b.x_batch,
                static_cast<const T*>(operand[1]) + batch * b.grid_batch,
                static_cast<T*>(operand[2]) + batch * b.y_batch, first, min64(kBlock, b.count - first), scratch);
    }
    return ARN_OK;
  });
}

template <typename T>
int32_t bind_grid(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_grid_sample_params*>(args->params);
  const arn_desc &x = args->operand[0], &grid = args->operand[1], &y = args->operand[2];
  const int dims = x.rank - 2;
  if (grid.rank != x.rank || y.rank != x.rank || dims < 1) return ARN_SHAPE_MISMATCH;
  if (dims > kMostDims) return ARN_UNSUPPORTED;
  if (grid.dims[dims + 1] != dims || grid.dims[0] != x.dims[0] || y.dims[0] != x.dims[0] || y.dims[1] != x.dims[1])
    return ARN_SHAPE_MISMATCH;
  GridBound* b = static_cast<GridBound*>(bound);
  b->dims = dims;
  b->mode = static_cast<int32_t>(p->mode);
  b->padding = static_cast<int32_t>(p->padding);
  b->align = p->align_corners != 0;
  b->axis_taps = b->mode == ARN_GRID_NEAREST ? 1 : b->mode == ARN_GRID_CUBIC ? 4 : 2;
  b->taps = 1;
  walk_clear(&b->points);
  for (int d = 0; d < dims; ++d) {
    if (grid.dims[1 + d] != y.dims[2 + d]) return ARN_SHAPE_MISMATCH;
    b->size[d] = x.dims[2 + d];
    b->x_step[d] = x.strides[2 + d];
    b->taps *= b->axis_taps;
    walk_push(&b->points, y.dims[2 + d], {grid.strides[1 + d], y.strides[2 + d]});
  }
  b->batches = x.dims[0];
  b->channels = x.dims[1];
  b->count = walk_count(b->points);
  b->blocks = ceil_div(b->count, kBlock);
  b->x_batch = x.strides[0];
  b->x_channel = x.strides[1];
  b->grid_batch = grid.strides[0];
  b->grid_last = grid.strides[dims + 1];
  b->y_batch = y.strides[0];
  b->y_channel = y.strides[1];
  b->tasks = tasks_for(b->batches * b->blocks, element_count(y) * b->taps * 8);
  bind_done(out, grid_tasks<T>, b->tasks, sizeof(GridBound), "blocks");
  out->thread_scratch = (kMostTaps + 1) * kBlock * 8 + kMostTaps * kBlock * static_cast<int64_t>(sizeof(T));
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(grid_sample_f32) { return ARN_NS::bind_grid<float>(args, out, bound); }
#if ARN_TIER_LEVEL == 0
ARN_DEFINE_BIND(grid_sample_f64) { return ARN_NS::bind_grid<double>(args, out, bound); }
#endif
#endif
