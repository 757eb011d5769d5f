// ScatterElements, ScatterND: (indices, updates) -> output, which already holds the data and is updated in place.
// Updates are applied in row-major order of the indices to every output element: a task owns its output elements.
#include "kernels/gather/indexed.h"
#include "kernels/tile/convert.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

// Integers wrap; a NaN stays in max and min.
template <typename T>
struct Sum {
  static inline T of(T a, T b) {
    T r;
    if constexpr (static_cast<T>(0.5) != T(0)) {
      r = a + b;
    } else {
      __builtin_add_overflow(a, b, &r);
    }
    return r;
  }
};
template <typename T>
struct Product {
  static inline T of(T a, T b) {
    T r;
    if constexpr (static_cast<T>(0.5) != T(0)) {
      r = a * b;
    } else {
      __builtin_mul_overflow(a, b, &r);
    }
    return r;
  }
};
template <typename T>
struct Most {
  static inline T of(T a, T b) { return (b > a) | (b != b) ? b : a; }
};
template <typename T>
struct Least {
  static inline T of(T a, T b) { return (b < a) | (b != b) ? b : a; }
};

template <typename T, template <typename> class F>
void fold_row(char* table, int64_t t, const char* updates, int64_t u, int64_t n) {
  constexpr int64_t kSize = sizeof(T);
  if (t == kSize && u == kSize) {  // the output and updates share no element
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#endif
    for (int64_t i = 0; i < n; ++i)
      put(table + i * kSize, F<T>::of(get<T>(table + i * kSize), get<T>(updates + i * kSize)));
    return;
  }
  for (int64_t i = 0; i < n; ++i) put(table + i * t, F<T>::of(get<T>(table + i * t), get<T>(updates + i * u)));
}

// f16 and bf16: every element is widened to f32, folded and rounded back.
template <template <typename> class F>
void fold_narrow(int32_t dtype, char* table, int64_t t, const char* updates, int64_t u, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    float a, b;
    widen(dtype, 1, &a, table + i * t);
    widen(dtype, 1, &b, updates + i * u);
    a = F<float>::of(a, b);
    narrow(dtype, 1, table + i * t, &a);
  }
}

void fold_half(const IndexedBound& b, char* table, int64_t t, const char* updates, int64_t u, int64_t n) {
  switch (b.reduction) {
    case ARN_SCATTER_ADD:
      return fold_narrow<Sum>(b.dtype, table, t, updates, u, n);
    case ARN_SCATTER_MUL:
      return fold_narrow<Product>(b.dtype, table, t, updates, u, n);
    case ARN_SCATTER_MAX:
      return fold_narrow<Most>(b.dtype, table, t, updates, u, n);
    default:
      return fold_narrow<Least>(b.dtype, table, t, updates, u, n);
  }
}

template <typename T>
void fold_typed(int32_t reduction, char* table, int64_t t, const char* updates, int64_t u, int64_t n) {
  switch (reduction) {
    case ARN_SCATTER_ADD:
      return fold_row<T, Sum>(table, t, updates, u, n);
    case ARN_SCATTER_MUL:
      return fold_row<T, Product>(table, t, updates, u, n);
    case ARN_SCATTER_MAX:
      return fold_row<T, Most>(table, t, updates, u, n);
    default:
      return fold_row<T, Least>(table, t, updates, u, n);
  }
}

bool has_reduction(int32_t dtype) {
  switch (dtype) {
    case ARN_F32:
    case ARN_F64:
    case ARN_F16:
    case ARN_BF16:
    case ARN_I8:
    case ARN_U8:
    case ARN_I16:
    case ARN_U16:
    case ARN_I32:
    case ARN_U32:
    case ARN_I64:
    case ARN_U64:
      return true;
    default:
      return false;
  }
}

void update(const IndexedBound& b, char* table, int64_t t, const char* updates, int64_t u, int64_t n) {
  if (b.reduction == ARN_SCATTER_NONE) return copy_strided(b.bytes, updates, u, table, t, n);
  switch (b.dtype) {
    case ARN_F32:
      return fold_typed<float>(b.reduction, table, t, updates, u, n);
    case ARN_F64:
      return fold_typed<double>(b.reduction, table, t, updates, u, n);
    case ARN_F16:
    case ARN_BF16:
      return fold_half(b, table, t, updates, u, n);
    case ARN_I16:
      return fold_typed<int16_t>(b.reduction, table, t, updates, u, n);
    case ARN_U16:
      return fold_typed<uint16_t>(b.reduction, table, t, updates, u, n);
    case ARN_I8:
      return fold_typed<int8_t>(b.reduction, table, t, updates, u, n);
    case ARN_U8:
      return fold_typed<uint8_t>(b.reduction, table, t, updates, u, n);
    case ARN_I32:
      return fold_typed<int32_t>(b.reduction, table, t, updates, u, n);
    case ARN_U32:
      return fold_typed<uint32_t>(b.reduction, table, t, updates, u, n);
    case ARN_I64:
      return fold_typed<int64_t>(b.reduction, table, t, updates, u, n);
    default:
      return fold_typed<uint64_t>(b.reduction, table, t, updates, u, n);
  }
}

