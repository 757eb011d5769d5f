#include "kernels/tile/byte_pair.h"

#include "simd/quanta.h"

namespace ARN_NS {
namespace {

constexpr int64_t kChunk = 4 * kLanesF32;
constexpr float kClear = 300.0f;  // quanta so far off are none of a byte

bool is_byte(int32_t dtype) { return dtype == ARN_U8 || dtype == ARN_I8; }

bool constant(const arn_tile& t, uint8_t reg, void* value) {
  const int32_t k = reg - t.n_in;
  if (k < 0 || k >= t.n_imm) return false;
  __builtin_memcpy(value, &t.imm[k], 4);
  return true;
}

bool usable(float scale) { return scale > 1e-18f && scale < 1e18f; }
bool in_range(int32_t zero, int32_t dtype) {
  const int32_t least = dtype == ARN_U8 ? 0 : -128;
  return zero >= least && zero <= least + 255;
}

// The instruction that dequantizes operand `o` and is the first to be there; its result's register, or -1.
int32_t read_operand(const arn_bind_args* args, const arn_tile_instr& i, BytePair* p, bool* seen) {
  const arn_tile& t = *args->tile;
  if (i.fn != kTile_dequantize_i32 || i.a > 1 || seen[i.a] || i.dst <= 1) return -1;
  const int o = i.a;
  seen[o] = true;
  p->dtype[o] = args->operand[o].dtype;
  const bool known = constant(t, i.b, &p->zero[o]) && constant(t, i.c, &p->scale[o]);
  return known && is_byte(p->dtype[o]) && usable(p->scale[o]) && in_range(p->zero[o], p->dtype[o]) ? i.dst : -1;
}

// How quanta are approximated; false when they can not be told well enough. With u = 2^-24, both ways of computing
// together are at most 8 u of the quantum apart for a product, for a sum 8 u of the largest number on the way.
bool approximate(BytePair* p) {
  const float quantum = 1.0f / p->out_scale;
  float largest = kClear;
  if (p->combine == kTile_mul_f32) {
    p->factor[0] = p->scale[0] * p->scale[1] * quantum;
  } else {
    const float sign = p->combine == kTile_sub_f32 ? -1.0f : 1.0f;
    p->factor[0] = p->scale[0] * quantum * (p->flipped != 0 ? sign : 1.0f);
    p->factor[1] = p->scale[1] * quantum * (p->flipped != 0 ? 1.0f : sign);
    p->offset = -(static_cast<float>(p->zero[0]) * p->factor[0] + static_cast<float>(p->zero[1]) * p->factor[1]);
    largest = 2 * 255.0f * (p->scale[0] + p->scale[1]) * quantum;
  }
  const float error = largest * 4.76837158203125e-7f;
  p->sure = 0.5f - error;
  return error < 0.01f && p->factor[0] == p->factor[0];
}

// Its rounding is its own: not inlined, so that no sum is contracted with it.
__attribute__((noinline)) vf32 dequantized(vi32 x, int32_t zero, float scale) {
  return __builtin_convertvector(x - zero, vf32) * scale;
}

vi32 load_bytes(const uint8_t* p, int32_t dtype) { return dtype == ARN_I8 ? load_i8(p) : load_u8(p); }

// The quotients that the program rounds; its limits are those of the bytes.
vf32 program_quotient(const BytePair& p, const uint8_t* a, const uint8_t* b) {
  const vf32 x = dequantized(load_bytes(a, p.dtype[0]), p.zero[0], p.scale[0]);
  const vf32 y = dequantized(load_bytes(b, p.dtype[1]), p.zero[1], p.scale[1]);
  if (p.combine == kTile_mul_f32) return x * y / p.out_scale;
  if (p.combine == kTile_add_f32) return (x + y) / p.out_scale;
  return (p.flipped != 0 ? y - x : x - y) / p.out_scale;
}

template <bool kMultiplies>
void run_chunks(const BytePair& p, int64_t n, uint8_t* dst, const uint8_t* a, const uint8_t* b) {
  constexpr int64_t L = kLanesF32;
  const Quanta quanta(p.out_dtype, p.out_zero, p.low, p.high);
  const vf32 factor_a = splat_f32(p.factor[0]), factor_b = splat_f32(p.factor[1]), offset = splat_f32(p.offset);
  const vf32 whole = splat_f32(12582912.0f), sure = splat_f32(p.sure);  // 1.5 * 2^23
  const vf32 clear = splat_f32(kClear);
  const int32_t type_a = p.dtype[0], type_b = p.dtype[1];
  const vi32 zero_a = p.zero[0] - vi32{}, zero_b = p.zero[1] - vi32{};
  const auto quotient = [&](int64_t at) __attribute__((always_inline)) {
    const vi32 x = load_bytes(a + at, type_a), y = load_bytes(b + at, type_b);
    if constexpr (kMultiplies) {
      const vf32 q = __builtin_convertvector(x - zero_a, vf32) * __builtin_convertvector(y - zero_b, vf32) * factor_a;
      const vf32 up = q > -clear ? q : -clear;
      return up < clear ? up : clear;
    }
    return __builtin_convertvector(x, vf32) * factor_a + (__builtin_convertvector(y, vf32) * factor_b + offset);
  };
  const auto apart = [&](vf32 q) __attribute__((always_inline)) {
    const vf32 d = q - ((q + whole) - whole);
    return (vf32)((vi32)d & INT32_MAX);
  };
  const auto larger = [](vf32 x, vf32 y) __attribute__((always_inline)) { return x > y ? x : y; };
  for (int64_t i = 0; i < n; i += kChunk) {
    const vf32 q0 = quotient(i), q1 = quotient(i + L), q2 = quotient(i + 2 * L), q3 = quotient(i + 3 * L);
    const vf32 worst = larger(larger(apart(q0), apart(q1)), larger(apart(q2), apart(q3)));
    if (!any_lane(worst > sure)) {
      quanta.store(dst + i, q0, q1, q2, q3);
      continue;
    }
    const vf32 all[4] = {q0, q1, q2, q3};
    for (int64_t v = 0; v < 4; ++v) {
      if (any_lane(apart(all[v]) > sure))
        quanta.store(dst + i + v * L, program_quotient(p, a + i + v * L, b + i + v * L));
      else
        quanta.store(dst + i + v * L, all[v]);
    }
  }
}

}  // namespace

bool read_byte_pair(const arn_bind_args* args, BytePair* p) {
  const arn_tile& t = *args->tile;
  if (t.n_in != 2 || t.n_out != 1 || args->n_in != 2 || args->n_out != 1 || t.first_operand != 0) return false;
  if (t.n_instr < 4 || t.n_instr > 5) return false;
  *p = BytePair{};
  bool seen[2] = {false, false};
  int32_t value[2] = {-1, -1};  // registers of what operands 0 and 1 are
  for (int k = 0; k < 2; ++k) {
    const int32_t reg = read_operand(args, t.instr[k], p, seen);
    if (reg < 0 || (k == 1 && reg == value[1 - t.instr[1].a])) return false;
    value[t.instr[k].a] = reg;
  }
  const arn_tile_instr& combine = t.instr[2];
  if (combine.fn != kTile_add_f32 && combine.fn != kTile_sub_f32 && combine.fn != kTile_mul_f32) return false;
  p->flipped = combine.a == value[1];
  if (combine.a != value[p->flipped] || combine.b != value[1 - p->flipped]) return false;
  p->combine = combine.fn;
  uint8_t result = combine.dst;
  if (t.n_instr == 5) {
    if (!read_activation(t, t.instr[3], result, &p->activation) || p->activation.limited == 0) return false;
    result = t.instr[3].dst;
  }
  const arn_tile_instr& last = t.instr[t.n_instr - 1];
  p->out_dtype = args->operand[2].dtype;
  const bool fits = (last.fn == kTile_quantize_u8_f32 && p->out_dtype == ARN_U8) ||
                    (last.fn == kTile_quantize_i8_f32 && p->out_dtype == ARN_I8);
  if (!fits || last.a != result || !constant(t, last.b, &p->out_scale) || !constant(t, last.c, &p->out_zero))
    return false;
  if (t.out_reg[0] != last.dst || !usable(p->out_scale) || !in_range(p->out_zero, p->out_dtype)) return false;
  const bool limited = p->activation.limited != 0;
  p->low = limited ? p->activation.low / p->out_scale : -__builtin_inff();
  p->high = limited ? p->activation.high / p->out_scale : __builtin_inff();
  return p->low <= p->high && approximate(p);
}

void run_byte_pair(const BytePair& p, int64_t n, uint8_t* dst, const uint8_t* a, const uint8_t* b) {
  const auto run = p.combine == kTile_mul_f32 ? run_chunks<true> : run_chunks<false>;
  const int64_t whole = n / kChunk * kChunk, rest = n - whole;
  run(p, whole, dst, a, b);
  if (rest == 0) return;
  uint8_t x[kChunk] = {}, y[kChunk] = {}, z[kChunk];
  __builtin_memcpy(x, a + whole, static_cast<size_t>(rest));
  __builtin_memcpy(y, b + whole, static_cast<size_t>(rest));
  run(p, kChunk, z, x, y);
  __builtin_memcpy(dst + whole, z, static_cast<size_t>(rest));
}

}  // namespace ARN_NS
