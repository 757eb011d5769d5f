// Gather, GatherElements, GatherND: (data, indices) -> output.
#include "kernels/gather/indexed.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

// One unit: a chunk of one slice.
int32_t gather_slices(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t from,
                      int64_t to) {
  if (from == to) return ARN_OK;
  const int64_t posts = walk_count(b.post);
  Cursor<3> lead;
  Cursor<2> post;
  walk_seek(b.lead, from / (posts * b.chunks), &lead);
  walk_seek(b.post, from / b.chunks % posts, &post);
  int64_t chunk = from % b.chunks, at_post = from / b.chunks % posts, offset = 0;
  if (!resolve(b, indices + lead.offset[1], &offset)) return ARN_INDEX_OUT_OF_RANGE;
  for (int64_t unit = from; unit < to; ++unit) {
    const int64_t first = chunk * b.chunk;
    copy_strided(b.bytes, table + lead.offset[0] + offset + post.offset[0] + first * b.table_step, b.table_step,
                 out + lead.offset[2] + post.offset[1] + first * b.other_step, b.other_step,
                 min64(b.chunk, b.n - first));
    if (++chunk < b.chunks) continue;
    chunk = 0;
    walk_next(b.post, &post);
    if (++at_post < posts) continue;
    at_post = 0;
    walk_next(b.lead, &lead);
    if (unit + 1 < to && !resolve(b, indices + lead.offset[1], &offset)) return ARN_INDEX_OUT_OF_RANGE;
  }
  return ARN_OK;
}

// Slices of one element: `row` walks the innermost dim of lead.
template <typename T>
int32_t gather_row(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t n,
                   const int64_t* step) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t offset = 0;
    if (!resolve(b, indices + i * step[1], &offset)) return ARN_INDEX_OUT_OF_RANGE;
    put(out + i * step[2], get<T>(table + i * step[0] + offset));
  }
  return ARN_OK;
}

template <typename T>
int32_t gather_elements(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t from,
                        int64_t to) {
  if (from == to) return ARN_OK;
  const Walk<3>& w = b.lead;
  const int inner = w.rank - 1;
  const int64_t extent = inner < 0 ? 1 : w.dims[inner];
  int64_t step[3] = {0, 0, 0};
  for (int k = 0; k < 3 && inner >= 0; ++k) step[k] = w.step[k][inner];
  Cursor<3> c;
  for (int64_t unit = from; unit < to;) {
    walk_seek(w, unit, &c);
    const int64_t n = min64(to - unit, extent - unit % extent);
    const int32_t status = gather_row<T>(b, table + c.offset[0], indices + c.offset[1], out + c.offset[2], n, step);
    if (status != ARN_OK) return status;
    unit += n;
  }
  return ARN_OK;
}

int32_t gather_range(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t from,
                     int64_t to) {
  if (b.post.rank > 0 || b.n != 1) return gather_slices(b, table, indices, out, from, to);
  switch (b.bytes) {
    case 1:
      return gather_elements<uint8_t>(b, table, indices, out, from, to);
    case 2:
      return gather_elements<uint16_t>(b, table, indices, out, from, to);
    case 4:
      return gather_elements<uint32_t>(b, table, indices, out, from, to);
    case 8:
      return gather_elements<uint64_t>(b, table, indices, out, from, to);
    default:
      return gather_elements<Block16>(b, table, indices, out, from, to);
  }
}

int32_t gather_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                     const arn_state* state) {
  const IndexedBound& b = *static_cast<const IndexedBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    return gather_range(b, static_cast<const char*>(operand[0]), static_cast<const char*>(operand[1]),
                        static_cast<char*>(operand[2]), from, to);
  });
}

