// Copy: dst[i] = src[i] over dims, any strides on either side. Written per element size.
#include "kernels/kernel.h"

#if ARN_TIER_LEVEL <= 1  // v4 copies no faster than v3

namespace ARN_NS {
namespace {

struct CopyBound {
  int64_t dims[ARN_MAX_RANK];
  int64_t src[ARN_MAX_RANK], dst[ARN_MAX_RANK];  // strides in bytes
  int64_t bytes;                                 // of one element
  int32_t rank;
};

// Merges neighbouring dims that both sides walk as one, and drops dims of extent one.
void collapse(const arn_desc& from, const arn_desc& to, CopyBound* b) {
  b->bytes = element_bytes(from.dtype);
  int rank = 0;
  for (int i = 0; i < from.rank; ++i) {
    const int64_t n = from.dims[i];
    if (n == 1) continue;
    const int64_t s = from.strides[i] * b->bytes, d = to.strides[i] * b->bytes;
    if (rank > 0 && b->src[rank - 1] == s * n && b->dst[rank - 1] == d * n) {
      b->dims[rank - 1] *= n;
      b->src[rank - 1] = s;
      b->dst[rank - 1] = d;
    } else {
      b->dims[rank] = n;
      b->src[rank] = s;
      b->dst[rank] = d;
      ++rank;
    }
  }
  b->rank = rank;
}

template <typename T>
void copy_run(const CopyBound& b, const char* src, char* dst, int64_t n, int64_t s, int64_t d) {
  if (s == static_cast<int64_t>(sizeof(T)) && d == s) {
    __builtin_memcpy(dst, src, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < n; ++i) __builtin_memcpy(dst + i * d, src + i * s, sizeof(T));
  (void)b;
}

struct Wide {
  uint64_t half[2];
};

int32_t copy_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state*) {
  const CopyBound& b = *static_cast<const CopyBound*>(bound);
  const char* src = static_cast<const char*>(operand[0]);
  char* dst = static_cast<char*>(operand[1]);
  const int inner = b.rank - 1;
  const int64_t n = inner < 0 ? 1 : b.dims[inner];
  const int64_t s = inner < 0 ? b.bytes : b.src[inner], d = inner < 0 ? b.bytes : b.dst[inner];
  for (int64_t row = begin; row < end; ++row) {
    int64_t rest = row, from = 0, to = 0;
    for (int i = inner - 1; i >= 0; --i) {
      const int64_t at = rest % b.dims[i];
      rest /= b.dims[i];
      from += at * b.src[i];
      to += at * b.dst[i];
    }
    switch (b.bytes) {
      case 1:
        copy_run<uint8_t>(b, src + from, dst + to, n, s, d);
        break;
      case 2:
        copy_run<uint16_t>(b, src + from, dst + to, n, s, d);
        break;
      case 4:
        copy_run<uint32_t>(b, src + from, dst + to, n, s, d);
        break;
      case 8:
        copy_run<uint64_t>(b, src + from, dst + to, n, s, d);
        break;
      default:
        copy_run<Wide>(b, src + from, dst + to, n, s, d);
    }
  }
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(copy) {
  using namespace ARN_NS;
  const arn_desc &from = args->operand[0], &to = args->operand[1];
  if (from.rank != to.rank || from.dtype != to.dtype) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < from.rank; ++i)
    if (from.dims[i] != to.dims[i]) return ARN_SHAPE_MISMATCH;
  CopyBound* b = static_cast<CopyBound*>(bound);
  collapse(from, to, b);
  const int64_t total = element_count(from);
  out->run = copy_tasks;
  out->tasks = total == 0 ? 0 : (b->rank == 0 ? 1 : total / b->dims[b->rank - 1]);
  out->step_scratch = out->thread_scratch = 0;
  out->bound_bytes = sizeof(CopyBound);
  out->variant = "strided";
  return ARN_OK;
}
#endif
