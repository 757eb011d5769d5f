// GramCounts: how often each n-gram of a vocabulary stands in rows of integers.
#include "kernels/index/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

struct GramBound {
  arn_gram_params p;
  int64_t rows, length, columns, elements, tasks;
  int32_t wide;  // of 64 bits
};

// Where x stands in a sorted array, -1 where it does not.
int64_t find(const int64_t* sorted, int64_t n, int64_t x) {
  int64_t first = 0;
  while (n > 1) {
    const int64_t half = n / 2;
    first += sorted[first + half] <= x ? half : 0;
    n -= half;
  }
  return n == 1 && sorted[first] == x ? first : -1;
}

struct GramRun {
  const GramBound& b;
  const int64_t *elements, *codes, *columns;
  const float* weights;
  int64_t* number;  // of the row's elements: their places in the vocabulary from 1 on, 0 for all others

  template <typename T>
  void read(const T* x) const {
    for (int64_t i = 0; i < b.length; ++i) number[i] = find(elements, b.elements, static_cast<int64_t>(x[i])) + 1;
  }

  // n-grams of so many elements that lie `step` apart.
  void count(int64_t size, int64_t step, int32_t* counts) const {
    const int64_t* known = codes + b.p.begin[size - 1];
    const int64_t n = b.p.begin[size] - b.p.begin[size - 1];
    for (int64_t i = 0; i < b.length - (size - 1) * step; ++i) {
      int64_t code = number[i];
      for (int64_t k = 1; k < size && code != 0; ++k) {
        const int64_t digit = number[i + k * step];
        code = digit != 0 ? code * b.p.base + digit : 0;
      }
      const int64_t at = code != 0 ? find(known, n, code) : -1;
      if (at >= 0) ++counts[columns[b.p.begin[size - 1] + at]];
    }
  }

  // A row with many distances between its elements takes long: `stop` is polled at each.
  int32_t row(float* out, const arn_state* state) const {
    int32_t* counts = reinterpret_cast<int32_t*>(out);
    __builtin_memset(counts, 0, static_cast<size_t>(b.columns) * sizeof(int32_t));
    for (int64_t size = b.p.smallest; size <= b.p.largest; ++size) {
      if (b.p.begin[size] == b.p.begin[size - 1]) continue;
      const int64_t most = size == 1 ? 1 : b.p.steps;
      for (int64_t step = 1; step <= most && (size - 1) * step < b.length; ++step) {
        if (arn_stopped(state)) return ARN_CANCELLED;
        count(size, step, counts);
      }
    }
    for (int64_t c = 0; c < b.columns; ++c) {
      int32_t found;
      __builtin_memcpy(&found, out + c, sizeof(found));
      out[c] = static_cast<float>(found);
    }
    if (b.p.mode == ARN_GRAM_IDF)
      for (int64_t c = 0; c < b.columns; ++c) out[c] = out[c] > 0 ? weights[c] : 0.0f;
    if (b.p.mode == ARN_GRAM_TFIDF)
      for (int64_t c = 0; c < b.columns; ++c) out[c] *= weights[c];
    return ARN_OK;
  }
};

int32_t gram_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                   const arn_state* state) {
  const GramBound& b = *static_cast<const GramBound*>(bound);
  const GramRun r{b,
                  static_cast<const int64_t*>(operand[1]),
                  static_cast<const int64_t*>(operand[2]),
                  static_cast<const int64_t*>(operand[3]),
                  static_cast<const float*>(operand[4]),
                  static_cast<int64_t*>(scratch)};
  return for_tasks(begin, end, b.tasks, b.rows, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t i = from; i < to; ++i) {
      if (b.wide != 0)
        r.read(static_cast<const int64_t*>(operand[0]) + i * b.length);
      else
        r.read(static_cast<const int32_t*>(operand[0]) + i * b.length);
      const int32_t status = r.row(static_cast<float*>(operand[5]) + i * b.columns, state);
      if (status != ARN_OK) return status;
    }
    return ARN_OK;
  });
}

// Columns that a row does not have would be written: the bind function looks at all of them.
bool columns_fit(const arn_bind_args* args, int64_t columns) {
  const auto* at = static_cast<const int64_t*>(args->constant[3]);
  const arn_desc& d = args->operand[3];
  for (int64_t i = 0; at != nullptr && i < d.dims[0]; ++i)
    if (at[i * d.strides[0]] < 0 || at[i * d.strides[0]] >= columns) return false;
  return at != nullptr;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(gram_counts) {
  using namespace ARN_NS;
  const arn_desc &x = args->operand[0], &y = args->operand[5];
  if (x.rank < 1 || y.rank != x.rank) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < x.rank - 1; ++i)
    if (x.dims[i] != y.dims[i]) return ARN_SHAPE_MISMATCH;
  for (int i = 1; i < 5; ++i)
    if (args->operand[i].rank != 1) return ARN_SHAPE_MISMATCH;
  GramBound* b = cleared<GramBound>(bound);
  b->p = *static_cast<const arn_gram_params*>(args->params);
  b->length = x.dims[x.rank - 1];
  b->columns = y.dims[y.rank - 1];
  b->elements = args->operand[1].dims[0];
  b->wide = x.dtype == ARN_I64;
  b->rows = 1;
  for (int i = 0; i < x.rank - 1; ++i) b->rows *= x.dims[i];
  arn_gram_params& p = b->p;
  const int64_t codes = args->operand[2].dims[0];
  bool fits = p.smallest >= 1 && p.largest <= ARN_GRAM_MOST && p.steps >= 1 && p.begin[0] >= 0 &&
              p.begin[ARN_GRAM_MOST] <= codes && args->operand[3].dims[0] == codes &&
              args->operand[4].dims[0] == b->columns;
  for (int i = 0; i < ARN_GRAM_MOST; ++i) fits = fits && p.begin[i] <= p.begin[i + 1];
  if (!fits || !columns_fit(args, b->columns)) return ARN_SHAPE_MISMATCH;
  p.steps = min64(p.steps, max64(b->length - 1, 1));
  // A column's count fits 32 bits: n-grams of n elements start at fewer places the further these lie apart.
  if (b->length > INT32_MAX / ARN_GRAM_MOST / p.steps) return ARN_OVERFLOW;
  b->tasks = tasks_for(b->rows, b->rows * (b->columns + b->length * p.steps * (p.largest - p.smallest + 1)) * 8);
  bind_done(out, gram_tasks, b->tasks, sizeof(GramBound), "search");
  out->thread_scratch = b->length * static_cast<int64_t>(sizeof(int64_t));
  return ARN_OK;
}
#endif
