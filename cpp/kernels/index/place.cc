// Trilu, OneHot, ReverseSequence: where an element comes from depends on its position only, or on one index a line.
#include "kernels/copy/runs.h"
#include "kernels/index/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

constexpr char kZeros[16] = {};

// Trilu: a unit is one row of one matrix.
struct TriluBound {
  Walk<2> lead;  // operand 0: x, 1: y; bytes
  int64_t rows, columns, row_step[2], column_step[2];
  int64_t k, units, tasks;
  int32_t upper, bytes;
};

void trilu_row(const TriluBound& b, const char* x, char* y, int64_t row) {
  x += row * b.row_step[0];
  y += row * b.row_step[1];
  const int64_t sx = b.column_step[0], sy = b.column_step[1];
  // Columns [first, last) are kept.
  const int64_t edge = min64(b.columns, max64(0, row + b.k + (b.upper ? 0 : 1)));
  const int64_t first = b.upper ? edge : 0, last = b.upper ? b.columns : edge;
  const auto clear = [&](int64_t from, int64_t to) {
    if (to > from) copy_each(b.bytes, kZeros, 0, y + from * sy, sy, to - from);
  };
  if (last > first && (x != y || sx != sy)) copy_strided(b.bytes, x + first * sx, sx, y + first * sy, sy, last - first);
  clear(0, first);
  clear(last, b.columns);
}

int32_t trilu_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                    const arn_state* state) {
  const TriluBound& b = *static_cast<const TriluBound*>(bound);
  const char* x = static_cast<const char*>(operand[0]);
  char* y = static_cast<char*>(operand[1]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) {
      Cursor<2> c;
      walk_seek(b.lead, unit / b.rows, &c);
      trilu_row(b, x + c.offset[0], y + c.offset[1], unit % b.rows);
    }
    return ARN_OK;
  });
}

// OneHot: a unit is one index.
struct OneHotBound {
  Walk<2> lead;  // operand 0: indices, 1: output; bytes
  int64_t depth, depth_step, on_step;
  int64_t units, tasks;
  int32_t bytes, dtype;
};

// -1 if it names no place: fractions are cut off.
int64_t place_of(const OneHotBound& b, const char* p) {
  int64_t i;
  switch (b.dtype) {
    case ARN_F32:
    case ARN_F64: {
      const double f = b.dtype == ARN_F32 ? get<float>(p) : get<double>(p);
      if (!(f > -9.0e18 && f < 9.0e18)) return -1;
      i = static_cast<int64_t>(f);
      break;
    }
    case ARN_I8:
      i = get<int8_t>(p);
      break;
    case ARN_U8:
      i = get<uint8_t>(p);
      break;
    case ARN_I16:
      i = get<int16_t>(p);
      break;
    case ARN_U16:
      i = get<uint16_t>(p);
      break;
    case ARN_I32:
      i = get<int32_t>(p);
      break;
    case ARN_U32:
      i = get<uint32_t>(p);
      break;
    case ARN_U64:
      if (get<uint64_t>(p) >= static_cast<uint64_t>(b.depth)) return -1;
      i = get<int64_t>(p);
      break;
    default:
      i = get<int64_t>(p);
  }
  if (i < 0) i += b.depth;
  return i >= 0 && i < b.depth ? i : -1;
}

int32_t one_hot_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                      const arn_state* state) {
  const OneHotBound& b = *static_cast<const OneHotBound*>(bound);
  const char *indices = static_cast<const char*>(operand[0]), *off = static_cast<const char*>(operand[1]);
  const char* on = off + b.on_step;
  char* out = static_cast<char*>(operand[2]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    Cursor<2> c;
    walk_seek(b.lead, from, &c);
    for (int64_t unit = from; unit < to; ++unit) {
      char* line = out + c.offset[1];
      copy_each(b.bytes, off, 0, line, b.depth_step, b.depth);
      const int64_t at = place_of(b, indices + c.offset[0]);
      if (at >= 0) copy_run(line + at * b.depth_step, on, b.bytes);
      walk_next(b.lead, &c);
    }
    return ARN_OK;
  });
}

