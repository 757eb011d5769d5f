// Attention for a block of query rows at a time: scores of a block of keys, their running softmax (Milakov and
// Gimelshein, "Online normalizer calculation for softmax", 2018), then the product with the values, accumulated.
#include "kernels/attention/params.h"
#include "kernels/matmul/gemm.h"
#include "simd/math.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

constexpr int64_t kQueryRows = 64;    // query rows of a task where later rows see more keys
constexpr int64_t kFullRows = 128;    // and where all see the same: panels of keys and values serve more of them
constexpr int64_t kFewRows = 8;       // up to here values are read where they lie
constexpr int64_t kKeyColumns = 256;  // keys of a block; at most kDepth
constexpr int64_t kWideHead = 64;     // numbers of a head above which a block has half as many keys
static_assert(kKeyColumns <= kDepth, "a block of keys is one block of the inner index");

struct Strides4 {
  int64_t at[4];
};

struct AttentionBound {
  int64_t heads, group, rows, keys, depth, values;  // H, H / G, S, T, D, E
  int64_t row_blocks, row_block, key_block;
  Strides4 q, k, v, mask, out;
  float scale, softcap;
  int64_t causal_offset;
  bool causal, values_in_place;
  int8_t mask_kind;  // 0 none, 1 added, 2 boolean
  // Scratch, in floats from its start. `panels` holds the keys of a block, then its values.
  int64_t panels, scores, sums, maxima, accumulators, compact, edge;
  int64_t score_row, accumulator_row;
};

constexpr int64_t lanes() { return kLanes<float>; }

template <int S = kLanesF32 / 2>
float reduce_max(vf32 v) {
  const vf32 other = rotate_lanes<S>(v), best = other > v ? other : v;
  if constexpr (S > 1) return reduce_max<S / 2>(best);
  return best[0];
}

template <int S = kLanesF32 / 2>
float reduce_sum(vf32 v) {
  const vf32 total = v + rotate_lanes<S>(v);
  if constexpr (S > 1) return reduce_sum<S / 2>(total);
  return total[0];
}

// scores = scale * Q K^T for m query rows and n keys, rounded up to whole vectors.
void score_block(const AttentionBound& b, const float* q, const float* k, int64_t m, int64_t n, float* scratch) {
  float* panels = scratch + b.panels;
  pack_panels(panels, b.depth * lanes(), k, b.depth, n, b.k.at[3], b.k.at[2]);
  GemmPass<float> p{};
  p.m = m;
  p.n = round_up(n, lanes());
  p.a_row = b.q.at[2];
  p.a_k = b.q.at[3];
  p.b_vec = b.depth * lanes();
  p.b_k = lanes();
  p.partial = p.out = scratch + b.scores;
  p.partial_row = p.out_row = b.score_row;
  p.out_col = 1;
  p.alpha = b.scale;
  p.beta = 1.0f;
  p.compact = b.q.at[3] == 1 ? nullptr : scratch + b.compact;
  p.edge = scratch + b.edge;
  const int64_t step = depth_block(b.depth);
  for (int64_t d = 0; d < b.depth; d += step) {
    p.depth = min64(step, b.depth - d);
    p.a = q + d * b.q.at[3];
    p.b = panels + d * lanes();
    p.first = d == 0;
    p.last = d + step >= b.depth;
    gemm_pass<float>(p);
  }
}

// What hides keys from a row, or adds to its scores: at most one of the two.
struct Mask {
  const float* added;
  const uint8_t* allowed;
  int64_t step;  // from key to key
};