// A unit is a chunk of every slice (ScatterND): it walks all of lead.
int32_t scatter_chunk(const IndexedBound& b, const char* indices, const char* updates, char* table, int64_t unit) {
  Cursor<2> post;
  walk_seek(b.post, unit / b.chunks, &post);
  const int64_t first = unit % b.chunks * b.chunk, n = min64(b.chunk, b.n - first);
  table += post.offset[0] + first * b.table_step;
  updates += post.offset[1] + first * b.other_step;
  Cursor<3> lead;
  walk_seek(b.lead, 0, &lead);
  const int64_t count = walk_count(b.lead);
  for (int64_t i = 0; i < count; ++i) {
    int64_t offset = 0;
    if (!resolve(b, indices + lead.offset[1], &offset)) return ARN_INDEX_OUT_OF_RANGE;
    update(b, table + offset, b.table_step, updates + lead.offset[2], b.other_step, n);
    walk_next(b.lead, &lead);
  }
  return ARN_OK;
}

int32_t scatter_nd_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                         const arn_state* state) {
  const IndexedBound& b = *static_cast<const IndexedBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    int32_t status = ARN_OK;
    for (int64_t unit = from; unit < to && status == ARN_OK; ++unit)
      status = scatter_chunk(b, static_cast<const char*>(operand[0]), static_cast<const char*>(operand[1]),
                             static_cast<char*>(operand[2]), unit);
    return status;
  });
}

// A unit is one position outside the axis (ScatterElements), of which lead walks all; n runs along the axis.
struct ElementsBound {
  IndexedBound base;
  int64_t length, index_step, update_step;
};

template <typename T>
struct Latest {
  static inline T of(T, T b) { return b; }
};

// One line along the axis; its indices are I. Steps in bytes.
template <typename T, typename I, template <typename> class F>
int32_t scatter_line(const ElementsBound& e, const char* indices, const char* updates, char* table) {
  const int64_t limit = e.base.limit[0], along = e.base.step[0];
  for (int64_t i = 0; i < e.length; ++i) {
    int64_t at = get<I>(indices + i * e.index_step);
    at += at < 0 ? limit : 0;
    if (static_cast<uint64_t>(at) >= static_cast<uint64_t>(limit)) return ARN_INDEX_OUT_OF_RANGE;
    char* to = table + at * along;
    put(to, F<T>::of(get<T>(to), get<T>(updates + i * e.update_step)));
  }
  return ARN_OK;
}

typedef int32_t (*LineFn)(const ElementsBound& e, const char* indices, const char* updates, char* table);

template <typename I>
int32_t scatter_half_line(const ElementsBound& e, const char* indices, const char* updates, char* table) {
  const IndexedBound& b = e.base;
  for (int64_t i = 0; i < e.length; ++i) {
    int64_t offset = 0;
    if (!resolve(b, indices + i * e.index_step, &offset)) return ARN_INDEX_OUT_OF_RANGE;
    fold_half(b, table + offset, 0, updates + i * e.update_step, 0, 1);
  }
  return ARN_OK;
}

template <typename T, typename I>
LineFn folding_line(int32_t reduction) {
  switch (reduction) {
    case ARN_SCATTER_ADD:
      return scatter_line<T, I, Sum>;
    case ARN_SCATTER_MUL:
      return scatter_line<T, I, Product>;
    case ARN_SCATTER_MAX:
      return scatter_line<T, I, Most>;
    default:
      return scatter_line<T, I, Least>;
  }
}

template <typename I>
LineFn line_of(const IndexedBound& b) {
  if (b.reduction == ARN_SCATTER_NONE) {
    return with_word_of(b.bytes, [&](auto word) { return LineFn{scatter_line<decltype(word), I, Latest>}; });
  }
  switch (b.dtype) {
    case ARN_F32:
      return folding_line<float, I>(b.reduction);
    case ARN_F64:
      return folding_line<double, I>(b.reduction);
    case ARN_F16:
    case ARN_BF16:
      return scatter_half_line<I>;
    case ARN_I8:
      return folding_line<int8_t, I>(b.reduction);
    case ARN_U8:
      return folding_line<uint8_t, I>(b.reduction);
    case ARN_I16:
      return folding_line<int16_t, I>(b.reduction);
    case ARN_U16:
      return folding_line<uint16_t, I>(b.reduction);
    case ARN_I32:
      return folding_line<int32_t, I>(b.reduction);
    case ARN_U32:
      return folding_line<uint32_t, I>(b.reduction);
    case ARN_I64:
      return folding_line<int64_t, I>(b.reduction);
    default:
      return folding_line<uint64_t, I>(b.reduction);
  }
}

