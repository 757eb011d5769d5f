// TensorScatter (update, starts? -> output): the output holds the cache already; update, the same but for the length of
// `axis`, is written from starts[sample] on along it.
#include "kernels/copy/runs.h"
#include "kernels/gather/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

struct CacheBound {
  Walk<2> slices;  // of a sample without the axis; operand 0: update, 1: cache; without its innermost dim
  int64_t samples, update_sample, cache_sample, start_step;
  int64_t count, length, update_step, cache_step;  // along the axis
  int64_t n, from_step, to_step;                   // the innermost dim of slices
  int64_t units, tasks;
  int32_t bytes, circular;
};

// A unit is one slice of one sample at every position along the axis. Every start is looked at before its slices are.
int32_t write_slices(const CacheBound& b, const char* update, const int64_t* starts, char* cache, int64_t from,
                     int64_t to) {
  const int64_t slices = walk_count(b.slices);
  for (int64_t unit = from; unit < to; ++unit) {
    const int64_t sample = unit / slices;
    int64_t at = starts == nullptr ? 0 : starts[sample * b.start_step];
    if (b.circular != 0) {
      at %= b.length;
      at = at < 0 ? at + b.length : at;
    } else if (at < 0 || at > b.length - b.count) {
      return ARN_INDEX_OUT_OF_RANGE;
    }
    Cursor<2> c;
    walk_seek(b.slices, unit % slices, &c);
    const char* source = update + sample * b.update_sample + c.offset[0];
    char* target = cache + sample * b.cache_sample + c.offset[1];
    for (int64_t i = 0; i < b.count; ++i) {
      copy_strided(b.bytes, source + i * b.update_step, b.from_step, target + at * b.cache_step, b.to_step, b.n);
      if (++at == b.length) at = 0;
    }
  }
  return ARN_OK;
}

int32_t cache_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                    const arn_state* state) {
  const CacheBound& b = *static_cast<const CacheBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    return write_slices(b, static_cast<const char*>(operand[0]), static_cast<const int64_t*>(operand[1]),
                        static_cast<char*>(operand[2]), from, to);
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(tensor_scatter) {
  using namespace ARN_NS;
  const arn_desc &update = args->operand[0], &starts = args->operand[1], &cache = args->operand[2];
  const auto* p = static_cast<const arn_tensor_scatter_params*>(args->params);
  if (p->axis < 1 || p->axis >= cache.rank || update.rank != cache.rank || update.dtype != cache.dtype)
    return ARN_SHAPE_MISMATCH;
  if (starts.dtype != ARN_NONE && (starts.rank != 1 || starts.dims[0] != cache.dims[0])) return ARN_SHAPE_MISMATCH;
  CacheBound* b = static_cast<CacheBound*>(bound);
  b->bytes = static_cast<int32_t>(element_bytes(cache.dtype));
  b->circular = p->circular != 0;
  b->samples = cache.dims[0];
  b->update_sample = update.strides[0] * b->bytes;
  b->cache_sample = cache.strides[0] * b->bytes;
  b->start_step = starts.dtype == ARN_NONE ? 0 : starts.strides[0];
  b->count = update.dims[p->axis];
  b->length = cache.dims[p->axis];
  b->update_step = update.strides[p->axis] * b->bytes;
  b->cache_step = cache.strides[p->axis] * b->bytes;
  walk_clear(&b->slices);
  for (int i = 0; i < cache.rank; ++i) {
    if (i == p->axis) continue;
    if (update.dims[i] != cache.dims[i]) return ARN_SHAPE_MISMATCH;
    if (i > 0) walk_push(&b->slices, cache.dims[i], {update.strides[i] * b->bytes, cache.strides[i] * b->bytes});
  }
  walk_sort(&b->slices, 1);
  b->n = 1;
  b->from_step = b->to_step = b->bytes;
  if (b->slices.rank > 0) {
    const int last = b->slices.rank - 1;
    b->n = b->slices.dims[last];
    b->from_step = b->slices.step[0][last];
    b->to_step = b->slices.step[1][last];
    walk_remove(&b->slices, last);
  }
  b->units = element_count(update) == 0 ? 0 : b->samples * walk_count(b->slices);
  if (b->units > 0 && b->length == 0) return ARN_SHAPE_MISMATCH;
  b->tasks = tasks_for(b->units, element_count(update) * b->bytes);
  return bind_done(out, cache_tasks, b->tasks, sizeof(CacheBound), "slices");
}
#endif
