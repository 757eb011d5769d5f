// Attention for a block of query rows at a time: scores of a block of keys, their running softmax (Milakov and
// Gimelshein, "Online normalizer calculation for softmax", 2018), then the product with the values, accumulated.
#include "kernels/attention/halves.h"
#include "kernels/attention/params.h"
#include "kernels/attention/soften.h"

namespace ARN_NS {
namespace {

constexpr int64_t kQueryRows = 64;    // query rows of a task where later rows see more keys
constexpr int64_t kFullRows = 128;    // and where all see the same: panels of keys and values serve more of them
constexpr int64_t kTileRows = 256;    // and of products in tiles, which take less time than making panels ready
constexpr int64_t kKeyColumns = 256;  // keys of a block; at most kDepth
constexpr int64_t kWideHead = 64;     // numbers of a head above which a block has half as many keys
static_assert(kKeyColumns <= kDepth, "a block of keys is one block of the inner index");

// to = from * weight, or zeros. `from` is overwritten where the output is not float32.
void write_row(int32_t dtype, void* out, int64_t step, float* from, int64_t n, bool none, float weight) {
  if (dtype != ARN_F32) {
    for (int64_t d = 0; d < n; ++d) from[d] = none ? 0.0f : from[d] * weight;
    uint16_t* to = static_cast<uint16_t*>(out);
    if (step == 1)
      narrow(dtype, n, to, from);
    else
      for (int64_t d = 0; d < n; ++d) narrow(dtype, 1, to + d * step, from + d);
    return;
  }
  float* to = static_cast<float*>(out);
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

void attend(const AttentionBound& b, void* const* operand, int64_t task, float* scratch, Halves& halves) {
  const int64_t block = task % b.row_blocks, head = task / b.row_blocks % b.heads,
                batch = task / b.row_blocks / b.heads;
  const int64_t r0 = block * b.row_block, m = min64(b.row_block, b.rows - r0), shared = head / b.group;
  const auto origin = [&](int index, int32_t dtype, const Strides4& s, int64_t h, int64_t row) {
    return static_cast<char*>(operand[index]) + (batch * s.at[0] + h * s.at[1] + row * s.at[2]) * element_bytes(dtype);
  };
  const auto matrix = [](const char* at, const Strides4& s) {
    return Matrix{reinterpret_cast<const float*>(at), s.at[2], s.at[3]};
  };
  const char* q = origin(0, b.q_dtype, b.q, head, r0);
  const char* k = origin(1, b.k_dtype, b.k, shared, 0);
  const char* v = origin(2, b.v_dtype, b.v, shared, 0);
  const char* hides = b.mask_kind == 0 ? nullptr : origin(3, b.mask_dtype, b.mask, head, r0);
  char* out = origin(4, b.out_dtype, b.out, head, r0);
  const int64_t visible = b.causal ? max64(0, min64(b.keys, r0 + m + b.causal_offset)) : b.keys;
  float* accumulators = scratch + b.accumulators;
  if (b.half) halves.queries(q, m);
  for (int64_t c0 = 0; c0 < visible; c0 += b.key_block) {
    const int64_t n = min64(b.key_block, visible - c0);
    const char* here = hides == nullptr ? nullptr : hides + c0 * b.mask.at[3] * element_bytes(b.mask_dtype);
    const Mask mask{b.mask_kind == 1 ? here : nullptr,
                    b.mask_kind == 2 ? reinterpret_cast<const uint8_t*>(here) : nullptr, b.mask.at[3]};
    const char* keys = k + c0 * b.k.at[2] * element_bytes(b.k_dtype);
    const char* values = v + c0 * b.v.at[2] * element_bytes(b.v_dtype);
    if (b.half) {
      halves.score(keys, n);
      soften_block(b, mask, r0, m, c0, n, scratch, [&](int64_t i) { halves.weights(i, n, values); });
      halves.accumulate(values, n, c0 == 0);
    } else {
      if (b.keys_in_place)
        score_in_place(b, reinterpret_cast<const float*>(q), b.q.at[2], keys, m, n, scratch);
      else
        score_block(b, matrix(q, b.q), matrix(keys, b.k), m, n, scratch);
      soften_block(b, mask, r0, m, c0, n, scratch, [](int64_t) {});
      if (b.values_in_place)
        accumulate_in_place(b, values, m, n, c0 == 0, scratch);
      else
        accumulate_block(b, matrix(values, b.v), m, n, c0 == 0, scratch);
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    // A row that may look at no key at all is zero, as the standard says.
    const float sum = visible == 0 ? 0.0f : scratch[b.sums + i];
    write_row(b.out_dtype, out + i * b.out.at[2] * element_bytes(b.out_dtype), b.out.at[3],
              accumulators + i * b.accumulator_row, b.values, sum == 0.0f, 1.0f / sum);
  }
}

int32_t attention_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*,
                        void* thread_scratch, const arn_state* state) {
  const AttentionBound& b = *static_cast<const AttentionBound*>(bound);
  float* scratch = static_cast<float*>(thread_scratch);
  Halves halves(b, scratch);
  int32_t status = ARN_OK;
  for (int64_t t = begin; t < end && status == ARN_OK; ++t) {
    if (arn_stopped(state))
      status = ARN_CANCELLED;
    else
      attend(b, operand, t, scratch, halves);
  }
  halves.end();
  return status;
}

Strides4 strides_of(const arn_desc& d) {
  Strides4 s{};
  for (int i = 0; i < 4; ++i) s.at[i] = d.dims[i] == 1 ? 0 : d.strides[i];
  return s;
}

template <typename Take>
void lay_out_halves(AttentionBound* b, Take&& take) {
  const int64_t m = b->row_block, n = round_up(min64(b->key_block, max64(1, b->keys)), lanes());
  b->wide_q = take(m * b->depth);
  b->wide_k = take(n * max64(b->depth, max64(1, b->values)));
  b->mask_row = take(n);
  const bool bytes = b->k_dtype == ARN_I8 || b->v_dtype == ARN_I8;
  b->row_scales = take(bytes ? n : 0);
  if (!b->tiles) return;
  b->codes = take(bytes ? ceil_div(n * max64(b->depth, b->values), 2) : 0);
  // Rows do not lie a power of two apart.
  const auto planes = [&](int32_t count, int64_t depth, int64_t* row, int64_t* plane) {
    *row = half_depth(depth) + ARN_HALF_STEP;
    *plane = round_up(m, kHalfStrip) * *row;
    return take(ceil_div(count * *plane, 2));
  };
  b->query_planes = planes(b->score_gemm.a_planes, b->depth, &b->query_row, &b->query_plane);
  b->weight_planes = planes(b->value_gemm.a_planes, n, &b->weight_row, &b->weight_plane);
  const int64_t keys = half_panels(n) * half_depth(b->depth) * b->score_gemm.b_planes;
  const int64_t values = half_panels(b->values) * half_depth(n) * b->value_gemm.b_planes;
  b->columns = take(max64(keys, values) * ARN_HALF_LANES / 2);
  b->turned = take(ARN_HALF_LANES * max64(half_depth(b->depth), half_depth(n)));
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
  b->panels = take(n * max64(b->keys_in_place ? 0 : b->depth, b->values_in_place ? 0 : b->accumulator_row));
  b->scores = take(m * n);
  b->accumulators = take(m * b->accumulator_row);
  b->maxima = take(m);
  b->sums = take(m);
  b->compact = take(b->half ? max64(b->depth, b->values) : b->q.at[3] == 1 ? 0 : kMaxRows * min64(b->depth, kDepth));
  b->edge = take(edge_elements());
  if (b->half) lay_out_halves(b, take);
  return at;
}

// Rows of each of the fewest blocks of at most `most` rows.
int64_t even_block(int64_t rows, int64_t most) {
  return rows <= most ? max64(1, rows) : ceil_div(rows, ceil_div(rows, most));
}

// How 16-bit floats are multiplied. Few queries read each key once: those are not rounded, nor split.
void choose_halves(AttentionBound* b, bool rounded, const arn_target& target) {
  const auto multiplied = [](int32_t dtype) { return dtype == ARN_I8 ? int32_t(ARN_BF16) : dtype; };  // codes, exactly
  b->rounded = rounded && b->rows > kFewRows;
  b->score_gemm = half_choose(b->depth, b->rows, b->q_dtype, multiplied(b->k_dtype), b->rounded, false, target);
  b->value_gemm = half_choose(b->keys, b->rows, ARN_F32, multiplied(b->v_dtype), b->rounded, false, target);
  b->tiles = b->score_gemm.kernel == kHalfTiles && b->rows > kFewRows;
  if (!b->rounded && b->v_dtype != ARN_F32) {  // weights of 16 bits are more than what is made of them holds
    b->value_gemm.a_planes = 2;
    b->value_gemm.order = 1;
  }
  b->late = b->tiles && b->mask_kind != 1 && b->softcap <= 0.0f && b->scale > 0.0f;
}

// A single query of heads that share keys and values: as many heads as are few rows become queries of one head, so
// that each key is read once for them. Returns whether they do.
bool fold_heads(AttentionBound* b) {
  int64_t together = max64(1, min64(b->group, kFewRows));
  while (b->group % together != 0) --together;
  if (!ARN_CHOICE("attention/heads together", b->rows == 1 && b->heads > 0 && together > 1)) return false;
  if (b->causal) b->keys = max64(0, min64(b->keys, 1 + b->causal_offset));
  b->causal = false;
  b->rows = together;
  b->heads /= together;
  b->group /= together;
  Strides4* const by_head[] = {&b->q, &b->mask, &b->out};
  for (Strides4* s : by_head) {
    s->at[2] = s->at[1];
    s->at[1] *= together;
  }
  return true;
}

// Numbers of a row of keys or values; -1: rows of bytes (kernels/quantize/rows.h) that hold no scale, or lie apart.
int64_t row_numbers(const arn_desc& d) {
  if (d.dtype != ARN_I8) return d.dims[3];
  return d.dims[3] < kScaleBytes || (d.strides[3] != 1 && element_count(d) != 0) ? -1 : d.dims[3] - kScaleBytes;
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

namespace ARN_NS {
namespace {

int32_t bind_attention(const arn_bind_args* args, void* bound, arn_bound* out, bool half) {
  const arn_desc &q = args->operand[0], &k = args->operand[1], &v = args->operand[2], &mask = args->operand[3];
  const arn_desc& o = args->operand[args->n_in];
  if (args->n_in != 4) return ARN_UNSUPPORTED;
  if (q.rank == 4 && q.dims[3] == 0) return ARN_UNSUPPORTED;  // a product over nothing
  if (q.rank != 4 || k.rank != 4 || v.rank != 4) return ARN_SHAPE_MISMATCH;
  const int64_t groups = k.dims[1], keys = k.dims[2], depth = row_numbers(k), values = row_numbers(v);
  if (depth < 0 || values < 0) return ARN_SHAPE_MISMATCH;
  if (groups == 0 ? q.dims[1] != 0 : q.dims[1] % groups != 0) return ARN_SHAPE_MISMATCH;
  if (depth != q.dims[3] || !fits(k, q.dims[0], groups, keys, k.dims[3], false) ||
      !fits(v, q.dims[0], groups, keys, v.dims[3], false) || !fits(o, q.dims[0], q.dims[1], q.dims[2], values, false))
    return ARN_SHAPE_MISMATCH;
  if (mask.dtype != ARN_NONE && !fits(mask, q.dims[0], q.dims[1], q.dims[2], keys, true)) return ARN_SHAPE_MISMATCH;
  const auto* params = static_cast<const arn_attention_params*>(args->params);
  AttentionBound* b = static_cast<AttentionBound*>(bound);
  *b = AttentionBound{};
  b->half = half;
  b->heads = q.dims[1];
  b->group = groups == 0 ? 1 : q.dims[1] / groups;
  b->rows = q.dims[2];
  b->keys = keys;
  b->depth = depth;
  b->values = values;
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
  b->q_dtype = q.dtype;
  b->k_dtype = k.dtype;
  b->v_dtype = v.dtype;
  b->mask_dtype = mask.dtype;
  b->out_dtype = o.dtype;
  const bool folded = fold_heads(b);
  if (half) choose_halves(b, params->rounded != 0, *args->target);
  b->keys_in_place = (half || b->q.at[3] == 1) && b->k.at[3] == 1 && b->depth % lanes() == 0 && !b->tiles &&
                     ARN_CHOICE("attention/keys in place", b->rows <= kFewRows);
  b->values_in_place = b->v.at[3] == 1 && b->values % lanes() == 0 && !b->tiles &&
                       ARN_CHOICE("attention/values in place", b->rows <= kFewRows);
  b->row_block = even_block(b->rows, b->causal ? kQueryRows : b->tiles ? kTileRows : kFullRows);
  b->row_blocks = ceil_div(b->rows, b->row_block);
  b->key_block = max64(b->depth, b->values) > kWideHead ? kKeyColumns / 2 : kKeyColumns;
  out->thread_scratch = lay_out(b) * 4;
  out->step_scratch = 0;
  out->tasks = element_count(o) == 0 ? 0 : q.dims[0] * b->heads * b->row_blocks;
  out->bound_bytes = sizeof(AttentionBound);
  out->run = attention_tasks;
  out->variant = b->tiles             ? half_kernel_name(b->score_gemm)
                 : folded             ? "heads together"
                 : b->values_in_place ? "values in place"
                                      : "values packed";
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(attention_f32) { return ARN_NS::bind_attention(args, bound, out, false); }
ARN_DEFINE_BIND(attention_half) { return ARN_NS::bind_attention(args, bound, out, true); }
