// Softmax and LogSoftmax of f64, one line after the other, whatever its stride.
#include "kernels/reduce/fold.h"
#include "kernels/softmax/plan.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

void softmax_line(const SoftmaxBound& b, const double* x, const double* mask, double* y) {
  const int64_t sx = b.axis_step[kSoftX], sy = b.axis_step[kSoftY], sm = b.axis_step[kSoftMask];
  double most = -__builtin_inf();
  for (int64_t i = 0; i < b.length; ++i) {
    const double t = x[i * sx] * b.scale + (mask == nullptr ? 0 : mask[i * sm]);
    most = MaxFold<double>::merge(most, t);
    y[i * sy] = t;
  }
  double total = 0, part = 0;
  for (int64_t i = 0; i < b.length; ++i) {
    const double e = __builtin_exp(y[i * sy] - most);
    if (!b.log) y[i * sy] = e;
    part += e;
    if (i % kChunk != kChunk - 1) continue;
    total += part;
    part = 0;
  }
  total += part;
  const double lost = __builtin_log(total), by = 1 / total;
  for (int64_t i = 0; i < b.length; ++i) y[i * sy] = b.log ? (y[i * sy] - most) - lost : y[i * sy] * by;
}

int32_t softmax_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                      const arn_state* state) {
  const SoftmaxBound& b = *static_cast<const SoftmaxBound*>(bound);
  const double* x = static_cast<const double*>(operand[b.slot[kSoftX]]);
  double* y = static_cast<double*>(operand[b.slot[kSoftY]]);
  const double* mask = b.slot[kSoftMask] < 0 ? nullptr : static_cast<const double*>(operand[b.slot[kSoftMask]]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    Cursor<kSoftRoles> c;
    walk_seek(b.kept, from, &c);
    for (int64_t unit = from; unit < to; ++unit) {
      softmax_line(b, x + c.offset[kSoftX], mask == nullptr ? nullptr : mask + c.offset[kSoftMask],
                   y + c.offset[kSoftY]);
      walk_next(b.kept, &c);
    }
    return ARN_OK;
  });
}

int32_t bind_f64(const arn_bind_args* args, bool log, arn_bound* out, void* bound) {
  SoftmaxBound* b = static_cast<SoftmaxBound*>(bound);
  const int32_t status = plan_softmax(args, log, 1, sizeof(double), b);
  return status != ARN_OK ? status : bind_done(out, softmax_tasks, b->tasks, sizeof(SoftmaxBound), "lines");
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(softmax_f64) { return ARN_NS::bind_f64(args, false, out, bound); }
ARN_DEFINE_BIND(log_softmax_f64) { return ARN_NS::bind_f64(args, true, out, bound); }
#endif