// ReverseSequence: a unit is one step of time of one batch; `rest` walks what is left.
struct ReverseBound {
  Walk<2> rest;  // operand 0: x, 1: y; bytes; without its innermost dim
  int64_t n, step[2];
  int64_t batches, batch_step[2], times, time_step[2], length_step;
  int64_t units, tasks;
  int32_t bytes, wide;
};

int32_t reverse_unit(const ReverseBound& b, const char* x, const char* lengths, char* y, int64_t unit) {
  const int64_t batch = unit / b.times, time = unit % b.times;
  const char* p = lengths + batch * b.length_step;
  const int64_t length = b.wide ? get<int64_t>(p) : get<int32_t>(p);
  if (length < 0 || length > b.times) return ARN_BAD_VALUE;
  x += batch * b.batch_step[0] + (time < length ? length - 1 - time : time) * b.time_step[0];
  y += batch * b.batch_step[1] + time * b.time_step[1];
  Cursor<2> c;
  walk_seek(b.rest, 0, &c);
  const int64_t count = walk_count(b.rest);
  for (int64_t i = 0; i < count; ++i) {
    copy_strided(b.bytes, x + c.offset[0], b.step[0], y + c.offset[1], b.step[1], b.n);
    walk_next(b.rest, &c);
  }
  return ARN_OK;
}

// Units [from, to) counted step by step, where a step of a batch is one element.
template <typename T>
int32_t reverse_elements(const ReverseBound& b, const char* x, const char* lengths, char* y, int64_t from, int64_t to) {
  int64_t time = from / b.batches, batch = from % b.batches;
  for (int64_t unit = from; unit < to; ++time, batch = 0) {
    const int64_t last = min64(b.batches, batch + to - unit);
    unit += last - batch;
    for (; batch < last; ++batch) {
      const char* p = lengths + batch * b.length_step;
      const int64_t length = b.wide ? get<int64_t>(p) : get<int32_t>(p);
      if (length < 0 || length > b.times) return ARN_BAD_VALUE;
      const int64_t at = time < length ? length - 1 - time : time;
      put(y + batch * b.batch_step[1] + time * b.time_step[1],
          get<T>(x + batch * b.batch_step[0] + at * b.time_step[0]));
    }
  }
  return ARN_OK;
}

int32_t reverse_each(const ReverseBound& b, const char* x, const char* lengths, char* y, int64_t from, int64_t to) {
  return with_word_of(b.bytes, [&](auto word) { return reverse_elements<decltype(word)>(b, x, lengths, y, from, to); });
}

