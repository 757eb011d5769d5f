// FloatsToBytes: x [..., n] -> rows of bytes [..., n + kScaleBytes]. A scale is a row's largest magnitude / 127, a code
// the nearest multiple of it, ties to even: a number errs by at most half a scale. A row whose numbers are all below
// 2^-100 is zeros; one with a number that is not finite has a scale that is not either, so that its numbers read as
// NaN. BytesToFloats: the way back.
#include "kernels/quantize/rows.h"

#include "kernels/walk.h"
#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr float kLeast = 0x1p-100f;

struct RowsBound {
  Walk<2> rows;  // in bytes
  int64_t numbers, step, units, tasks;
};

vf32 magnitude(vf32 x) { return (vf32)((vi32)x & 0x7fffffff); }

// Of numbers and infinities the largest magnitude; NaN where one is NaN.
float largest_of(const char* x, int64_t n, int64_t step) {
  const auto number = [&](int64_t i) {
    float one;
    __builtin_memcpy(&one, x + i * step, sizeof(one));
    return one;
  };
  vf32 top = {}, odd = {};
  int64_t i = 0;
  if (step == sizeof(float))
    for (; i + L <= n; i += L) {
      const vf32 v = magnitude(load_f32(reinterpret_cast<const float*>(x) + i));
      top = v > top ? v : top;
      odd = v != v ? v : odd;
    }
  float most = 0.0f, wrong = 0.0f;
  for (int64_t l = 0; l < L; ++l) {
    most = top[l] > most ? top[l] : most;
    wrong = odd[l] != 0.0f ? odd[l] : wrong;
  }
  for (; i < n; ++i) {
    const float v = __builtin_fabsf(number(i));
    most = v > most ? v : most;
    wrong = v != v ? v : wrong;
  }
  return wrong != 0.0f ? wrong : most;
}

// The nearest integer of at most 127 in magnitude: adding 3 * 2^22 rounds to integers, which are the low bits then.
vi32 code_of(vf32 x) { return (vi32)(x + splat_f32(12582912.0f)); }

void to_bytes(const RowsBound& b, const char* x, char* y) {
  const float most = largest_of(x, b.numbers, b.step), scale = most < kLeast ? 0.0f : most / 127.0f;
  __builtin_memcpy(y + b.numbers, &scale, kScaleBytes);
  const bool plain = most >= kLeast && most < __builtin_inff();
  const vf32 by = splat_f32(plain ? 127.0f / most : 0.0f);
  int64_t i = 0;
  if (b.step == sizeof(float) && plain)
    for (; i + L <= b.numbers; i += L)
      store_bytes(y + i, code_of(load_f32(reinterpret_cast<const float*>(x) + i) * by));
  for (; i < b.numbers; ++i) {
    float one;
    __builtin_memcpy(&one, x + i * b.step, sizeof(one));
    y[i] = plain ? static_cast<char>(code_of(splat_f32(one) * by)[0] & 0xff) : 0;
  }
}

void to_floats(const RowsBound& b, const char* x, char* y) {
  float scale;
  __builtin_memcpy(&scale, x + b.numbers, kScaleBytes);
  const vf32 by = splat_f32(scale);
  int64_t i = 0;
  if (b.step == sizeof(float))
    for (; i + L <= b.numbers; i += L)
      store_f32(reinterpret_cast<float*>(y) + i, __builtin_convertvector(load_i8(x + i), vf32) * by);
  for (; i < b.numbers; ++i) {
    const float one = static_cast<float>(static_cast<int8_t>(x[i])) * scale;
    __builtin_memcpy(y + i * b.step, &one, sizeof(one));
  }
}

template <void (*kRow)(const RowsBound&, const char*, char*)>
int32_t rows_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state* state) {
  const RowsBound& b = *static_cast<const RowsBound*>(bound);
  const char* x = static_cast<const char*>(operand[0]);
  char* y = static_cast<char*>(operand[1]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    Cursor<2> c;
    walk_seek(b.rows, from, &c);
    for (int64_t row = from; row < to; ++row, walk_next(b.rows, &c)) kRow(b, x + c.offset[0], y + c.offset[1]);
    return ARN_OK;
  });
}

// floats: the operand of them; bytes: the other one.
template <void (*kRow)(const RowsBound&, const char*, char*)>
int32_t bind_rows(const arn_bind_args* args, void* bound, arn_bound* out, int floats) {
  const arn_desc &f = args->operand[floats], &q = args->operand[1 - floats];
  if (f.rank < 1 || f.rank != q.rank || q.dims[q.rank - 1] != f.dims[f.rank - 1] + kScaleBytes)
    return ARN_SHAPE_MISMATCH;
  const int last = f.rank - 1;
  if (q.strides[last] != 1 && element_count(q) != 0) return ARN_UNSUPPORTED;
  RowsBound* b = cleared<RowsBound>(bound);
  walk_clear(&b->rows);
  b->units = 1;
  for (int i = 0; i < last; ++i) {
    if (f.dims[i] != q.dims[i]) return ARN_SHAPE_MISMATCH;
    b->units *= f.dims[i];
    const int64_t wide = f.strides[i] * 4,
                  step[2] = {floats == 0 ? wide : q.strides[i], floats == 0 ? q.strides[i] : wide};
    walk_push(&b->rows, f.dims[i], step);
  }
  b->numbers = f.dims[last];
  b->step = f.dims[last] == 1 ? 4 : f.strides[last] * 4;
  b->tasks = tasks_for(b->units, b->units * b->numbers * 4);
  return bind_done(out, rows_tasks<kRow>, b->tasks, sizeof(RowsBound), "rows");
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(floats_to_bytes) { return ARN_NS::bind_rows<ARN_NS::to_bytes>(args, bound, out, 0); }
ARN_DEFINE_BIND(bytes_to_floats) { return ARN_NS::bind_rows<ARN_NS::to_floats>(args, bound, out, 1); }
