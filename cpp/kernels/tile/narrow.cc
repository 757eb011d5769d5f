#include "kernels/tile/narrow.h"

#include "kernels/tile/activation.h"
#include "kernels/tile/convert.h"

namespace ARN_NS {
namespace {

// What a function needs of its operands and says of its result.
enum : uint8_t {
  kLowBits = 0,
  kNeedsWhole = 1,
  kGivesWhole = 2,
  kPassesWhole = 4,      // the result is whole when the operands are
  kUnsignedIsWhole = 8,  // whole when the type has no sign
};

struct Twin {
  uint16_t wide, narrow;
  uint8_t rule;
};

#define ARN_TWINS(type)                                                                                               \
  {kTile_add_i32, kTile_add_##type, kLowBits}, {kTile_sub_i32, kTile_sub_##type, kLowBits},                           \
      {kTile_mul_i32, kTile_mul_##type, kLowBits}, {kTile_min_i32, kTile_min_##type, kNeedsWhole | kGivesWhole},      \
      {kTile_max_i32, kTile_max_##type, kNeedsWhole | kGivesWhole},                                                   \
      {kTile_clip_i32, kTile_clip_##type, kNeedsWhole | kGivesWhole}, {kTile_neg_i32, kTile_neg_##type, kLowBits},    \
      {kTile_abs_i32, kTile_abs_##type, kNeedsWhole | kUnsignedIsWhole},                                              \
      {kTile_sign_i32, kTile_sign_##type, kNeedsWhole | kGivesWhole},                                                 \
      {kTile_relu_i32, kTile_relu_##type, kNeedsWhole | kGivesWhole},                                                 \
      {kTile_prelu_i32, kTile_prelu_##type, kNeedsWhole}, {kTile_eq_i32, kTile_eq_##type, kNeedsWhole},               \
      {kTile_lt_i32, kTile_lt_##type, kNeedsWhole}, {kTile_le_i32, kTile_le_##type, kNeedsWhole},                     \
      {kTile_bit_and_i32, kTile_bit_and_##type, kPassesWhole}, {kTile_bit_or_i32, kTile_bit_or_##type, kPassesWhole}, \
      {kTile_bit_xor_i32, kTile_bit_xor_##type, kPassesWhole}, {kTile_bit_not_i32, kTile_bit_not_##type, kLowBits},   \
      {kTile_where_i32, kTile_where_##type, kPassesWhole},                                                            \
      {kTile_cast_i32_bool, kTile_cast_##type##_bool, kNeedsWhole}, {                                                 \
    kTile_cast_bool_i32, kTile_cast_bool_##type, kGivesWhole                                                          \
  }
constexpr Twin kU8[] = {ARN_TWINS(u8)};
constexpr Twin kI8[] = {ARN_TWINS(i8)};
constexpr Twin kU16[] = {ARN_TWINS(u16)};
constexpr Twin kI16[] = {ARN_TWINS(i16)};
#undef ARN_TWINS
constexpr Twin kF16[] = {
    {kTile_neg_f32, kTile_neg_f16, kGivesWhole},     {kTile_abs_f32, kTile_abs_f16, kGivesWhole},
    {kTile_sign_f32, kTile_sign_f16, kGivesWhole},   {kTile_eq_f32, kTile_eq_f16, kNeedsWhole},
    {kTile_lt_f32, kTile_lt_f16, kNeedsWhole},       {kTile_le_f32, kTile_le_f16, kNeedsWhole},
    {kTile_isnan_f32, kTile_isnan_f16, kNeedsWhole}, {kTile_isinf_f32, kTile_isinf_f16, kNeedsWhole},
    {kTile_where_f32, kTile_where_f16, kGivesWhole}};
constexpr Twin kBool[] = {{kTile_eq_bool, kTile_eq_bool, kLowBits},   {kTile_and_bool, kTile_and_bool, kLowBits},
                          {kTile_or_bool, kTile_or_bool, kLowBits},   {kTile_xor_bool, kTile_xor_bool, kLowBits},
                          {kTile_not_bool, kTile_not_bool, kLowBits}, {kTile_where_bool, kTile_where_bool, kLowBits}};

struct Form {
  int32_t narrow, wide;  // types
  int64_t low, high;     // integers
  const Twin* twins;
  int32_t count;
};
template <int N>
constexpr Form form(int32_t narrow, int32_t wide, int64_t low, int64_t high, const Twin (&twins)[N]) {
  return Form{narrow, wide, low, high, twins, N};
}
constexpr Form kForms[] = {form(ARN_U8, ARN_I32, 0, 255, kU8), form(ARN_I8, ARN_I32, -128, 127, kI8),
                           form(ARN_U16, ARN_I32, 0, 65535, kU16), form(ARN_I16, ARN_I32, -32768, 32767, kI16),
                           form(ARN_F16, ARN_F32, 0, 0, kF16)};

const Twin* find(const Twin* twins, int32_t count, uint16_t fn) {
  for (int32_t k = 0; k < count; ++k)
    if (twins[k].wide == fn) return &twins[k];
  return nullptr;
}

// The immediate in the narrow type. Whether it is usable; `whole` says whether the type has that very number.
bool narrow_immediate(const Form& f, uint64_t wide, uint64_t* to, bool* whole) {
  *to = 0;
  if (f.narrow == ARN_F16) {
    float back;
    narrow(ARN_F16, 1, to, &wide);
    widen(ARN_F16, 1, &back, to);
    return *whole = __builtin_memcmp(&back, &wide, sizeof(back)) == 0;
  }
  int32_t value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  *whole = f.low <= value && value <= f.high;
  narrow(f.narrow, 1, to, &wide);
  return true;
}

bool rewrite(const arn_bind_args* args, const Form& f, arn_tile* to) {
  *to = *args->tile;
  bool whole[ARN_TILE_MAX_REGS] = {};
  const int64_t width = element_bytes(f.narrow);
  const auto is_ours = [&](int32_t dtype) {  // in storage
    return f.narrow == ARN_F16
               ? dtype == ARN_F16
               : dtype == ARN_BOOL || (element_bytes(dtype) == width &&
                                       (dtype == ARN_U8 || dtype == ARN_I8 || dtype == ARN_U16 || dtype == ARN_I16));
  };
  for (int32_t r = 0; r < to->n_regs; ++r) {
    if (to->reg_dtype[r] != f.wide && to->reg_dtype[r] != ARN_BOOL) return false;
    if (to->reg_dtype[r] == f.wide) to->reg_dtype[r] = static_cast<uint8_t>(f.narrow);
  }
  for (int32_t r = 0; r < to->n_in; ++r) {
    const int32_t dtype = args->operand[r].dtype;
    if (to->reg_dtype[r] == ARN_BOOL) {
      if (dtype != ARN_BOOL) return false;
      continue;
    }
    if (dtype == ARN_BOOL || !is_ours(dtype)) return false;
    whole[r] = dtype == f.narrow;
  }
  for (int32_t k = 0; k < to->n_imm; ++k) {
    const int32_t r = to->n_in + k;
    if (to->reg_dtype[r] != ARN_BOOL && !narrow_immediate(f, args->tile->imm[k], &to->imm[k], &whole[r])) return false;
  }
  for (int32_t k = 0; k < to->n_instr; ++k) {
    arn_tile_instr& i = to->instr[k];
    const Twin* twin = find(f.twins, f.count, i.fn);
    if (twin == nullptr) twin = find(kBool, sizeof(kBool) / sizeof(kBool[0]), i.fn);
    if (twin == nullptr) return false;
    const TileTypes& types = kTileTypes[twin->narrow];
    const uint8_t source[3] = {i.a, i.b, i.c};
    bool all = true;
    for (int s = 0; s < 3; ++s)
      if (types.arg[s] == f.narrow && source[s] < ARN_TILE_MAX_REGS) all = all && whole[source[s]];
    if ((twin->rule & kNeedsWhole) != 0 && !all) return false;
    if (i.dst >= ARN_TILE_MAX_REGS) return false;
    whole[i.dst] = (twin->rule & kGivesWhole) != 0 || ((twin->rule & kPassesWhole) != 0 && all) ||
                   ((twin->rule & kUnsignedIsWhole) != 0 && f.low == 0);
    i.fn = twin->narrow;
  }
  for (int32_t o = 0; o < to->n_out; ++o) {
    const int32_t dtype = args->operand[args->n_in + o].dtype, reg = to->out_reg[o];
    const bool fits = reg < ARN_TILE_MAX_REGS &&
                      (to->reg_dtype[reg] == ARN_BOOL ? dtype == ARN_BOOL : dtype != ARN_BOOL && is_ours(dtype));
    if (!fits) return false;
  }
  return true;
}

}  // namespace

bool narrow_program(const arn_bind_args* args, arn_tile* to) {
  const arn_tile& t = *args->tile;
  if (t.first_operand != 0 || t.n_in > args->n_in || t.n_out > args->n_out || t.n_regs > ARN_TILE_MAX_REGS ||
      t.n_in + t.n_imm > t.n_regs || t.n_instr > ARN_TILE_MAX_INSTR || t.n_in < 0 || t.n_imm < 0)
    return false;
  for (const Form& f : kForms)
    if (rewrite(args, f, to)) return true;
  return false;
}

}  // namespace ARN_NS