// A row's `seen` <= n scores with softcap and mask applied, and -Inf up to the next whole vector; the largest of each
// lane. A NaN score loses every comparison here, and comes back through exp.
vf32 ready_row(const AttentionBound& b, float* row, int64_t seen, const Mask& mask) {
  const float lowest = -__builtin_inff();
  const int64_t part = round_up(seen, lanes());
  if (b.softcap > 0.0f) {
    const vf32 cap = splat_f32(b.softcap), inverse = splat_f32(1.0f / b.softcap);
    for (int64_t j = 0; j < part; j += lanes()) store_f32(row + j, cap * vtanh(load_f32(row + j) * inverse));
  }
  if (mask.allowed != nullptr) {
    const uint8_t* keep = mask.allowed;
    if (mask.step == 1)
      for (int64_t j = 0; j < seen; ++j) row[j] = keep[j] == 0 ? lowest : row[j];
    else
      for (int64_t j = 0; j < seen; ++j) row[j] = keep[j * mask.step] == 0 ? lowest : row[j];
  }
  const float* added = mask.step == 1 ? mask.added : nullptr;
  if (mask.added != nullptr && added == nullptr)
    for (int64_t j = 0; j < seen; ++j) row[j] += mask.added[j * mask.step];
  // Several running results, so that their latencies overlap.
  constexpr int64_t kSteps = 4;
  vf32 tops[kSteps];
  for (vf32& t : tops) t = splat_f32(lowest);
  const auto see = [&](int64_t at, vf32& top) __attribute__((always_inline)) {
    vf32 s = load_f32(row + at);
    if (added != nullptr) {
      s += load_f32(added + at);
      store_f32(row + at, s);
    }
    top = s > top ? s : top;
  };
  int64_t at = 0;
  for (; at + kSteps * lanes() <= seen; at += kSteps * lanes()) {
#pragma GCC unroll 4
    for (int64_t x = 0; x < kSteps; ++x) see(at + x * lanes(), tops[x]);
  }
  for (; at + lanes() <= seen; at += lanes()) see(at, tops[0]);
  if (at < seen) {
    if (added != nullptr)
      for (int64_t j = at; j < seen; ++j) row[j] += added[j];
    for (int64_t j = seen; j < part; ++j) row[j] = lowest;
    const vf32 s = load_f32(row + at);
    tops[1] = s > tops[1] ? s : tops[1];
  }
#pragma GCC unroll 4
  for (int64_t x = 1; x < kSteps; ++x) tops[0] = tops[x] > tops[0] ? tops[x] : tops[0];
  return tops[0];
}

// exp of a score less the largest: at most 0, or NaN. Weights below the smallest normal number are zero. 1 ulp
vf32 weight_of(vf32 x) {
  const vf32 e = vexp_normal(vat_least(x, -87.0f));
  return x < -87.0f ? splat_f32(0.0f) : e;
}

// row = exp(row - shift) over `seen` scores, zeros up to `padded`; returns their sum.
float weigh_row(float* row, int64_t seen, int64_t padded, float shift) {
  const vf32 s = splat_f32(shift);
  vf32 total = splat_f32(0.0f), odd = splat_f32(0.0f);
  int64_t j = 0;
  for (; j + lanes() < seen; j += 2 * lanes()) {
    const vf32 w = weight_of(load_f32(row + j) - s), x = weight_of(load_f32(row + j + lanes()) - s);
    store_f32(row + j, w);
    store_f32(row + j + lanes(), x);
    total += w;
    odd += x;
  }
  if (j < seen) {
    const vf32 w = weight_of(load_f32(row + j) - s);
    store_f32(row + j, w);
    total += w;
    j += lanes();
  }
  for (; j < padded; j += lanes()) store_f32(row + j, splat_f32(0.0f));
  return reduce_sum(total + odd);
}

// Turns a row's scores into weights relative to the largest score so far; rescales what was accumulated before.
void soften_row(const AttentionBound& b, float* row, int64_t seen, int64_t padded, bool first, float largest,
                float* maximum, float* sum, float* accumulator) {
  const float lowest = -__builtin_inff();
  const float now = !first && *maximum > largest ? *maximum : largest;
  const float shift = now == lowest ? 0.0f : now, total = weigh_row(row, seen, padded, shift);
  if (first) {
    *sum = total;
  } else {
    const vf32 kept = vexp(splat_f32(*maximum - shift));
    *sum = *sum * kept[0] + total;
    if (kept[0] != 1.0f)
      for (int64_t d = 0; d < b.accumulator_row; d += lanes())
        store_f32(accumulator + d, load_f32(accumulator + d) * kept);
  }
  *maximum = now;
}

// Softens m rows that see keys from c0 on. The first row is row r0 of all.
void soften_block(const AttentionBound& b, const Mask& mask, int64_t r0, int64_t m, int64_t c0, int64_t n,
                  float* scratch) {
  constexpr int64_t kTogether = 4;  // rows whose latencies overlap
  const auto seen = [&](int64_t i) { return b.causal ? max64(0, min64(n, r0 + i + b.causal_offset + 1 - c0)) : n; };
  const auto row = [&](int64_t i) { return scratch + b.scores + i * b.score_row; };
  for (int64_t from = 0; from < m; from += kTogether) {
    const int64_t end = min64(m, from + kTogether);
    float largest[kTogether];
    for (int64_t i = from; i < end; ++i) {
      const int64_t at = i * b.mask.at[2];
      const Mask own{mask.added == nullptr ? nullptr : mask.added + at,
                     mask.allowed == nullptr ? nullptr : mask.allowed + at, mask.step};
      largest[i - from] = reduce_max(ready_row(b, row(i), seen(i), own));
    }
    for (int64_t i = from; i < end; ++i)
      soften_row(b, row(i), seen(i), round_up(n, lanes()), c0 == 0, largest[i - from], scratch + b.maxima + i,
                 scratch + b.sums + i, scratch + b.accumulators + i * b.accumulator_row);
  }
}

