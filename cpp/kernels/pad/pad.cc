// Pad by reflection, by the edge, or by wrapping round. A unit is one row of the output's innermost dim.
#include "kernels/copy/runs.h"
#include "kernels/pad/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

struct PadDim {
  int64_t in, out, begin;  // begin >= 0; x is cut already
  int64_t in_step, out_step;
};

struct PadBound {
  PadDim dim[ARN_MAX_RANK];  // by the output's strides, largest first
  int64_t base;              // of x's first element after cutting, in bytes
  int64_t units, tasks;
  int32_t rank, mode, bytes;
};

// Where element i of the output comes from: 0 <= result < n.
int64_t source_of(int32_t mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (mode == ARN_PAD_EDGE || n == 1) return i < 0 ? 0 : n - 1;
  const int64_t period = mode == ARN_PAD_WRAP ? n : 2 * (n - 1);
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - i;
}

void pad_row(const PadBound& b, const char* x, char* y, int64_t unit) {
  for (int k = b.rank - 2; k >= 0; --k) {
    const PadDim& d = b.dim[k];
    const int64_t at = unit % d.out;
    unit /= d.out;
    y += at * d.out_step;
    x += source_of(b.mode, at - d.begin, d.in) * d.in_step;
  }
  const PadDim& d = b.dim[b.rank - 1];
  const int64_t end = min64(d.out, d.begin + d.in);
  const auto single = [&](int64_t i) {
    copy_run(y + i * d.out_step, x + source_of(b.mode, i - d.begin, d.in) * d.in_step, b.bytes);
  };
  for (int64_t i = 0; i < d.begin; ++i) single(i);
  copy_strided(b.bytes, x, d.in_step, y + d.begin * d.out_step, d.out_step, end - d.begin);
  for (int64_t i = end; i < d.out; ++i) single(i);
}

int32_t pad_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                  const arn_state* state) {
  const PadBound& b = *static_cast<const PadBound*>(bound);
  const char* x = static_cast<const char*>(operand[0]) + b.base;
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) pad_row(b, x, static_cast<char*>(operand[1]), unit);
    return ARN_OK;
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(pad) {
  using namespace ARN_NS;
  const auto* p = static_cast<const arn_pad_params*>(args->params);
  const arn_desc &x = args->operand[0], &y = args->operand[1];
  if (x.rank != y.rank || x.dtype != y.dtype) return ARN_SHAPE_MISMATCH;
  PadBound* b = static_cast<PadBound*>(bound);
  b->rank = 0;
  b->base = 0;
  b->mode = static_cast<int32_t>(p->mode);
  b->bytes = static_cast<int32_t>(element_bytes(x.dtype));
  const int64_t total = element_count(y);
  for (int i = 0; i < x.rank; ++i) {
    PadDim d = {x.dims[i], y.dims[i], p->begin[i], x.strides[i] * b->bytes, y.strides[i] * b->bytes};
    if (d.begin > d.out || d.begin < -d.in) return ARN_SHAPE_MISMATCH;
    const int64_t cut = max64(0, -d.begin), after = d.out - d.in - d.begin;
    d.begin += cut;
    d.in -= cut + max64(0, -after);
    b->base += cut * d.in_step;
    if (total > 0 && d.in <= 0) return ARN_SHAPE_MISMATCH;  // nothing to pad from
    if (d.out == 1) continue;                               // x's one element
    int at = b->rank++;
    for (; at > 0 && __builtin_llabs(b->dim[at - 1].out_step) < __builtin_llabs(d.out_step); --at)
      b->dim[at] = b->dim[at - 1];
    b->dim[at] = d;
  }
  if (b->rank == 0) b->dim[b->rank++] = {1, 1, 0, b->bytes, b->bytes};
  b->units = total == 0 ? 0 : total / b->dim[b->rank - 1].out;
  b->tasks = tasks_for(b->units, total * b->bytes);
  return bind_done(out, pad_tasks, b->tasks, sizeof(PadBound), "rows");
}
#endif
