// DeformColumns: what the taps of a deformable convolution read, as an image whose channels are (channel, tap), so that
// a convolution of one by one does the rest. A tap reads between four pixels, those outside counting as zero.
#include "kernels/vision/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL <= 1

namespace ARN_NS {
namespace {

constexpr int64_t kRun = 64;  // pixels of a row whose places are worked out together

struct DeformBound {
  int64_t channels, size[2], out[2], taps[2], step[2], first[2], tap_step[2];
  int64_t groups;  // of channels that share offsets
  int64_t x_step[4], offset_step[4], mask_step[4], y_step[4];
  int64_t units, tasks;
};

// Where a pixel reads: four elements and their weights; an element outside has weight zero and stands for the first.
template <typename T>
struct Places {
  int64_t at[4][kRun];
  T weight[4][kRun];
};

template <typename T>
void place(const DeformBound& b, T row, T column, T scale, int64_t i, Places<T>* p) {
  const bool inside = row > -1 && row < static_cast<T>(b.size[0]) && column > -1 && column < static_cast<T>(b.size[1]);
  if (!inside) scale = row = column = T(0);
  const T top = __builtin_floor(row), left = __builtin_floor(column), down = row - top, right = column - left;
  const int64_t r = static_cast<int64_t>(top), c = static_cast<int64_t>(left);
  for (int k = 0; k < 4; ++k) {
    const int64_t y = r + k / 2, x = c + k % 2;
    const bool there = y >= 0 && y < b.size[0] && x >= 0 && x < b.size[1];
    const T part = (k / 2 != 0 ? down : 1 - down) * (k % 2 != 0 ? right : 1 - right);
    p->at[k][i] = there ? y * b.x_step[2] + x * b.x_step[3] : 0;
    p->weight[k][i] = there ? part * scale : T(0);
  }
}

// A unit: image, group, tap, output row.
template <typename T>
void columns_of(const DeformBound& b, void* const* operand, int64_t unit, Places<T>* p) {
  const int64_t taps = b.taps[0] * b.taps[1], row = unit % b.out[0];
  unit /= b.out[0];
  const int64_t tap = unit % taps, group = unit / taps % b.groups, n = unit / taps / b.groups;
  const int64_t each = b.channels / b.groups, t[2] = {tap / b.taps[1], tap % b.taps[1]};
  const T* x = static_cast<const T*>(operand[0]) + n * b.x_step[0] + group * each * b.x_step[1];
  const int64_t number = group * taps + tap;
  const T* offset =
      static_cast<const T*>(operand[1]) + n * b.offset_step[0] + 2 * number * b.offset_step[1] + row * b.offset_step[2];
  const T* mask = static_cast<const T*>(operand[2]);
  if (mask != nullptr) mask += n * b.mask_step[0] + number * b.mask_step[1] + row * b.mask_step[2];
  T* y = static_cast<T*>(operand[3]) + n * b.y_step[0] + row * b.y_step[2];
  const T base = static_cast<T>(row * b.step[0] + b.first[0] + t[0] * b.tap_step[0]);
  for (int64_t from = 0; from < b.out[1]; from += kRun) {
    const int64_t count = min64(kRun, b.out[1] - from);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t o = from + i;
      const T left = static_cast<T>(o * b.step[1] + b.first[1] + t[1] * b.tap_step[1]);
      const T* shift = offset + o * b.offset_step[3];
      place(b, base + shift[0], left + shift[b.offset_step[1]], mask == nullptr ? T(1) : mask[o * b.mask_step[3]], i,
            p);
    }
    for (int64_t c = 0; c < each; ++c) {
      const T* plane = x + c * b.x_step[1];
      T* to = y + ((group * each + c) * taps + tap) * b.y_step[1] + from * b.y_step[3];
      for (int64_t i = 0; i < count; ++i)
        to[i * b.y_step[3]] = p->weight[0][i] * plane[p->at[0][i]] + p->weight[1][i] * plane[p->at[1][i]] +
                              p->weight[2][i] * plane[p->at[2][i]] + p->weight[3][i] * plane[p->at[3][i]];
    }
  }
}

template <typename T>
int32_t deform_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                     const arn_state* state) {
  const DeformBound& b = *static_cast<const DeformBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) columns_of<T>(b, operand, unit, static_cast<Places<T>*>(scratch));
    return ARN_OK;
  });
}

template <typename T>
int32_t bind_deform(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto& p = *static_cast<const arn_deform_params*>(args->params);
  const arn_desc &x = args->operand[0], &offset = args->operand[1], &mask = args->operand[2], &y = args->operand[3];
  const int64_t taps = p.kernel[0] * p.kernel[1];
  if (x.rank != 4 || offset.rank != 4 || y.rank != 4 || taps < 1 || p.groups < 1 || x.dims[1] % p.groups != 0)
    return ARN_SHAPE_MISMATCH;
  if (y.dims[0] != x.dims[0] || y.dims[1] != x.dims[1] * taps || offset.dims[1] != 2 * p.groups * taps)
    return ARN_SHAPE_MISMATCH;
  const bool masked = mask.dtype != ARN_NONE;
  if (masked && (mask.rank != 4 || mask.dims[1] != p.groups * taps)) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < 4; ++i)
    if (i != 1 && (offset.dims[i] != y.dims[i] || (masked && mask.dims[i] != y.dims[i]))) return ARN_SHAPE_MISMATCH;
  DeformBound* b = static_cast<DeformBound*>(bound);
  b->channels = x.dims[1];
  b->groups = p.groups;
  for (int i = 0; i < 2; ++i) {
    b->size[i] = x.dims[2 + i];
    b->out[i] = y.dims[2 + i];
    b->taps[i] = p.kernel[i];
    b->step[i] = p.strides[i];
    b->first[i] = -p.pads[i];
    b->tap_step[i] = p.dilations[i];
  }
  for (int i = 0; i < 4; ++i) {
    b->x_step[i] = x.strides[i];
    b->offset_step[i] = offset.strides[i];
    b->mask_step[i] = masked ? mask.strides[i] : 0;
    b->y_step[i] = y.strides[i];
  }
  const int64_t elements = element_count(y);
  b->units = elements == 0 ? 0 : y.dims[0] * p.groups * taps * y.dims[2];
  if (elements != 0 && element_count(x) == 0) return ARN_UNSUPPORTED;
  b->tasks = tasks_for(b->units, elements * 16);
  bind_done(out, deform_tasks<T>, b->tasks, sizeof(DeformBound), "rows");
  out->thread_scratch = static_cast<int64_t>(sizeof(Places<T>));
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(deform_columns_f32) { return ARN_NS::bind_deform<float>(args, out, bound); }
#endif
