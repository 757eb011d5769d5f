// Nearest resize of any type: per resized dim a table of input offsets, then rows of copies.
#include "kernels/copy/runs.h"
#include "kernels/resize/plan.h"
#include "kernels/tile/convert.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

int64_t nearest_index(const ResizeBound& b, double x, int64_t extent) {
  const double low = __builtin_floor(x), part = x - low;
  bool up = part > 0.5;
  if (b.rounding == ARN_RESIZE_PREFER_CEIL) up = part >= 0.5;
  if (b.rounding == ARN_RESIZE_FLOOR) up = false;
  if (b.rounding == ARN_RESIZE_CEIL) up = part > 0;
  return resize_clamp(resize_index(low, extent) + up, extent);
}

void fill_tables(const ResizeBound& b, int64_t* tables) {
  for (int k = 0; k < b.rank; ++k) {
    const ResizeDim& d = b.dim[k];
    for (int64_t y = 0; d.taps > 0 && y < d.out; ++y) {
      double x;
      tables[d.table + y] = resize_source(b, d, y, &x) ? nearest_index(b, x, d.in) * d.in_step : kOutside;
    }
  }
}

template <typename T>
void gather_row(const char* src, const int64_t* table, char* dst, int64_t step, int64_t n, const void* outside) {
  T fill;
  __builtin_memcpy(&fill, outside, sizeof(T));
  for (int64_t i = 0; i < n; ++i) put(dst + i * step, table[i] == kOutside ? fill : get<T>(src + table[i]));
}

void nearest_row(const ResizeBound& b, const int64_t* tables, const char* x, char* y, int64_t unit) {
  const ResizeDim& last = b.dim[b.rank - 1];
  bool outside = false;
  for (int k = b.rank - 2; k >= 0; --k) {
    const ResizeDim& d = b.dim[k];
    const int64_t at = unit % d.out;
    unit /= d.out;
    y += at * d.out_step;
    const int64_t offset = d.taps > 0 ? tables[d.table + at] : at * d.in_step;
    outside |= offset == kOutside;
    if (!outside) x += offset;
  }
  if (outside) return copy_each(b.bytes, reinterpret_cast<const char*>(b.outside), 0, y, last.out_step, last.out);
  if (last.taps == 0) return copy_strided(b.bytes, x, last.in_step, y, last.out_step, last.out);
  const int64_t* table = tables + last.table;
  return with_word_of(
      b.bytes, [&](auto word) { return gather_row<decltype(word)>(x, table, y, last.out_step, last.out, b.outside); });
}

int32_t nearest_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                      const arn_state* state) {
  ResizeBound b = *static_cast<const ResizeBound*>(bound);
  if (!resize_settle(&b, static_cast<const float*>(operand[1]))) return ARN_BAD_VALUE;
  int64_t* tables = static_cast<int64_t*>(scratch);
  fill_tables(b, tables);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit)
      nearest_row(b, tables, static_cast<const char*>(operand[0]), static_cast<char*>(operand[b.out_operand]), unit);
    return ARN_OK;
  });
}

// The extrapolation value as an element; integers towards zero, what does not fit as their nearest limit.
bool element_of(int32_t dtype, double value, void* out) {
  const float single = static_cast<float>(value);
  const double bounded = value != value ? 0 : __builtin_fmax(-9.2e18, __builtin_fmin(9.2e18, value));
  const int64_t whole = static_cast<int64_t>(bounded);
  switch (dtype) {
    case ARN_F32:
      __builtin_memcpy(out, &single, sizeof(single));
      return true;
    case ARN_F64:
      __builtin_memcpy(out, &value, sizeof(value));
      return true;
    case ARN_F16:
    case ARN_BF16:
      narrow(dtype, 1, out, &single);
      return true;
    case ARN_U8:
    case ARN_I8:
    case ARN_BOOL:
    case ARN_U16:
    case ARN_I16:
    case ARN_U32:
    case ARN_I32:
    case ARN_U64:
    case ARN_I64:
      __builtin_memcpy(out, &whole, static_cast<size_t>(element_bytes(dtype)));
      return true;
    default:
      return value == 0;
  }
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(resize_nearest) {
  using namespace ARN_NS;
  if (static_cast<const arn_resize_params*>(args->params)->mode != ARN_RESIZE_NEAREST) return ARN_UNSUPPORTED;
  ResizeBound* b = static_cast<ResizeBound*>(bound);
  const int32_t status = plan_resize(args, element_bytes(args->operand[0].dtype), b);
  if (status != ARN_OK) return status;
  b->outside[0] = b->outside[1] = 0;
  if (!element_of(args->operand[0].dtype, b->extrapolation, b->outside)) return ARN_UNSUPPORTED;
  bind_done(out, nearest_tasks, b->tasks, sizeof(ResizeBound), "nearest");
  out->thread_scratch = b->tables * static_cast<int64_t>(sizeof(int64_t));
  return ARN_OK;
}
#endif
