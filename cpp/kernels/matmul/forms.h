// Epilogue programs that matrix products do in registers: relu, an addition, an addition and relu.
#pragma once

#include "kernels/matmul/gemm.h"

namespace ARN_NS {

struct RegisterForm {
  bool known, relu;
  int32_t add;  // operand to add, or -1
};

// What args->tile is, when the block, the operand and the output are f32; not known without a program.
static inline RegisterForm register_form(const arn_bind_args* args) {
  enum : uint16_t {
#define ARN_TILE_FN(name, result, a, b, c) kTile_##name,
#include "kernels/tile/functions.inc"
#undef ARN_TILE_FN
  };
  RegisterForm form{false, false, -1};
  const arn_tile* t = args->tile;
  if (t == nullptr || t->n_out != 1 || args->n_out != 1 || t->n_imm != 0 || t->n_instr < 1 || t->n_instr > 2)
    return form;
  if (t->reg_dtype[0] != ARN_F32 || args->operand[0].dtype != ARN_F32 || args->operand[args->n_in].dtype != ARN_F32)
    return form;
  int32_t at = 0;
  uint8_t value = 0;  // the register that holds the result so far
  if (t->instr[0].fn == kTile_add_f32) {
    const arn_tile_instr& i = t->instr[at++];
    const bool block_and_operand = (i.a == 0 && i.b == 1) || (i.a == 1 && i.b == 0);
    if (t->n_in != 2 || !block_and_operand) return form;
    form.add = t->first_operand;
    if (form.add < 0 || form.add >= args->n_in || args->operand[form.add].dtype != ARN_F32) return form;
    value = i.dst;
  } else if (t->n_in != 1) {
    return form;
  }
  if (at < t->n_instr) {
    if (t->instr[at].fn != kTile_relu_f32 || t->instr[at].a != value) return form;
    value = t->instr[at++].dst;
    form.relu = true;
  }
  form.known = at == t->n_instr && t->out_reg[0] == value;
  return form;
}

}  // namespace ARN_NS
