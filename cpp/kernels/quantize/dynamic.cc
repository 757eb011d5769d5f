// DynamicQuantizeLinear. RangeParts: x -> parts [P, 2], the least and largest number of each of P stretches of x and
// zero; NaN is passed over. DynamicQuantize: x, parts -> y u8, scale f32, zero point u8: scale = (high - low) / 255, or
// 1 / 255 where all is zero; zero point = round(clamp(-low / scale)), y = clamp(round(x / scale) + zero point).
#include "kernels/tile/activation.h"
#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int64_t kPartWork = 8192;   // elements that are worth a task
constexpr int64_t kMostTasks = 1024;  // of the second step
constexpr int64_t kChunk = 256;

struct DynamicBound {
  int64_t elements, parts, tasks;
};

int32_t bind(const arn_bind_args* args, DynamicBound* b, const arn_desc& parts) {
  if (parts.rank != 2 || parts.dims[1] != 2 || parts.dims[0] < 1) return ARN_SHAPE_MISMATCH;
  b->elements = element_count(args->operand[0]);
  b->parts = parts.dims[0];
  return ARN_OK;
}

int32_t run_parts(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                  const arn_state* state) {
  const DynamicBound& b = *static_cast<const DynamicBound*>(bound);
  constexpr int64_t L = kLanesF32, kChains = 4;
  const float* x = static_cast<const float*>(operand[0]);
  float* parts = static_cast<float*>(operand[1]);
  for (int64_t t = begin; t < end; ++t) {
    if (arn_stopped(state)) return ARN_CANCELLED;
    const int64_t to = task_begin(t + 1, b.tasks, b.elements);
    int64_t i = task_begin(t, b.tasks, b.elements);
    vf32 low[kChains] = {}, high[kChains] = {};
    for (; i + kChains * L <= to; i += kChains * L) {
#pragma GCC unroll 4
      for (int64_t c = 0; c < kChains; ++c) {
        const vf32 v = load_f32(x + i + c * L);
        low[c] = v < low[c] ? v : low[c];
        high[c] = v > high[c] ? v : high[c];
      }
    }
    float least = 0, most = 0;
    for (int64_t c = 0; c < kChains; ++c)
      for (int64_t l = 0; l < L; ++l) {
        least = low[c][l] < least ? low[c][l] : least;
        most = high[c][l] > most ? high[c][l] : most;
      }
    for (; i < to; ++i) {
      least = x[i] < least ? x[i] : least;
      most = x[i] > most ? x[i] : most;
    }
    parts[2 * t] = least;
    parts[2 * t + 1] = most;
    if (t == 0)
      for (int64_t p = 2 * b.tasks; p < 2 * b.parts; ++p) parts[p] = 0;
  }
  return ARN_OK;
}

int32_t run_quantize(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                     const arn_state* state) {
  const DynamicBound& b = *static_cast<const DynamicBound*>(bound);
  const float *x = static_cast<const float*>(operand[0]), *parts = static_cast<const float*>(operand[1]);
  uint8_t* y = static_cast<uint8_t*>(operand[2]);
  float low = 0, high = 0;
  for (int64_t p = 0; p < b.parts; ++p) {
    low = parts[2 * p] < low ? parts[2 * p] : low;
    high = parts[2 * p + 1] > high ? parts[2 * p + 1] : high;
  }
  const float scale = (high == low ? 1.0f : high - low) / 255.0f;
  float middle = -low / scale;
  middle = middle > 0.0f ? middle : 0.0f;
  middle = middle < 255.0f ? middle : 255.0f;
  const int32_t zero = static_cast<int32_t>(__builtin_rintf(middle));
  alignas(64) float scales[kChunk];
  alignas(64) int32_t zeros[kChunk], wide[kChunk];
  for (int64_t i = 0; i < kChunk; ++i) {
    scales[i] = scale;
    zeros[i] = zero;
  }
  const arn_tile_fn quantize = kTileFunctions[kTile_quantize_u8_f32];
  for (int64_t t = begin; t < end; ++t) {
    if (arn_stopped(state)) return ARN_CANCELLED;
    if (t == 0) {
      *static_cast<float*>(operand[3]) = scale;
      *static_cast<uint8_t*>(operand[4]) = static_cast<uint8_t>(zero);
    }
    const int64_t to = task_begin(t + 1, b.tasks, b.elements);
    for (int64_t i = task_begin(t, b.tasks, b.elements); i < to; i += kChunk) {
      const int64_t n = min64(kChunk, to - i);
      quantize(n, wide, x + i, scales, zeros);
      int64_t k = 0;
      for (; k + kLanesF32 <= n; k += kLanesF32) store_bytes(y + i + k, *reinterpret_cast<const vi32u*>(wide + k));
      for (; k < n; ++k) y[i + k] = static_cast<uint8_t>(wide[k]);
    }
  }
  return ARN_OK;
}

int32_t finish(arn_bound* out, arn_run_fn run, int64_t tasks) {
  out->run = run;
  out->tasks = tasks;
  out->step_scratch = out->thread_scratch = 0;
  out->bound_bytes = sizeof(DynamicBound);
  out->variant = "";
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(range_parts) {
  using namespace ARN_NS;
  DynamicBound* b = static_cast<DynamicBound*>(bound);
  const int32_t bad = bind(args, b, args->operand[1]);
  if (bad != ARN_OK) return bad;
  b->tasks = task_count(b->elements, kPartWork, b->parts);
  return finish(out, run_parts, b->tasks);
}

ARN_DEFINE_BIND(dynamic_quantize) {
  using namespace ARN_NS;
  DynamicBound* b = static_cast<DynamicBound*>(bound);
  const int32_t bad = bind(args, b, args->operand[1]);
  if (bad != ARN_OK) return bad;
  const arn_desc* o = args->operand + args->n_in;
  if (args->n_out != 3 || element_count(o[0]) != b->elements || element_count(o[1]) != 1 || element_count(o[2]) != 1)
    return ARN_SHAPE_MISMATCH;
  b->tasks = task_count(b->elements, kPartWork, kMostTasks);
  return finish(out, run_quantize, b->tasks);
}
