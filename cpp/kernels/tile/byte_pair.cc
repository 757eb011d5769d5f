#include "kernels/tile/byte_pair.h"

#include "simd/quanta.h"

namespace ARN_NS {
namespace {

constexpr int64_t kChunk = 4 * kLanesF32;
constexpr float kError = 4.76837158203125e-7f;  // 8 * 2^-24
constexpr float kClear = 300.0f;                // quanta so far off are none of a byte

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
    p->factor[0] = p->scale[0] * p->scale[1] * quantum;  // the scale of floats is 1
  } else if (p->dtype[0] == ARN_F32 || p->dtype[1] == ARN_F32) {
    const int bytes = p->dtype[0] == ARN_F32 ? 1 : 0;
    p->factor[0] = p->scale[bytes] * quantum;
    p->factor[1] = quantum;
    p->offset = -static_cast<float>(p->zero[bytes]) * p->factor[0];
    largest = 2 * 255.0f * p->factor[0];  // the floats' part is added where it is known
  } else {
    const float sign = p->combine == kTile_sub_f32 ? -1.0f : 1.0f;
    p->factor[0] = p->scale[0] * quantum * (p->flipped != 0 ? sign : 1.0f);
    p->factor[1] = p->scale[1] * quantum * (p->flipped != 0 ? 1.0f : sign);
    p->offset = -(static_cast<float>(p->zero[0]) * p->factor[0] + static_cast<float>(p->zero[1]) * p->factor[1]);
    largest = 2 * 255.0f * (p->scale[0] + p->scale[1]) * quantum;
  }
  const float error = largest * kError;
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

enum Combine { kSum, kProduct, kSumWithFloats, kProductWithFloats };

// Quotients of vectors, and what is stored for them. With floats: they are b.
template <Combine kCombine>
struct PairRun {
  static constexpr int64_t L = kLanesF32;
  static constexpr bool kFloats = kCombine == kSumWithFloats || kCombine == kProductWithFloats;
  const BytePair& p;
  const uint8_t* a;
  const void* b;
  uint8_t* dst;
  const int bytes = kFloats && p.dtype[0] == ARN_F32 ? 1 : 0;  // the operand that a is
  const Quanta quanta{p.out_dtype, p.out_zero, p.low, p.high};
  const vf32 factor_a = splat_f32(p.factor[0]), factor_b = splat_f32(p.factor[1]), offset = splat_f32(p.offset);
  const vf32 sure = splat_f32(p.sure), clear = splat_f32(kClear);
  const vi32 zero_a = p.zero[bytes] - vi32{}, zero_b = p.zero[1 - bytes] - vi32{};

  vi32 first(int64_t at) const { return load_bytes(a + at, p.dtype[bytes]); }
  vi32 second(int64_t at) const { return load_bytes(static_cast<const uint8_t*>(b) + at, p.dtype[1 - bytes]); }
  vf32 floats(int64_t at) const { return load_f32(static_cast<const float*>(b) + at); }