void accumulate_block(const AttentionBound& b, const float* v, int64_t m, int64_t n, bool first, float* scratch) {
  GemmPass<float> p{};
  p.m = m;
  p.n = b.values;
  p.depth = n;
  p.a = scratch + b.scores;
  p.a_row = b.score_row;
  p.a_k = 1;
  p.b = v;
  p.b_vec = lanes();
  p.b_k = b.v.at[2];
  if (!b.values_in_place) {
    float* panels = scratch + b.panels;
    pack_panels(panels, n * lanes(), v, n, b.values, b.v.at[2], b.v.at[3]);
    p.b = panels;
    p.b_vec = n * lanes();
    p.b_k = lanes();
  }
  p.partial = scratch + b.accumulators;
  p.partial_row = b.accumulator_row;
  p.first = first;
  p.last = false;
  p.edge = scratch + b.edge;
  gemm_pass<float>(p);
}

// to = from * weight, or zeros.
void write_row(float* to, int64_t step, const float* from, int64_t n, bool none, float weight) {
  if (none) {
    for (int64_t d = 0; d < n; ++d) to[d * step] = 0.0f;
    return;
  }
  int64_t d = 0;
  if (step == 1) {
    const vf32 w = splat_f32(weight);
    for (; d + lanes() <= n; d += lanes()) store_f32(to + d, load_f32(from + d) * w);
  }
  for (; d < n; ++d) to[d * step] = from[d] * weight;
}

void attend(const AttentionBound& b, void* const* operand, int64_t task, float* scratch) {
  const int64_t block = task % b.row_blocks, head = task / b.row_blocks % b.heads,
                batch = task / b.row_blocks / b.heads;
  const int64_t r0 = block * b.row_block, m = min64(b.row_block, b.rows - r0), shared = head / b.group;
  const auto origin = [&](const Strides4& s, int64_t h, int64_t row) {
    return batch * s.at[0] + h * s.at[1] + row * s.at[2];
  };
  const float* q = static_cast<const float*>(operand[0]) + origin(b.q, head, r0);
  const float* k = static_cast<const float*>(operand[1]) + origin(b.k, shared, 0);
  const float* v = static_cast<const float*>(operand[2]) + origin(b.v, shared, 0);
  const int64_t mask_at = origin(b.mask, head, r0);
  const float* added = b.mask_kind == 1 ? static_cast<const float*>(operand[3]) + mask_at : nullptr;
  const uint8_t* allowed = b.mask_kind == 2 ? static_cast<const uint8_t*>(operand[3]) + mask_at : nullptr;
  float* out = static_cast<float*>(operand[4]) + origin(b.out, head, r0);
  const int64_t visible = b.causal ? max64(0, min64(b.keys, r0 + m + b.causal_offset)) : b.keys;
  float* accumulators = scratch + b.accumulators;
  for (int64_t c0 = 0; c0 < visible; c0 += b.key_block) {
    const int64_t n = min64(b.key_block, visible - c0), mask_column = c0 * b.mask.at[3];
    const Mask mask{added == nullptr ? nullptr : added + mask_column,
                    allowed == nullptr ? nullptr : allowed + mask_column, b.mask.at[3]};
    score_block(b, q, k + c0 * b.k.at[2], m, n, scratch);
    soften_block(b, mask, r0, m, c0, n, scratch);
    accumulate_block(b, v + c0 * b.v.at[2], m, n, c0 == 0, scratch);
  }
  for (int64_t i = 0; i < m; ++i) {
    // A row that may look at no key at all is zero, as the standard says.
    const float sum = visible == 0 ? 0.0f : scratch[b.sums + i];
    const float weight = 1.0f / sum;
    const float* from = accumulators + i * b.accumulator_row;
    write_row(out + i * b.out.at[2], b.out.at[3], from, b.values, sum == 0.0f, weight);
  }
}

int32_t attention_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*,
                        void* thread_scratch, const arn_state* state) {
  const AttentionBound& b = *static_cast<const AttentionBound*>(bound);
  for (int64_t t = begin; t < end; ++t) {
    if (state->stop) return ARN_CANCELLED;
    attend(b, operand, t, static_cast<float*>(thread_scratch));
  }
  return ARN_OK;
}

Strides4 strides_of(const arn_desc& d) {
  Strides4 s{};
  for (int i = 0; i < 4; ++i) s.at[i] = d.dims[i] == 1 ? 0 : d.strides[i];
  return s;
}