int32_t reverse_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                      const arn_state* state) {
  const ReverseBound& b = *static_cast<const ReverseBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    int32_t status = ARN_OK;
    if (b.n == 1 && b.rest.rank == 0)
      return reverse_each(b, static_cast<const char*>(operand[0]), static_cast<const char*>(operand[1]),
                          static_cast<char*>(operand[2]), from, to);
    for (int64_t unit = from; unit < to && status == ARN_OK; ++unit)
      status = reverse_unit(b, static_cast<const char*>(operand[0]), static_cast<const char*>(operand[1]),
                            static_cast<char*>(operand[2]), unit);
    return status;
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(trilu) {
  using namespace ARN_NS;
  const auto* p = static_cast<const arn_trilu_params*>(args->params);
  const arn_desc &x = args->operand[0], &y = args->operand[1];
  if (x.rank < 2 || !same_dims(x, y) || x.dtype != y.dtype) return ARN_SHAPE_MISMATCH;
  TriluBound* b = static_cast<TriluBound*>(bound);
  b->bytes = static_cast<int32_t>(element_bytes(x.dtype));
  b->upper = p->upper != 0;
  walk_clear(&b->lead);
  const int last = x.rank - 1;
  for (int i = 0; i + 1 < last; ++i) walk_push(&b->lead, x.dims[i], {x.strides[i] * b->bytes, y.strides[i] * b->bytes});
  b->rows = x.dims[last - 1];
  b->columns = x.dims[last];
  for (int i = 0; i < 2; ++i) {
    b->row_step[i] = args->operand[i].strides[last - 1] * b->bytes;
    b->column_step[i] = args->operand[i].strides[last] * b->bytes;
  }
  b->k = max64(-b->rows - 1, min64(b->columns + 1, p->k));
  b->units = element_count(x) == 0 ? 0 : walk_count(b->lead) * b->rows;
  b->tasks = tasks_for(b->units, element_count(x) * b->bytes);
  return bind_done(out, trilu_tasks, b->tasks, sizeof(TriluBound), "rows");
}

ARN_DEFINE_BIND(one_hot) {
  using namespace ARN_NS;
  const int64_t axis = static_cast<const arn_one_hot_params*>(args->params)->axis;
  const arn_desc &indices = args->operand[0], &values = args->operand[1], &to = args->operand[2];
  if (to.rank != indices.rank + 1 || axis < 0 || axis >= to.rank) return ARN_SHAPE_MISMATCH;
  if (values.dtype != to.dtype || values.rank != 1 || values.dims[0] != 2) return ARN_SHAPE_MISMATCH;
  OneHotBound* b = static_cast<OneHotBound*>(bound);
  b->bytes = static_cast<int32_t>(element_bytes(to.dtype));
  b->dtype = indices.dtype;
  walk_clear(&b->lead);
  for (int i = 0; i < indices.rank; ++i) {
    const int o = i < axis ? i : i + 1;
    if (to.dims[o] != indices.dims[i]) return ARN_SHAPE_MISMATCH;
    walk_push(&b->lead, to.dims[o], {indices.strides[i] * element_bytes(indices.dtype), to.strides[o] * b->bytes});
  }
  b->depth = to.dims[axis];
  b->depth_step = to.strides[axis] * b->bytes;
  b->on_step = values.strides[0] * b->bytes;
  b->units = b->depth == 0 ? 0 : walk_count(b->lead);
  b->tasks = tasks_for(b->units, element_count(to) * b->bytes);
  return bind_done(out, one_hot_tasks, b->tasks, sizeof(OneHotBound), "lines");
}

ARN_DEFINE_BIND(reverse_sequence) {
  using namespace ARN_NS;
  const auto* p = static_cast<const arn_reverse_sequence_params*>(args->params);
  const arn_desc &x = args->operand[0], &lengths = args->operand[1], &y = args->operand[2];
  if (!same_dims(x, y) || x.dtype != y.dtype || p->batch_axis == p->time_axis) return ARN_SHAPE_MISMATCH;
  if (p->batch_axis < 0 || p->batch_axis >= x.rank || p->time_axis < 0 || p->time_axis >= x.rank)
    return ARN_SHAPE_MISMATCH;
  if (lengths.rank != 1 || lengths.dims[0] != x.dims[p->batch_axis]) return ARN_SHAPE_MISMATCH;
  ReverseBound* b = static_cast<ReverseBound*>(bound);
  b->bytes = static_cast<int32_t>(element_bytes(x.dtype));
  b->wide = lengths.dtype == ARN_I64;
  b->length_step = lengths.strides[0] * element_bytes(lengths.dtype);
  walk_clear(&b->rest);
  for (int i = 0; i < x.rank; ++i)
    if (i != p->batch_axis && i != p->time_axis)
      walk_push(&b->rest, x.dims[i], {x.strides[i] * b->bytes, y.strides[i] * b->bytes});
  walk_sort(&b->rest, 1);
  const int last = b->rest.rank - 1;
  b->n = last < 0 ? 1 : b->rest.dims[last];
  for (int k = 0; k < 2; ++k) {
    const arn_desc& d = k == 0 ? x : y;
    b->step[k] = last < 0 ? b->bytes : b->rest.step[k][last];
    b->batch_step[k] = d.strides[p->batch_axis] * b->bytes;
    b->time_step[k] = d.strides[p->time_axis] * b->bytes;
  }
  if (last >= 0) walk_remove(&b->rest, last);
  b->batches = x.dims[p->batch_axis];
  b->times = x.dims[p->time_axis];
  b->units = element_count(x) == 0 ? 0 : b->batches * b->times;
  b->tasks = tasks_for(b->units, element_count(x) * b->bytes);
  return bind_done(out, reverse_tasks, b->tasks, sizeof(ReverseBound), "steps");
}
#endif
