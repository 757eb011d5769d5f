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

// Slices of one element: a row is the innermost dim of lead, its indices I. Steps in bytes.
template <typename T, typename I>
int32_t gather_row(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t n,
                   const int64_t* step) {
  const int64_t limit = b.limit[0], along = b.step[0];
  const auto row = [&](int64_t table_step, int64_t index_step, int64_t out_step) -> int32_t {
    for (int64_t i = 0; i < n; ++i) {
      int64_t at = get<I>(indices + i * index_step);
      at += at < 0 ? limit : 0;
      if (static_cast<uint64_t>(at) >= static_cast<uint64_t>(limit)) return ARN_INDEX_OUT_OF_RANGE;
      put(out + i * out_step, get<T>(table + i * table_step + at * along));
    }
    return ARN_OK;
  };
  constexpr int64_t kIndex = sizeof(I), kElement = sizeof(T);
  if (step[1] == kIndex && step[2] == kElement) return row(step[0], kIndex, kElement);
  return row(step[0], step[1], step[2]);
}

// Rows of a few elements that all have the same indices: these are looked at once.
constexpr int64_t kFewIndices = 64;

template <typename T, typename I>
int32_t gather_columns(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t from,
                       int64_t to) {
  const Walk<3>& w = b.lead;
  const int64_t extent = w.dims[1], limit = b.limit[0];
  int64_t offset[kFewIndices];
  for (int64_t i = 0; i < extent; ++i) {
    int64_t at = get<I>(indices + i * w.step[1][1]);
    at += at < 0 ? limit : 0;
    if (static_cast<uint64_t>(at) >= static_cast<uint64_t>(limit)) return ARN_INDEX_OUT_OF_RANGE;
    offset[i] = at * b.step[0] + i * w.step[0][1];
  }
  const int64_t step = w.step[2][1], last_row = (to - 1) / extent;
  for (int64_t row = from / extent; row <= last_row; ++row) {
    const int64_t first = max64(0, from - row * extent), last = min64(extent, to - row * extent);
    const char* x = table + row * w.step[0][0];
    char* y = out + row * w.step[2][0];
    for (int64_t i = first; i < last; ++i) put(y + i * step, get<T>(x + offset[i]));
  }
  return ARN_OK;
}

template <typename T, typename I>
int32_t gather_single(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t from,
                      int64_t to) {
  if (from == to) return ARN_OK;
  const Walk<3>& w = b.lead;
  const int inner = w.rank - 1;
  const int64_t extent = inner < 0 ? 1 : w.dims[inner];
  if (b.columns != 0) return gather_columns<T, I>(b, table, indices, out, from, to);
  int64_t step[3] = {0, 0, 0};
  for (int k = 0; k < 3 && inner >= 0; ++k) step[k] = w.step[k][inner];
  Walk<3> rows = w;
  if (inner >= 0) walk_remove(&rows, inner);
  Cursor<3> c;
  walk_seek(w, from, &c);
  for (int64_t unit = from; unit < to;) {
    const int64_t n = min64(to - unit, extent - unit % extent);
    const int32_t status = gather_row<T, I>(b, table + c.offset[0], indices + c.offset[1], out + c.offset[2], n, step);
    if (status != ARN_OK) return status;
    for (int k = 0; k < 3 && inner >= 0; ++k) c.offset[k] -= c.at[inner] * step[k];
    if (inner >= 0) c.at[inner] = 0;
    walk_next(rows, &c);
    unit += n;
  }
  return ARN_OK;
}

template <typename T>
int32_t gather_elements(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t from,
                        int64_t to) {
  if (b.wide_index != 0) return gather_single<T, int64_t>(b, table, indices, out, from, to);
  return gather_single<T, int32_t>(b, table, indices, out, from, to);
}

bool in_slices(const IndexedBound& b) {
  return b.post.rank > 0 || b.n != 1 || b.depth != 1 || !ARN_CHOICE("gather/elements", true);
}

int32_t gather_range(const IndexedBound& b, const char* table, const char* indices, char* out, int64_t from,
                     int64_t to) {
  if (in_slices(b)) return gather_slices(b, table, indices, out, from, to);
  return with_word_of(b.bytes,
                      [&](auto word) { return gather_elements<decltype(word)>(b, table, indices, out, from, to); });
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
  const Walk<3>& w = b->lead;
  const bool repeated = !in_slices(*b) && w.rank == 2 && w.step[1][0] == 0 && w.dims[1] <= kFewIndices;
  b->columns = ARN_CHOICE("gather/columns", repeated);
  const char* variant = in_slices(*b) ? "slices" : b->columns != 0 ? "columns" : "elements";
  return bind_done(out, gather_tasks, b->tasks, sizeof(IndexedBound), variant);
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
