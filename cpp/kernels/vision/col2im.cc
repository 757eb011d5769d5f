// Col2Im: every line of the image adds up what the blocks that cover it hold.
#include "kernels/vision/params.h"
#include "kernels/walk.h"

namespace ARN_NS {
namespace {

constexpr int kMostAxes = 3;

// Axes missing in front have one element. Strides in elements.
struct ColumnsBound {
  int64_t image[kMostAxes], block[kMostAxes], count[kMostAxes];  // count: of blocks along each
  int64_t step[kMostAxes], dilation[kMostAxes], pad[kMostAxes];
  int64_t y[kMostAxes], y_batch, y_channel;
  int64_t x_batch, x_row, x_column;  // rows are (channel, place in the block), columns are blocks
  int64_t channels, units, tasks;
};

// The block that reads image place `at` at its place `k`, or -1.
inline int64_t block_of(const ColumnsBound& b, int axis, int64_t at, int64_t k) {
  const int64_t from = at + b.pad[axis] - k * b.dilation[axis], step = b.step[axis];
  if (from < 0 || (step != 1 && from % step != 0)) return -1;
  const int64_t found = step == 1 ? from : from / step;
  return found < b.count[axis] ? found : -1;
}

// Adds a row of blocks to a line of the image: block i lands at first + i * step.
template <typename T>
inline void add_row(T* line, int64_t line_step, int64_t length, const T* x, int64_t x_step, int64_t count,
                    int64_t first, int64_t step) {
  const auto steps = [&](int64_t n) { return step == 1 ? n : ceil_div(n, step); };
  const int64_t from = first >= 0 ? 0 : steps(-first);
  const int64_t to = first >= length ? 0 : min64(count, steps(length - first));
  if (from >= to) return;
  T* at = line + (first + from * step) * line_step;
  const T* p = x + from * x_step;
  for (int64_t i = 0; i < to - from; ++i) at[i * step * line_step] += p[i * x_step];
}

// Lines of blocks that lie side by side in a line of the image: elements that all of them cover are added up in
// registers, `from` being where each one's element of image place 0 would be.
template <typename T>
void add_lines(T* line, const T* const* from, const int64_t* first, int64_t lines, int64_t count, int64_t length) {
  int64_t low = 0, high = length;
  for (int64_t k = 0; k < lines; ++k) {
    low = max64(low, first[k]);
    high = min64(high, first[k] + count);
  }
  const auto edge = [&](int64_t i) {
    T sum = 0;
    for (int64_t k = 0; k < lines; ++k)
      if (i >= first[k] && i < first[k] + count) sum += from[k][i - first[k]];
    line[i] += sum;
  };
  if (low >= high) low = high = length;
  for (int64_t i = 0; i < low; ++i) edge(i);
  constexpr int64_t kPart = 64;
  for (int64_t at = low; at < high; at += kPart) {
    const int64_t n = min64(kPart, high - at);
    T sum[kPart];
    for (int64_t i = 0; i < kPart; ++i) sum[i] = 0;
    for (int64_t k = 0; k < lines; ++k) {
      const T* p = from[k] + (at - first[k]);
      if (n == kPart)
        for (int64_t i = 0; i < kPart; ++i) sum[i] += p[i];
      else
        for (int64_t i = 0; i < n; ++i) sum[i] += p[i];
    }
    for (int64_t i = 0; i < n; ++i) line[at + i] += sum[i];
  }
  for (int64_t i = high; i < length; ++i) edge(i);
}

template <typename T>
void one_line(const ColumnsBound& b, const T* x, T* y, int64_t z, int64_t row) {
  constexpr int64_t kMostLines = 64;
  const bool side_by_side = b.y[2] == 1 && b.step[2] == 1 && b.x_column == 1;
  const T* line[kMostLines];
  int64_t first[kMostLines], lines = 0;
  const auto flush = [&] {
    if (lines > 0) add_lines(y, line, first, lines, b.count[2], b.image[2]);
    lines = 0;
  };
  for (int64_t i = 0; i < b.image[2]; ++i) y[i * b.y[2]] = 0;
  for (int64_t kz = 0; kz < b.block[0]; ++kz) {
    const int64_t bz = block_of(b, 0, z, kz);
    for (int64_t ky = 0; bz >= 0 && ky < b.block[1]; ++ky) {
      const int64_t by = block_of(b, 1, row, ky);
      if (by < 0) continue;
      const T* from =
          x + (kz * b.block[1] + ky) * b.block[2] * b.x_row + (bz * b.count[1] + by) * b.count[2] * b.x_column;
      for (int64_t kx = 0; kx < b.block[2]; ++kx) {
        const int64_t at = kx * b.dilation[2] - b.pad[2];
        if (!side_by_side) {
          add_row(y, b.y[2], b.image[2], from + kx * b.x_row, b.x_column, b.count[2], at, b.step[2]);
          continue;
        }
        if (lines == kMostLines) flush();
        line[lines] = from + kx * b.x_row;
        first[lines++] = at;
      }
    }
  }
  flush();
}

template <typename T>
int32_t column_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                     const arn_state* state) {
  const ColumnsBound& b = *static_cast<const ColumnsBound*>(bound);
  const T* x = static_cast<const T*>(operand[0]);
  T* y = static_cast<T*>(operand[1]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t u = from; u < to; ++u) {
      const int64_t row = u % b.image[1], z = u / b.image[1] % b.image[0], plane = u / b.image[1] / b.image[0];
      const int64_t n = plane / b.channels, c = plane % b.channels;
      one_line(b, x + n * b.x_batch + c * b.block[0] * b.block[1] * b.block[2] * b.x_row,
               y + n * b.y_batch + c * b.y_channel + z * b.y[0] + row * b.y[1], z, row);
    }
    return ARN_OK;
  });
}