  vf32 quotient(int64_t at) const {
    const vi32 x = first(at);
    if constexpr (kCombine == kSum)
      return __builtin_convertvector(x, vf32) * factor_a +
             (__builtin_convertvector(second(at), vf32) * factor_b + offset);
    vf32 q;
    if constexpr (kCombine == kSumWithFloats)
      q = __builtin_convertvector(x, vf32) * factor_a + (floats(at) * factor_b + offset);
    if constexpr (kCombine == kProductWithFloats) q = __builtin_convertvector(x - zero_a, vf32) * factor_a * floats(at);
    if constexpr (kCombine == kProduct)
      q = __builtin_convertvector(x - zero_a, vf32) * __builtin_convertvector(second(at) - zero_b, vf32) * factor_a;
    const vf32 up = q > -clear ? q : -clear;
    return up < clear ? up : clear;
  }
  // How far from an integer, and how much farther the floats' part makes it doubtful.
  vf32 doubt(vf32 q, int64_t at) const {
    const vf32 whole = splat_f32(12582912.0f);  // 1.5 * 2^23
    const vf32 d = q - ((q + whole) - whole), apart = (vf32)((vi32)d & INT32_MAX);
    if constexpr (kCombine != kSumWithFloats) return apart;
    const vf32 part = floats(at) * factor_b, size = (vf32)((vi32)part & INT32_MAX), most = splat_f32(1e10f);
    return apart + (size < most ? size : most) * kError;
  }
  vf32 of_program(int64_t at) const {
    if constexpr (!kFloats) return program_quotient(p, a + at, static_cast<const uint8_t*>(b) + at);
    const vf32 x = dequantized(first(at), p.zero[bytes], p.scale[bytes]);
    return (kCombine == kSumWithFloats ? x + floats(at) : x * floats(at)) / p.out_scale;
  }
  void one(int64_t at, vf32 q, vf32 doubtful) const {
    quanta.store(dst + at, any_lane(doubtful > sure) ? of_program(at) : q);
  }
  void one(int64_t at) const {
    const vf32 q = quotient(at);
    one(at, q, doubt(q, at));
  }
  // Four vectors.
  void chunk(int64_t at) const {
    const auto larger = [](vf32 x, vf32 y) __attribute__((always_inline)) { return x > y ? x : y; };
    vf32 q[4], d[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      q[v] = quotient(at + v * L);
      d[v] = doubt(q[v], at + v * L);
    }
    if (!any_lane(larger(larger(d[0], d[1]), larger(d[2], d[3])) > sure))
      return quanta.store(dst + at, q[0], q[1], q[2], q[3]);
    for (int v = 0; v < 4; ++v) one(at + v * L, q[v], d[v]);
  }
};

template <Combine kCombine>
void run_pair_of(const BytePair& p, int64_t n, uint8_t* dst, const uint8_t* a, const void* b) {
  constexpr int64_t L = kLanesF32, kSize = PairRun<kCombine>::kFloats ? 4 : 1;
  const PairRun<kCombine> run{p, a, b, dst};
  const int64_t chunks = n / kChunk * kChunk, whole = n / L * L, rest = n - whole;
  for (int64_t i = 0; i < chunks; i += kChunk) run.chunk(i);
  for (int64_t i = chunks; i < whole; i += L) run.one(i);
  if (rest == 0) return;
  alignas(4) uint8_t x[L] = {}, y[L * kSize] = {}, z[L];
  __builtin_memcpy(x, a + whole, static_cast<size_t>(rest));
  __builtin_memcpy(y, static_cast<const char*>(b) + whole * kSize, static_cast<size_t>(rest * kSize));
  PairRun<kCombine>{p, x, y, z}.one(0);
  __builtin_memcpy(dst + whole, z, static_cast<size_t>(rest));
}

}  // namespace

bool read_byte_pair(const arn_bind_args* args, BytePair* p) {
  const arn_tile& t = *args->tile;
  if (t.n_in != 2 || t.n_out != 1 || args->n_in != 2 || args->n_out != 1 || t.first_operand != 0) return false;
  if (t.n_instr < 3 || t.n_instr > 5) return false;
  *p = BytePair{};
  bool seen[2] = {false, false};
  int32_t value[2] = {-1, -1};  // registers of what operands 0 and 1 are
  int32_t at = 0;               // instructions
  for (int k = 0; k < 2; ++k) {
    if (args->operand[k].dtype != ARN_F32) continue;
    if (at++ != 0) return false;
    p->dtype[k] = ARN_F32;
    p->scale[k] = 1;
    value[k] = k;
  }
  const bool floats = at != 0;
  for (at = 0; at < (floats ? 1 : 2); ++at) {
    const int32_t reg = read_operand(args, t.instr[at], p, seen);
    if (reg < 0 || (at == 1 && reg == value[1 - t.instr[1].a])) return false;
    value[t.instr[at].a] = reg;
  }
  const arn_tile_instr& combine = t.instr[at++];
  if (combine.fn != kTile_add_f32 && combine.fn != kTile_sub_f32 && combine.fn != kTile_mul_f32) return false;
  p->flipped = combine.a == value[1];
  if (combine.a != value[p->flipped] || combine.b != value[1 - p->flipped]) return false;
  if (floats && combine.fn == kTile_sub_f32) return false;
  p->combine = combine.fn;
  uint8_t result = combine.dst;
  if (t.n_instr > at + 1) {
    if (floats) return false;  // NaN becomes the lowest byte, which the limits of bytes would raise
    if (!read_activation(t, t.instr[at], result, &p->activation) || p->activation.limited == 0) return false;
    result = t.instr[at++].dst;
  }
  if (t.n_instr != at + 1) return false;
  const arn_tile_instr& last = t.instr[at];
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

void run_byte_pair(const BytePair& p, int64_t n, uint8_t* dst, const void* a, const void* b) {
  const bool multiplies = p.combine == kTile_mul_f32;
  if (p.dtype[0] != ARN_F32 && p.dtype[1] != ARN_F32) {
    const auto run = multiplies ? run_pair_of<kProduct> : run_pair_of<kSum>;
    return run(p, n, dst, static_cast<const uint8_t*>(a), b);
  }
  const bool first = p.dtype[0] == ARN_F32;
  const auto run = multiplies ? run_pair_of<kProductWithFloats> : run_pair_of<kSumWithFloats>;
  run(p, n, dst, static_cast<const uint8_t*>(first ? b : a), first ? a : b);
}

}  // namespace ARN_NS
