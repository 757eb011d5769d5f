// Epilogue programs that matrix products do by themselves: an addition, an activation, or one after the other.
#pragma once

#include "kernels/matmul/gemm.h"

namespace ARN_NS {

struct RegisterForm {
  bool known;
  int32_t add;  // operand to add, or -1
  BlockActivation activation;
};

// What args->tile is, when the block, the operand and the output are f32; not known without a program.
static inline RegisterForm register_form(const arn_bind_args* args) {
  RegisterForm form{false, -1, {}};
  const arn_tile* t = args->tile;
  if (t == nullptr || t->n_out != 1 || args->n_out != 1 || t->n_instr < 1 || t->n_instr > 2) return form;
  if (t->reg_dtype[0] != ARN_F32 || args->operand[0].dtype != ARN_F32 || args->operand[args->n_in].dtype != ARN_F32)
    return form;
  int32_t at = 0;
  uint8_t value = 0;  // the register that holds the result so far
  const arn_tile_instr& first = t->instr[0];
  if (first.fn == kTile_add_f32 && t->n_in == 2) {
    const bool block_and_operand = (first.a == 0 && first.b == 1) || (first.a == 1 && first.b == 0);
    if (!block_and_operand) return form;
    form.add = t->first_operand;
    if (form.add < 0 || form.add >= args->n_in || args->operand[form.add].dtype != ARN_F32) return form;
    value = first.dst;
    ++at;
  } else if (t->n_in != 1) {
    return form;
  }
  if (at < t->n_instr) {
    if (!read_activation(*t, t->instr[at], value, &form.activation)) return form;
    value = t->instr[at++].dst;
  }
  form.known = at == t->n_instr && t->out_reg[0] == value;
  return form;
}

}  // namespace ARN_NS
