// Unique of a line: elements sorted with their places, equal ones grouped.
#include "kernels/copy/runs.h"
#include "kernels/index/params.h"
#include "kernels/order.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

struct UniqueBound {
  int64_t n, x_step, out_step[4];  // values, first, inverse, counts; x and values in bytes, the others in elements
  int32_t dtype, bytes, sorted;
};

struct Keyed {
  uint64_t key;
  int64_t at;
};

// Stable, by merging runs; the result lies in the array that is returned.
Keyed* merge_sort(Keyed* from, Keyed* to, int64_t n) {
  for (int64_t run = 1; run < n; run *= 2) {
    for (int64_t begin = 0; begin < n; begin += 2 * run) {
      const int64_t middle = min64(begin + run, n), end = min64(begin + 2 * run, n);
      int64_t a = begin, b = middle;
      for (int64_t i = begin; i < end; ++i)
        to[i] = a < middle && (b == end || from[a].key <= from[b].key) ? from[a++] : from[b++];
    }
    Keyed* const swap = from;
    from = to;
    to = swap;
  }
  return from;
}

// Elements [i, j) of a sorted array are one group.
int64_t group_end(const Keyed* sorted, int64_t i, int64_t n) {
  const uint64_t key = sorted[i].key;
  while (i < n && sorted[i].key == key) ++i;
  return i;
}

int32_t unique_task(const void* bound, void* const* operand, int64_t begin, int64_t end, void* scratch, void*,
                    const arn_state* state) {
  const UniqueBound& b = *static_cast<const UniqueBound*>(bound);
  return for_tasks(begin, end, 1, 1, state, [&](int64_t, int64_t) -> int32_t {
    Keyed *one = static_cast<Keyed*>(scratch), *two = one + b.n, *groups = two + b.n, *spare = groups + b.n;
    const char* x = static_cast<const char*>(operand[0]);
    with_order(b.dtype, [&](auto bits, auto key) {
      for (int64_t i = 0; i < b.n; ++i) one[i] = {key(get<decltype(bits)>(x + i * b.x_step)), i};
    });
    const Keyed* sorted = merge_sort(one, two, b.n);
    // A group is where it starts in `sorted`, under what it is listed by.
    int64_t count = 0;
    for (int64_t i = 0; i < b.n; i = group_end(sorted, i, b.n), ++count)
      groups[count] = {static_cast<uint64_t>(b.sorted ? count : sorted[i].at), i};
    const Keyed* listed = merge_sort(groups, spare, count);
    char* values = static_cast<char*>(operand[1]);
    int64_t* out[3];
    for (int k = 0; k < 3; ++k) out[k] = static_cast<int64_t*>(operand[2 + k]);
    for (int64_t g = 0; g < count; ++g) {
      const int64_t from = listed[g].at, to = group_end(sorted, from, b.n);
      copy_run(values + g * b.out_step[0], x + sorted[from].at * b.x_step, b.bytes);
      out[0][g * b.out_step[1]] = sorted[from].at;
      out[2][g * b.out_step[3]] = to - from;
      for (int64_t i = from; i < to; ++i) out[1][sorted[i].at * b.out_step[2]] = g;
    }
    *static_cast<int64_t*>(operand[5]) = count;
    return ARN_OK;
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(unique) {
  using namespace ARN_NS;
  const arn_desc& x = args->operand[0];
  if (x.rank != 1 || element_count(args->operand[5]) != 1 || args->operand[1].dtype != x.dtype)
    return ARN_SHAPE_MISMATCH;
  UniqueBound* b = static_cast<UniqueBound*>(bound);
  b->dtype = x.dtype;
  b->bytes = static_cast<int32_t>(element_bytes(x.dtype));
  b->n = x.dims[0];
  b->x_step = x.strides[0] * b->bytes;
  for (int k = 0; k < 4; ++k) {
    const arn_desc& to = args->operand[1 + k];
    if (to.rank != 1 || to.dims[0] != b->n) return ARN_SHAPE_MISMATCH;
    b->out_step[k] = to.strides[0] * (k == 0 ? b->bytes : 1);
  }
  b->sorted = static_cast<const arn_unique_params*>(args->params)->sorted != 0;
  bind_done(out, unique_task, 1, sizeof(UniqueBound), "merge");
  out->step_scratch = 4 * b->n * static_cast<int64_t>(sizeof(Keyed));
  return ARN_OK;
}
#endif