int32_t finish(const arn_desc& out_desc, arn_bound* out, IndexedBound* b) {
  end_plan(b);
  b->units = element_count(out_desc) == 0 ? 0 : walk_count(b->lead) * walk_count(b->post) * b->chunks;
  b->tasks = tasks_for(b->units, moved_bytes(*b));
  const bool slices = b->post.rank > 0 || b->n != 1;
  return bind_done(out, gather_tasks, b->tasks, sizeof(IndexedBound), slices ? "slices" : "elements");
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(gather) {
  using namespace ARN_NS;
  const arn_desc &data = args->operand[0], &indices = args->operand[1], &to = args->operand[2];
  const int64_t axis = static_cast<const arn_gather_params*>(args->params)->axis;
  if (axis < 0 || axis >= data.rank || to.rank != data.rank - 1 + indices.rank || to.dtype != data.dtype)
    return ARN_SHAPE_MISMATCH;
  IndexedBound* b = static_cast<IndexedBound*>(bound);
  begin_plan(data, indices, b);
  for (int i = 0; i < axis; ++i) {
    if (to.dims[i] != data.dims[i]) return ARN_SHAPE_MISMATCH;
    walk_push(&b->lead, data.dims[i], {data.strides[i] * b->bytes, 0, to.strides[i] * b->bytes});
  }
  for (int i = 0; i < indices.rank; ++i) {
    const int o = static_cast<int>(axis) + i;
    if (to.dims[o] != indices.dims[i]) return ARN_SHAPE_MISMATCH;
    const int64_t index_step = indices.strides[i] * element_bytes(indices.dtype);
    walk_push(&b->lead, indices.dims[i], {0, index_step, to.strides[o] * b->bytes});
  }
  for (int i = static_cast<int>(axis) + 1; i < data.rank; ++i)
    if (!add_post(data, i, to, i - 1 + indices.rank, b)) return ARN_SHAPE_MISMATCH;
  add_component(data, static_cast<int>(axis), b);
  return finish(to, out, b);
}

ARN_DEFINE_BIND(gather_elements) {
  using namespace ARN_NS;
  const arn_desc &data = args->operand[0], &indices = args->operand[1], &to = args->operand[2];
  const int64_t axis = static_cast<const arn_gather_params*>(args->params)->axis;
  if (axis < 0 || axis >= data.rank || indices.rank != data.rank || !same_dims(indices, to) || to.dtype != data.dtype)
    return ARN_SHAPE_MISMATCH;
  IndexedBound* b = static_cast<IndexedBound*>(bound);
  begin_plan(data, indices, b);
  for (int i = 0; i < data.rank; ++i) {
    if (i != axis && indices.dims[i] > data.dims[i]) return ARN_SHAPE_MISMATCH;
    walk_push(&b->lead, to.dims[i],
              {i == axis ? 0 : data.strides[i] * b->bytes, indices.strides[i] * element_bytes(indices.dtype),
               to.strides[i] * b->bytes});
  }
  add_component(data, static_cast<int>(axis), b);
  return finish(to, out, b);
}

ARN_DEFINE_BIND(gather_nd) {
  using namespace ARN_NS;
  const arn_desc &data = args->operand[0], &indices = args->operand[1], &to = args->operand[2];
  const int64_t batch = static_cast<const arn_gather_nd_params*>(args->params)->batch_dims;
  if (indices.rank < 1 || batch < 0 || batch >= indices.rank || to.dtype != data.dtype) return ARN_SHAPE_MISMATCH;
  const int lead = indices.rank - 1;
  const int64_t depth = indices.dims[lead];
  if (depth < 0 || batch + depth > data.rank || to.rank != lead + data.rank - batch - depth) return ARN_SHAPE_MISMATCH;
  IndexedBound* b = static_cast<IndexedBound*>(bound);
  begin_plan(data, indices, b);
  for (int i = 0; i < lead; ++i) {
    if (to.dims[i] != indices.dims[i] || (i < batch && data.dims[i] != to.dims[i])) return ARN_SHAPE_MISMATCH;
    walk_push(&b->lead, to.dims[i],
              {i < batch ? data.strides[i] * b->bytes : 0, indices.strides[i] * element_bytes(indices.dtype),
               to.strides[i] * b->bytes});
  }
  b->component = indices.strides[lead] * element_bytes(indices.dtype);
  const int first = static_cast<int>(batch + depth);
  for (int i = static_cast<int>(batch); i < first; ++i) add_component(data, i, b);
  for (int i = first; i < data.rank; ++i)
    if (!add_post(data, i, to, lead + i - first, b)) return ARN_SHAPE_MISMATCH;
  return finish(to, out, b);
}
#endif
