// Lines of x along its last dim, of float32, or of bytes that stand for (x - zero) * scale: read as floats into
// scratch, a block of lines at a time, changed there, and stored by an epilogue, which may round them to bytes.
//
//   bind:  lines_bind(args, told, own_scratch, &b) operands: x is 0, its scale? `told`, its zero point? the next one;
//                                                  own_scratch: bytes a thread
//   run:   lines_run(b, operand, ..., line)        calls line(float* values) for every line
#pragma once

#include "kernels/tile/epilogue.h"
#include "kernels/units.h"
#include "kernels/walk.h"
#include "simd/bytes.h"

namespace ARN_NS {

constexpr int64_t kLinesBlock = 4096;  // elements of a block, or one line
constexpr double kLinesTask = 1 << 15;

struct Lines {
  Walk<1> rows;
  int64_t count, length, step;  // lines, their elements and stride
  int64_t block, units, units_per_task;
  int64_t at_values, at_epilogue;  // offsets in thread scratch, in bytes
  int32_t dtype, scale, zero;      // operands, -1: absent
  Epilogue epilogue;
};

static inline int32_t lines_bind(const arn_bind_args* args, int32_t told, int64_t own_scratch, Lines* b) {
  const arn_desc &x = args->operand[0], &y = args->operand[args->n_in];
  if (x.rank < 1 || !same_dims(x, y) || args->n_in <= told + 1) return ARN_SHAPE_MISMATCH;
  b->dtype = x.dtype;
  const arn_desc &scale = args->operand[told], &zero = args->operand[told + 1];
  b->scale = scale.dtype == ARN_NONE ? -1 : told;
  b->zero = zero.dtype == ARN_NONE ? -1 : told + 1;
  if ((x.dtype == ARN_F32) != (b->scale < 0)) return ARN_UNSUPPORTED;
  if (b->scale >= 0 && element_count(scale) != 1) return ARN_SHAPE_MISMATCH;
  if (b->zero >= 0 && (b->scale < 0 || zero.dtype != x.dtype)) return ARN_UNSUPPORTED;
  if (b->zero >= 0 && element_count(zero) != 1) return ARN_SHAPE_MISMATCH;
  if (args->tile != nullptr && args->tile->reg_dtype[0] != ARN_F32) return ARN_UNSUPPORTED;
  const int32_t last = x.rank - 1, bad = epilogue_bind(args, last, last, &b->epilogue);
  if (bad != ARN_OK) return bad;
  walk_clear(&b->rows);
  for (int i = 0; i < last; ++i) walk_push(&b->rows, x.dims[i], {x.strides[i]});
  b->length = x.dims[last];
  b->step = x.strides[last];
  b->count = b->length == 0 ? 0 : walk_count(b->rows);
  b->block = max64(1, min64(b->count, kLinesBlock / max64(1, b->length)));
  b->units = ceil_div(b->count, b->block);
  b->units_per_task = units_for_task(static_cast<double>(b->count * b->length), b->units, kLinesTask);
  b->at_values = round_up(own_scratch, ARN_ALIGN);
  b->at_epilogue = b->at_values + round_up(b->block * b->length * 4, ARN_ALIGN);
  return ARN_OK;
}

static inline void lines_bound(const Lines& b, int64_t bound_bytes, const char* variant, arn_bound* out) {
  out->tasks = ceil_div(b.units, b.units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b.at_epilogue + b.epilogue.core.scratch_bytes;
  out->bound_bytes = bound_bytes;
  out->variant = variant;
}

template <bool kSigned>
static inline void widen_line(const uint8_t* x, int64_t step, int64_t n, int32_t zero, float scale, float* to) {
  int64_t i = 0;
  for (; step == 1 && i + kLanesF32 <= n; i += kLanesF32)
    store_f32(to + i, __builtin_convertvector((kSigned ? load_i8(x + i) : load_u8(x + i)) - zero, vf32) * scale);
  for (; i < n; ++i) {
    const int32_t byte = kSigned ? static_cast<int8_t>(x[i * step]) : x[i * step];
    to[i] = static_cast<float>(byte - zero) * scale;
  }
}

static inline void read_line(const Lines& b, const char* x, int32_t zero, float scale, float* to) {
  if (b.dtype == ARN_U8)
    return widen_line<false>(reinterpret_cast<const uint8_t*>(x), b.step, b.length, zero, scale, to);
  if (b.dtype == ARN_I8)
    return widen_line<true>(reinterpret_cast<const uint8_t*>(x), b.step, b.length, zero, scale, to);
  const float* from = reinterpret_cast<const float*>(x);
  if (b.step == 1)
    __builtin_memcpy(to, from, static_cast<size_t>(b.length) * 4);
  else
    for (int64_t i = 0; i < b.length; ++i) to[i] = from[i * b.step];
}

template <typename Line>
static inline int32_t lines_run(const Lines& b, void* const* operand, int64_t begin, int64_t end, void* thread_scratch,
                                const arn_state* state, Line&& line) {
  if (begin >= end) return ARN_OK;
  char* scratch = static_cast<char*>(thread_scratch);
  float* values = reinterpret_cast<float*>(scratch + b.at_values);
  epilogue_begin(b.epilogue, operand, scratch + b.at_epilogue);
  const float scale = b.scale < 0 ? 1.0f : *static_cast<const float*>(operand[b.scale]);
  const int64_t size = element_bytes(b.dtype);
  int32_t zero = 0;
  if (b.zero >= 0)
    zero = b.dtype == ARN_I8 ? *static_cast<const int8_t*>(operand[b.zero])
                             : int32_t(*static_cast<const uint8_t*>(operand[b.zero]));
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) {
    const int64_t first = u * b.block, n = min64(b.block, b.count - first);
    Cursor<1> c;
    walk_seek(b.rows, first, &c);
    for (int64_t i = 0; i < n; ++i) {
      read_line(b, static_cast<const char*>(operand[0]) + c.offset[0] * size, zero, scale, values + i * b.length);
      walk_next(b.rows, &c);
      line(values + i * b.length);
    }
    epilogue_run(b.epilogue, operand, first, n, 0, b.length, values, b.length, scratch + b.at_epilogue);
  });
}

}  // namespace ARN_NS
