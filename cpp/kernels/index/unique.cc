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

// Stable, by the bytes in which keys differ, the lowest first; the result lies in the array that is returned.
Keyed* radix_sort(Keyed* from, Keyed* to, int64_t n) {
  uint64_t varying = 0;
  for (int64_t i = 1; i < n; ++i) varying |= from[i].key ^ from[0].key;
  for (int shift = 0; shift < 64; shift += 8) {
    if ((varying >> shift & 0xff) == 0) continue;
    int64_t place[256] = {};
    for (int64_t i = 0; i < n; ++i) ++place[from[i].key >> shift & 0xff];
    for (int64_t d = 0, sum = 0; d < 256; ++d) {
      const int64_t count = place[d];
      place[d] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; ++i) to[place[from[i].key >> shift & 0xff]++] = from[i];
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

// Where each group starts in `sorted`, in its order; how many there are.
int64_t list_groups(const Keyed* sorted, int64_t n, int64_t* listed) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i = group_end(sorted, i, n)) listed[count++] = i;
  return count;
}

// The same in the order in which their elements appear. place: of n elements, overwritten.
int64_t list_by_place(const Keyed* sorted, int64_t n, int64_t* listed, int64_t* place) {
  for (int64_t i = 0; i < n; ++i) place[i] = -1;
  for (int64_t i = 0; i < n; i = group_end(sorted, i, n)) place[sorted[i].at] = i;
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i)
    if (place[i] >= 0) listed[count++] = place[i];
  return count;
}

int32_t unique_task(const void* bound, void* const* operand, int64_t begin, int64_t end, void* scratch, void*,
                    const arn_state* state) {
  const UniqueBound& b = *static_cast<const UniqueBound*>(bound);
  return for_tasks(begin, end, 1, 1, state, [&](int64_t, int64_t) -> int32_t {
    Keyed *one = static_cast<Keyed*>(scratch), *two = one + b.n;
    int64_t *listed = reinterpret_cast<int64_t*>(two + b.n), *place = listed + b.n;
    const char* x = static_cast<const char*>(operand[0]);
    with_order(b.dtype, [&](auto bits, auto key) {
      for (int64_t i = 0; i < b.n; ++i) one[i] = {key(get<decltype(bits)>(x + i * b.x_step)), i};
    });
    const Keyed* sorted = radix_sort(one, two, b.n);
    const int64_t count = b.sorted != 0 ? list_groups(sorted, b.n, listed) : list_by_place(sorted, b.n, listed, place);
    char* values = static_cast<char*>(operand[1]);
    int64_t* out[3];
    for (int k = 0; k < 3; ++k) out[k] = static_cast<int64_t*>(operand[2 + k]);
    for (int64_t g = 0; g < count; ++g) {
      const int64_t from = listed[g], to = group_end(sorted, from, b.n);
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
  bind_done(out, unique_task, 1, sizeof(UniqueBound), "radix");
  out->step_scratch = 2 * b->n * static_cast<int64_t>(sizeof(Keyed) + sizeof(int64_t));
  return ARN_OK;
}
#endif
