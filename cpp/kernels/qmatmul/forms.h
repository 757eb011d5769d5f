// Epilogue programs that integer products do by themselves: [+ residual] [activation] [quantize].
#pragma once

#include "kernels/qmatmul/qgemm.h"

namespace ARN_NS {

// The residual is an operand of f32, or bytes that a dequantize of constant scale and zero point reads. The result of
// quantize has a constant scale and zero point and is stored as bytes of its kind.
struct QForm {
  bool known;
  int32_t add;  // operand to add, or -1
  int32_t add_dtype, add_zero;
  float add_scale;
  BlockActivation activation;
  int32_t quantizes, out_zero;
  float out_scale;
};

// What args->tile is, for a block of f32; not known without a program.
QForm read_form(const arn_bind_args* args);

// Puts the form and the output's type into f, whose columns are then made with per_quantum of f.in_quanta != 0 ?
// f.out_scale : 1. Pointers and strides are left to the caller.
void apply_form(const QForm& form, int32_t out_dtype, QFinish* f);

}  // namespace ARN_NS