// Lays the thread's scratch out; returns its floats.
int64_t lay_out(AttentionBound* b) {
  const int64_t m = b->row_block, n = round_up(min64(b->key_block, max64(1, b->keys)), lanes());
  int64_t at = 0;
  const auto take = [&at](int64_t floats) {
    const int64_t start = at;
    at += round_up(floats, ARN_ALIGN / 4);
    return start;
  };
  b->score_row = n;
  b->accumulator_row = round_up(max64(1, b->values), lanes());
  b->panels = take(n * max64(b->depth, b->values_in_place ? 0 : b->accumulator_row));
  b->scores = take(m * n);
  b->accumulators = take(m * b->accumulator_row);
  b->maxima = take(m);
  b->sums = take(m);
  b->compact = take(b->q.at[3] == 1 ? 0 : kMaxRows * min64(b->depth, kDepth));
  b->edge = take(edge_elements());
  return at;
}

// Rows of each of the fewest blocks of at most `most` rows.
int64_t even_block(int64_t rows, int64_t most) {
  return rows <= most ? max64(1, rows) : ceil_div(rows, ceil_div(rows, most));
}

bool fits(const arn_desc& d, int64_t a, int64_t b, int64_t c, int64_t e, bool broadcast) {
  const int64_t want[4] = {a, b, c, e};
  if (d.rank != 4) return false;
  for (int i = 0; i < 4; ++i)
    if (d.dims[i] != want[i] && !(broadcast && d.dims[i] == 1)) return false;
  return true;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(attention_f32) {
  using namespace ARN_NS;
  const arn_desc &q = args->operand[0], &k = args->operand[1], &v = args->operand[2], &mask = args->operand[3];
  const arn_desc& o = args->operand[args->n_in];
  if (args->n_in != 4) return ARN_UNSUPPORTED;
  if (q.rank == 4 && q.dims[3] == 0) return ARN_UNSUPPORTED;  // a product over nothing
  if (q.rank != 4 || k.rank != 4 || v.rank != 4) return ARN_SHAPE_MISMATCH;
  const int64_t groups = k.dims[1], keys = k.dims[2];
  if (groups == 0 ? q.dims[1] != 0 : q.dims[1] % groups != 0) return ARN_SHAPE_MISMATCH;
  if (!fits(k, q.dims[0], groups, keys, q.dims[3], false) || !fits(v, q.dims[0], groups, keys, v.dims[3], false) ||
      !fits(o, q.dims[0], q.dims[1], q.dims[2], v.dims[3], false))
    return ARN_SHAPE_MISMATCH;
  if (mask.dtype != ARN_NONE && !fits(mask, q.dims[0], q.dims[1], q.dims[2], keys, true)) return ARN_SHAPE_MISMATCH;
  const auto* params = static_cast<const arn_attention_params*>(args->params);
  AttentionBound* b = static_cast<AttentionBound*>(bound);
  *b = AttentionBound{};
  b->heads = q.dims[1];
  b->group = groups == 0 ? 1 : q.dims[1] / groups;
  b->rows = q.dims[2];
  b->keys = keys;
  b->depth = q.dims[3];
  b->values = v.dims[3];
  b->q = strides_of(q);
  b->k = strides_of(k);
  b->v = strides_of(v);
  b->out = strides_of(o);
  b->mask_kind = mask.dtype == ARN_NONE ? 0 : mask.dtype == ARN_BOOL ? 2 : 1;
  if (b->mask_kind != 0) b->mask = strides_of(mask);
  b->scale = static_cast<float>(params->scale);
  b->softcap = static_cast<float>(params->softcap);
  b->causal = params->causal != 0;
  b->causal_offset = params->causal_offset;
  b->values_in_place =
      b->v.at[3] == 1 && b->values % lanes() == 0 && ARN_CHOICE("attention/values in place", b->rows <= kFewRows);
  b->row_block = even_block(b->rows, b->causal ? kQueryRows : kFullRows);
  b->row_blocks = ceil_div(b->rows, b->row_block);
  b->key_block = max64(b->depth, b->values) > kWideHead ? kKeyColumns / 2 : kKeyColumns;
  out->thread_scratch = lay_out(b) * 4;
  out->step_scratch = 0;
  out->tasks = element_count(o) == 0 ? 0 : q.dims[0] * b->heads * b->row_blocks;
  out->bound_bytes = sizeof(AttentionBound);
  out->run = attention_tasks;
  out->variant = b->values_in_place ? "values in place" : "values packed";
  return ARN_OK;
}
