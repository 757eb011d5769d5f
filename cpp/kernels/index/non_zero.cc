// NonZero in two steps: the count, which sizes the output, and the indices.
#include "kernels/copy/runs.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

// Strides in bytes. Dims are as given: their indices are the result.
struct NonZeroBound {
  int64_t dims[ARN_MAX_RANK], step[ARN_MAX_RANK];
  int64_t count, out_step[2];  // elements of the output's second dim; strides in elements
  uint64_t mask;               // the bits of an element that make it other than zero
  int32_t rank, bytes;
};

// Sign bits do not count: -0 is zero.
bool mask_of(int32_t dtype, uint64_t* mask) {
  switch (dtype) {
    case ARN_F32:
      *mask = 0x7fffffffu;
      return true;
    case ARN_F64:
      *mask = ~uint64_t{0} >> 1;
      return true;
    case ARN_C64:
      *mask = 0x7fffffff7fffffffu;
      return true;
    case ARN_F16:
    case ARN_BF16:
      *mask = 0x7fff;
      return true;
    case ARN_F8E4M3FN:
    case ARN_F8E5M2:
      *mask = 0x7f;
      return true;
    case ARN_F4E2M1:
      *mask = 0x7;
      return true;
    case ARN_F6E2M3:
    case ARN_F6E3M2:
      *mask = 0x1f;
      return true;
    case ARN_C128:
    case ARN_F8E8M0:
      return false;
    default:  // integers, and the 8-bit floats whose 0x80 is NaN
      *mask = ~uint64_t{0};
      return true;
  }
}

template <typename T>
inline bool is_set(const char* p, uint64_t mask) {
  return (get<T>(p) & static_cast<T>(mask)) != 0;
}

// Calls f(row, inner index) for every element that is set, in row-major order, while f returns true.
template <typename T, typename F>
void each_set(const NonZeroBound& b, const char* x, F&& f) {
  int64_t at[ARN_MAX_RANK] = {};
  const int inner = b.rank - 1;
  const int64_t n = inner < 0 ? 1 : b.dims[inner], step = inner < 0 ? 0 : b.step[inner];
  for (int i = 0; i < b.rank; ++i)
    if (b.dims[i] == 0) return;
  for (;;) {
    const char* p = x;
    for (int i = 0; i < inner; ++i) p += at[i] * b.step[i];
    for (int64_t i = 0; i < n; ++i)
      if (is_set<T>(p + i * step, b.mask) && !f(at, i)) return;
    int i = inner - 1;
    for (; i >= 0 && ++at[i] == b.dims[i]; --i) at[i] = 0;
    if (i < 0) return;
  }
}

template <typename T>
int64_t count_set(const NonZeroBound& b, const char* x) {
  int64_t count = 0;
  each_set<T>(b, x, [&](const int64_t*, int64_t) {
    ++count;
    return true;
  });
  return count;
}

template <typename T>
int32_t fill_set(const NonZeroBound& b, const char* x, int64_t* out) {
  int64_t count = 0;
  each_set<T>(b, x, [&](const int64_t* at, int64_t i) {
    if (count == b.count) {
      ++count;
      return false;
    }
    for (int d = 0; d < b.rank; ++d) out[d * b.out_step[0] + count * b.out_step[1]] = d == b.rank - 1 ? i : at[d];
    ++count;
    return true;
  });
  return count == b.count ? ARN_OK : ARN_BAD_VALUE;
}

int32_t count_task(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state* state) {
  const NonZeroBound& b = *static_cast<const NonZeroBound*>(bound);
  return for_tasks(begin, end, 1, 1, state, [&](int64_t, int64_t) -> int32_t {
    const char* x = static_cast<const char*>(operand[0]);
    *static_cast<int64_t*>(operand[1]) = b.bytes == 1   ? count_set<uint8_t>(b, x)
                                         : b.bytes == 2 ? count_set<uint16_t>(b, x)
                                         : b.bytes == 4 ? count_set<uint32_t>(b, x)
                                                        : count_set<uint64_t>(b, x);
    return ARN_OK;
  });
}

int32_t fill_task(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                  const arn_state* state) {
  const NonZeroBound& b = *static_cast<const NonZeroBound*>(bound);
  return for_tasks(begin, end, 1, 1, state, [&](int64_t, int64_t) -> int32_t {
    const char* x = static_cast<const char*>(operand[0]);
    int64_t* out = static_cast<int64_t*>(operand[1]);
    return b.bytes == 1   ? fill_set<uint8_t>(b, x, out)
           : b.bytes == 2 ? fill_set<uint16_t>(b, x, out)
           : b.bytes == 4 ? fill_set<uint32_t>(b, x, out)
                          : fill_set<uint64_t>(b, x, out);
  });
}

bool plan(const arn_desc& x, NonZeroBound* b) {
  b->rank = x.rank;
  b->bytes = static_cast<int32_t>(element_bytes(x.dtype));
  for (int i = 0; i < x.rank; ++i) {
    b->dims[i] = x.dims[i];
    b->step[i] = x.strides[i] * b->bytes;
  }
  return mask_of(x.dtype, &b->mask);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(non_zero_count) {
  using namespace ARN_NS;
  if (element_count(args->operand[1]) != 1) return ARN_SHAPE_MISMATCH;
  NonZeroBound* b = static_cast<NonZeroBound*>(bound);
  if (!plan(args->operand[0], b)) return ARN_UNSUPPORTED;
  return bind_done(out, count_task, 1, sizeof(NonZeroBound), "count");
}

ARN_DEFINE_BIND(non_zero_fill) {
  using namespace ARN_NS;
  const arn_desc &x = args->operand[0], &to = args->operand[1];
  if (to.rank != 2 || to.dims[0] != x.rank) return ARN_SHAPE_MISMATCH;
  NonZeroBound* b = static_cast<NonZeroBound*>(bound);
  if (!plan(x, b)) return ARN_UNSUPPORTED;
  b->count = to.dims[1];
  b->out_step[0] = to.strides[0];
  b->out_step[1] = to.strides[1];
  return bind_done(out, fill_task, 1, sizeof(NonZeroBound), "fill");
}
#endif