template <typename T>
int32_t bind_columns(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_col2im_params*>(args->params);
  const arn_desc &x = args->operand[0], &y = args->operand[1];
  const int axes = y.rank - 2;
  if (x.rank != 3 || axes < 1 || axes > kMostAxes || x.dims[0] != y.dims[0]) return ARN_UNSUPPORTED;
  ColumnsBound* b = static_cast<ColumnsBound*>(bound);
  int64_t blocks = 1, size = 1;
  for (int i = 0; i < kMostAxes; ++i) {
    const int d = i - (kMostAxes - axes);
    b->image[i] = d < 0 ? 1 : y.dims[2 + d];
    b->y[i] = d < 0 ? 0 : y.strides[2 + d];
    b->block[i] = d < 0 ? 1 : p->block[d];
    b->step[i] = d < 0 ? 1 : p->strides[d];
    b->dilation[i] = d < 0 ? 1 : p->dilations[d];
    b->pad[i] = d < 0 ? 0 : p->pads[d];
    const int64_t after = d < 0 ? 0 : p->pads[axes + d];
    if (b->block[i] < 1 || b->step[i] < 1 || b->dilation[i] < 1) return ARN_BAD_VALUE;
    const int64_t span = b->image[i] + b->pad[i] + after - b->dilation[i] * (b->block[i] - 1) - 1;
    b->count[i] = span < 0 ? 0 : span / b->step[i] + 1;
    blocks *= b->count[i];
    size *= b->block[i];
  }
  if (x.dims[1] != y.dims[1] * size || x.dims[2] != blocks) return ARN_SHAPE_MISMATCH;
  b->channels = y.dims[1];
  b->x_batch = x.strides[0];
  b->x_row = x.strides[1];
  b->x_column = x.strides[2];
  b->y_batch = y.strides[0];
  b->y_channel = y.strides[1];
  b->units = element_count(y) == 0 ? 0 : y.dims[0] * y.dims[1] * b->image[0] * b->image[1];
  b->tasks = tasks_for(b->units, element_count(x) * static_cast<int64_t>(sizeof(T)));
  return bind_done(out, column_tasks<T>, b->tasks, sizeof(ColumnsBound), "lines");
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(col2im_f32) { return ARN_NS::bind_columns<float>(args, out, bound); }
#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(col2im_f64) { return ARN_NS::bind_columns<double>(args, out, bound); }
ARN_DEFINE_BIND(col2im_i32) { return ARN_NS::bind_columns<uint32_t>(args, out, bound); }
#endif
