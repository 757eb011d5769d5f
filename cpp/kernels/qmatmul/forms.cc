#include "kernels/qmatmul/forms.h"

namespace ARN_NS {
namespace {

class Reader {
 public:
  explicit Reader(const arn_bind_args* args) : args_(*args), t_(*args->tile) {}

  QForm read() {
    QForm form{};
    form.add = -1;
    form.out_scale = 1;
    add(&form);
    if (at_ < t_.n_instr && read_activation(t_, t_.instr[at_], value_, &form.activation)) value_ = t_.instr[at_++].dst;
    quantize(&form);
    const int32_t operands = form.add >= 0 ? 2 : 1, out = args_.operand[args_.n_in].dtype;
    form.known = at_ == t_.n_instr && t_.n_instr > 0 && t_.out_reg[0] == value_ && t_.n_in == operands &&
                 (form.quantizes != 0 || out == ARN_F32);
    return form;
  }

 private:
  bool constant(uint8_t reg, void* value) const {
    const int32_t k = reg - t_.n_in;
    if (k < 0 || k >= t_.n_imm) return false;
    __builtin_memcpy(value, &t_.imm[k], 4);
    return true;
  }

  void add(QForm* form) {
    if (t_.n_in != 2) return;
    const int32_t operand = t_.first_operand;
    if (operand < 0 || operand >= args_.n_in) return;
    const int32_t dtype = args_.operand[operand].dtype;
    int32_t at = at_;
    uint8_t added = 1;
    if (dtype == ARN_U8 || dtype == ARN_I8) {
      const arn_tile_instr& i = t_.instr[at];
      if (at >= t_.n_instr || i.fn != kTile_dequantize_i32 || i.a != 1 || i.dst == value_) return;
      if (!constant(i.b, &form->add_zero) || !constant(i.c, &form->add_scale)) return;
      added = i.dst;
      ++at;
    } else if (dtype != ARN_F32) {
      return;
    }
    if (at >= t_.n_instr) return;
    const arn_tile_instr& i = t_.instr[at];
    const bool both = (i.a == value_ && i.b == added) || (i.a == added && i.b == value_);
    if (i.fn != kTile_add_f32 || !both) return;
    if (dtype == ARN_F32) form->add_scale = 1;
    form->add = operand;
    form->add_dtype = dtype;
    value_ = i.dst;
    at_ = at + 1;
  }

  void quantize(QForm* form) {
    if (at_ >= t_.n_instr) return;
    const arn_tile_instr& i = t_.instr[at_];
    const int32_t out = args_.operand[args_.n_in].dtype;
    const bool fits =
        (i.fn == kTile_quantize_u8_f32 && out == ARN_U8) || (i.fn == kTile_quantize_i8_f32 && out == ARN_I8);
    if (!fits || i.a != value_ || !constant(i.b, &form->out_scale) || !constant(i.c, &form->out_zero)) return;
    const int32_t least = out == ARN_U8 ? 0 : -128;
    if (form->out_zero < least || form->out_zero > least + 255) return;
    form->quantizes = 1;
    value_ = i.dst;
    ++at_;
  }

  const arn_bind_args& args_;
  const arn_tile& t_;
  int32_t at_ = 0;
  uint8_t value_ = 0;  // the register that holds the result so far
};

}  // namespace

QForm read_form(const arn_bind_args* args) {
  const arn_tile* t = args->tile;
  if (t == nullptr || t->n_out != 1 || args->n_out != 1 || t->reg_dtype[0] != ARN_F32) {
    QForm none{};
    none.add = -1;
    return none;
  }
  return Reader(args).read();
}

void apply_form(const QForm& form, int32_t out_dtype, QFinish* f) {
  f->out_dtype = out_dtype;
  f->added_dtype = form.add_dtype;
  f->added_zero = form.add_zero;
  f->added_scale = form.add_scale;
  f->activation = form.activation;
  f->out_scale = form.out_scale;
  f->out_zero = form.out_zero;
  f->in_quanta = form.quantizes != 0 && form.activation.applied == 0;
  if (f->in_quanta == 0) return;
  f->added_scale /= form.out_scale;
  f->activation.low /= form.out_scale;
  f->activation.high /= form.out_scale;
}

}  // namespace ARN_NS
