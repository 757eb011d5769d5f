// Rotary position embedding (Su et al., "RoFormer", 2021). A unit is one position of one batch: its cosines and sines
// serve every head.
#include <string.h>

#include "kernels/rotary/params.h"
#include "kernels/walk.h"
#include "simd/vector.h"

namespace ARN_NS {
namespace {

struct RotaryBound {
  int64_t length, heads, size, pairs, positions;  // S, H, D, width / 2, M
  int64_t x[3], y[3];                             // strides of batch, head, position
  int64_t cos[2], sin[2], at[2];                  // of batch and position; with positions, of the table's row in [0]
  int64_t units, tasks;
  bool interleaved, gathered;
};

constexpr int C = kLanesF32;

struct Pair {
  vf32 a, b;
};

inline Pair turned(vf32 a, vf32 b, vf32 cos, vf32 sin) { return {a * cos - b * sin, a * sin + b * cos}; }

// One head whose pairs lie `apart` elements from each other. n <= C elements of each operand are used.
inline void turn_few(const float* x, float* y, const float* cos, const float* sin, int64_t apart, int64_t step,
                     int64_t n) {
  float a[C] = {}, b[C] = {}, c[C] = {}, s[C] = {};
  for (int64_t i = 0; i < n; ++i) {
    a[i] = x[i * step];
    b[i] = x[i * step + apart];
  }
  memcpy(c, cos, static_cast<size_t>(n) * sizeof(float));
  memcpy(s, sin, static_cast<size_t>(n) * sizeof(float));
  const Pair p = turned(load_f32(a), load_f32(b), load_f32(c), load_f32(s));
  store_f32(a, p.a);
  store_f32(b, p.b);
  for (int64_t i = 0; i < n; ++i) {
    y[i * step] = a[i];
    y[i * step + apart] = b[i];
  }
}

void turn_head(const RotaryBound& b, const float* x, float* y, const float* cos, const float* sin) {
  int64_t i = 0;
  if (b.interleaved) {
    for (; i < b.pairs; i += C) turn_few(x + 2 * i, y + 2 * i, cos + i, sin + i, 1, 2, min64(C, b.pairs - i));
  } else {
    for (; i + C <= b.pairs; i += C) {
      const Pair p = turned(load_f32(x + i), load_f32(x + b.pairs + i), load_f32(cos + i), load_f32(sin + i));
      store_f32(y + i, p.a);
      store_f32(y + b.pairs + i, p.b);
    }
    if (i < b.pairs) turn_few(x + i, y + i, cos + i, sin + i, b.pairs, 1, b.pairs - i);
  }
  const int64_t rest = b.size - 2 * b.pairs;
  if (rest > 0 && x != y) memmove(y + 2 * b.pairs, x + 2 * b.pairs, static_cast<size_t>(rest) * sizeof(float));
}

int32_t turn_unit(const RotaryBound& b, void* const* operand, int64_t unit) {
  const int64_t batch = unit / b.length, at = unit % b.length;
  int64_t cos_at = batch * b.cos[0] + at * b.cos[1], sin_at = batch * b.sin[0] + at * b.sin[1];
  if (b.gathered) {
    int64_t row = static_cast<const int64_t*>(operand[3])[batch * b.at[0] + at * b.at[1]];
    if (row < 0 || row >= b.positions) return ARN_INDEX_OUT_OF_RANGE;
    cos_at = row * b.cos[0];
    sin_at = row * b.sin[0];
  }
  const float* x = static_cast<const float*>(operand[0]) + batch * b.x[0] + at * b.x[2];
  float* y = static_cast<float*>(operand[4]) + batch * b.y[0] + at * b.y[2];
  const float* cos = static_cast<const float*>(operand[1]) + cos_at;
  const float* sin = static_cast<const float*>(operand[2]) + sin_at;
  for (int64_t h = 0; h < b.heads; ++h) turn_head(b, x + h * b.x[1], y + h * b.y[1], cos, sin);
  return ARN_OK;
}

int32_t rotary_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                     const arn_state* state) {
  const RotaryBound& b = *static_cast<const RotaryBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) {
      const int32_t status = turn_unit(b, operand, unit);
      if (status != ARN_OK) return status;
    }
    return ARN_OK;
  });
}

// Strides of a table [B or 1, S or 1, pairs].
bool bind_angles(const arn_desc& t, const arn_desc& x, int64_t pairs, int64_t (&stride)[2]) {
  if (t.rank != 3 || t.dims[2] != pairs) return false;
  const int64_t want[2] = {x.dims[0], x.dims[2]};
  for (int i = 0; i < 2; ++i) {
    if (t.dims[i] != 1 && t.dims[i] != want[i]) return false;
    stride[i] = t.dims[i] == 1 ? 0 : t.strides[i];
  }
  return true;
}

bool bind_table(const RotaryBound& b, const arn_desc& t, int64_t (&stride)[2]) {
  if (t.rank != 2 || t.dims[0] != b.positions || t.dims[1] != b.pairs) return false;
  stride[0] = t.strides[0];
  stride[1] = 0;
  return true;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(rotary_f32) {
  using namespace ARN_NS;
  const auto* p = static_cast<const arn_rotary_params*>(args->params);
  const arn_desc &x = args->operand[0], &cos = args->operand[1], &sin = args->operand[2];
  const arn_desc &at = args->operand[3], &y = args->operand[4];
  RotaryBound* b = static_cast<RotaryBound*>(bound);
  if (x.rank != 4 || !same_dims(x, y)) return ARN_SHAPE_MISMATCH;
  if (p->width < 0 || p->width % 2 != 0 || p->width > x.dims[3]) return ARN_SHAPE_MISMATCH;
  *b = RotaryBound{};
  b->length = x.dims[2];
  b->heads = x.dims[1];
  b->size = x.dims[3];
  b->pairs = p->width / 2;
  b->interleaved = p->interleaved != 0;
  b->gathered = at.dtype != ARN_NONE;
  for (int i = 0; i < 3; ++i) {
    b->x[i] = x.strides[i];
    b->y[i] = y.strides[i];
  }
  if (b->gathered) {
    if (at.rank != 2 || at.dims[0] != x.dims[0] || at.dims[1] != x.dims[2]) return ARN_SHAPE_MISMATCH;
    b->positions = cos.rank == 2 ? cos.dims[0] : 0;
    b->at[0] = at.strides[0];
    b->at[1] = at.strides[1];
    if (!bind_table(*b, cos, b->cos) || !bind_table(*b, sin, b->sin)) return ARN_SHAPE_MISMATCH;
  } else if (!bind_angles(cos, x, b->pairs, b->cos) || !bind_angles(sin, x, b->pairs, b->sin)) {
    return ARN_SHAPE_MISMATCH;
  }
  const int64_t total = element_count(x);
  b->units = total == 0 ? 0 : x.dims[0] * x.dims[2];
  b->tasks = tasks_for(b->units, total * static_cast<int64_t>(sizeof(float)));
  return bind_done(out, rotary_tasks, b->tasks, sizeof(RotaryBound), b->interleaved ? "neighbours" : "halves");
}