int32_t scatter_lines(const ElementsBound& e, const char* indices, const char* updates, char* table, int64_t from,
                      int64_t to) {
  const IndexedBound& b = e.base;
  const LineFn line = b.wide_index != 0 ? line_of<int64_t>(b) : line_of<int32_t>(b);
  Cursor<3> c;
  walk_seek(b.lead, from, &c);
  for (int64_t unit = from; unit < to; ++unit) {
    const int32_t status = line(e, indices + c.offset[1], updates + c.offset[2], table + c.offset[0]);
    if (status != ARN_OK) return status;
    walk_next(b.lead, &c);
  }
  return ARN_OK;
}

int32_t scatter_elements_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                               const arn_state* state) {
  const ElementsBound& e = *static_cast<const ElementsBound*>(bound);
  return for_tasks(begin, end, e.base.tasks, e.base.units, state, [&](int64_t from, int64_t to) {
    return scatter_lines(e, static_cast<const char*>(operand[0]), static_cast<const char*>(operand[1]),
                         static_cast<char*>(operand[2]), from, to);
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(scatter_elements) {
  using namespace ARN_NS;
  const arn_desc &indices = args->operand[0], &updates = args->operand[1], &table = args->operand[2];
  const auto* p = static_cast<const arn_scatter_elements_params*>(args->params);
  if (p->axis < 0 || p->axis >= table.rank || indices.rank != table.rank || !same_dims(indices, updates) ||
      updates.dtype != table.dtype)
    return ARN_SHAPE_MISMATCH;
  if (p->reduction != ARN_SCATTER_NONE && !has_reduction(table.dtype)) return ARN_UNSUPPORTED;
  ElementsBound* e = static_cast<ElementsBound*>(bound);
  IndexedBound* b = &e->base;
  begin_plan(table, indices, b);
  b->reduction = static_cast<int32_t>(p->reduction);
  const int64_t index_bytes = element_bytes(indices.dtype);
  for (int i = 0; i < table.rank; ++i) {
    if (i == p->axis) continue;
    if (indices.dims[i] > table.dims[i]) return ARN_SHAPE_MISMATCH;
    walk_push(&b->lead, indices.dims[i],
              {table.strides[i] * b->bytes, indices.strides[i] * index_bytes, updates.strides[i] * b->bytes});
  }
  add_component(table, static_cast<int>(p->axis), b);
  end_plan(b);
  e->length = indices.dims[p->axis];
  e->index_step = indices.strides[p->axis] * index_bytes;
  e->update_step = updates.strides[p->axis] * b->bytes;
  b->units = e->length == 0 ? 0 : walk_count(b->lead);
  b->tasks = tasks_for(b->units, moved_bytes(*b) * e->length);
  return bind_done(out, scatter_elements_tasks, b->tasks, sizeof(ElementsBound), "lines");
}

ARN_DEFINE_BIND(scatter_nd) {
  using namespace ARN_NS;
  const arn_desc &indices = args->operand[0], &updates = args->operand[1], &table = args->operand[2];
  const auto* p = static_cast<const arn_scatter_nd_params*>(args->params);
  if (indices.rank < 1 || updates.dtype != table.dtype) return ARN_SHAPE_MISMATCH;
  if (p->reduction != ARN_SCATTER_NONE && !has_reduction(table.dtype)) return ARN_UNSUPPORTED;
  const int lead = indices.rank - 1;
  const int64_t depth = indices.dims[lead];
  if (depth < 0 || depth > table.rank || updates.rank != lead + table.rank - depth) return ARN_SHAPE_MISMATCH;
  IndexedBound* b = static_cast<IndexedBound*>(bound);
  begin_plan(table, indices, b);
  b->reduction = static_cast<int32_t>(p->reduction);
  const int64_t index_bytes = element_bytes(indices.dtype);
  for (int i = 0; i < lead; ++i) {
    if (updates.dims[i] != indices.dims[i]) return ARN_SHAPE_MISMATCH;
    walk_push(&b->lead, updates.dims[i], {0, indices.strides[i] * index_bytes, updates.strides[i] * b->bytes});
  }
  b->component = indices.strides[lead] * index_bytes;
  for (int i = 0; i < depth; ++i) add_component(table, i, b);
  for (int i = static_cast<int>(depth); i < table.rank; ++i)
    if (!add_post(table, i, updates, lead + i - static_cast<int>(depth), b)) return ARN_SHAPE_MISMATCH;
  end_plan(b);
  b->units = element_count(updates) == 0 ? 0 : walk_count(b->post) * b->chunks;
  b->tasks = tasks_for(b->units, moved_bytes(*b));
  return bind_done(out, scatter_nd_tasks, b->tasks, sizeof(IndexedBound), "slices");
}
#endif
