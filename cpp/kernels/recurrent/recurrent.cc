// RNN, GRU and LSTM over whole sequences. The sums of the inputs are operands; a task takes some sequences of one
// direction through all their steps, so no step needs another thread. States live in the task's scratch.
#include "kernels/recurrent/cell.h"
#include "kernels/walk.h"

namespace ARN_NS {
namespace {

struct RecurrentBound {
  int64_t directions, steps, batch, hidden, padded, gates;
  int64_t rows_per_task, chunks;
  int64_t x_direction, x_step, x_row;  // strides of the input sums
  int64_t y_direction, y_step, y_row;  // of Y
  int64_t bias_direction, lengths_step, peepholes_direction;
  int64_t state_direction[4], state_row[4];  // initial h and c, last h and c
  int64_t r_direction, r_row, r_k;           // of R, when it is not packed
  int64_t packed;                            // elements of one direction's packed R
  int64_t has_bias, has_lengths, has_peepholes, has_y, has_state[4];
  int64_t cell, backward, input_forget, is_packed;
  float clip;
  Activation activation[6];
};

enum Operand { kX, kR, kBias, kLengths, kH0, kC0, kPeepholes, kY, kLastH, kLastC };

// One task: rows [first, first + rows) of one direction.
struct Sequences {
  const RecurrentBound& b;
  void* const* operand;
  const float *x, *packed, *bias, *peepholes;
  float* y;
  const Activation* f;
  int64_t direction, first, rows;
  float *h, *next, *c, *update, *reset;  // [rows, padded] each

  const float* operand_f32(int i) const { return static_cast<const float*>(operand[i]); }
  float* output_f32(int i) const { return static_cast<float*>(operand[i]); }

  int64_t length(int64_t row) const {
    if (b.has_lengths == 0) return b.steps;
    return static_cast<const int32_t*>(operand[kLengths])[(first + row) * b.lengths_step];
  }
  bool backward() const { return direction == 1 || b.backward != 0; }
  // Where step t of a row is in the sequence.
  int64_t place(int64_t row, int64_t t) const { return backward() ? length(row) - 1 - t : t; }

  vf32 clipped(vf32 v) const { return b.clip > 0 ? vat_least(vat_most(v, b.clip), -b.clip) : v; }

  // The input sums of a gate's units [at, at + n) with the bias that belongs to the state's product.
  struct Units {
    const float *x, *bias;
    int64_t hidden, n;
    vf32 input(int gate) const { return load_part(x + gate * hidden, n); }
    vf32 state(int gate, const float* sums, int slot) const {
      const vf32 s = load_f32(sums + slot * kLanesF32);
      return bias == nullptr ? s : s + load_part(bias + gate * hidden, n);
    }
  };
  Units units(int64_t row, int64_t t, int64_t at) const {
    const float* from = x + place(row, t) * b.x_step + (first + row) * b.x_row + at;
    return {from, bias == nullptr ? nullptr : bias + at, b.hidden, min64(kLanesF32, b.hidden - at)};
  }

  void emit(int64_t row, int64_t t, int64_t at, vf32 value) const {
    store_f32(next + row * b.padded + at, value);
    if (b.has_y != 0)
      store_part(y + place(row, t) * b.y_step + (first + row) * b.y_row + at, value, min64(kLanesF32, b.hidden - at));
  }

  void lstm(int64_t row, int64_t t, int64_t at, const float* sums) const {
    const Units u = units(row, t, at);
    const vf32 cell = load_f32(c + row * b.padded + at);
    vf32 put = u.input(0) + u.state(0, sums, 0), out = u.input(1) + u.state(1, sums, 1);
    vf32 keep = u.input(2) + u.state(2, sums, 2);
    const vf32 fresh = u.input(3) + u.state(3, sums, 3);
    if (peepholes != nullptr) {
      put += load_part(peepholes + at, u.n) * cell;
      keep += load_part(peepholes + 2 * b.hidden + at, u.n) * cell;
    }
    put = activate(f[0], clipped(put));
    keep = b.input_forget != 0 ? 1.0f - put : activate(f[0], clipped(keep));
    const vf32 after = keep * cell + put * activate(f[1], clipped(fresh));
    if (peepholes != nullptr) out += load_part(peepholes + b.hidden + at, u.n) * after;
    store_f32(c + row * b.padded + at, after);
    emit(row, t, at, activate(f[0], clipped(out)) * activate(f[2], after));
  }

  void gru(int64_t row, int64_t t, int64_t at, vf32 z, vf32 candidate) const {
    const vf32 before = load_f32(h + row * b.padded + at);
    emit(row, t, at, (1.0f - z) * activate(f[1], clipped(candidate)) + z * before);
  }

  void step_lstm(int64_t t) const {
    product<4>(packed, b.hidden, h, b.padded, rows, (t & 1) != 0, [&](int64_t row, int64_t panel, const float* sums) {
      if (t < length(row)) lstm(row, t, panel * kLanesF32, sums);
    });
  }
  void step_gru_linear(int64_t t) const {
    product<3>(packed, b.hidden, h, b.padded, rows, (t & 1) != 0, [&](int64_t row, int64_t panel, const float* sums) {
      if (t >= length(row)) return;
      const Units u = units(row, t, panel * kLanesF32);
      const vf32 z = activate(f[0], clipped(u.input(0) + u.state(0, sums, 0)));
      const vf32 r = activate(f[0], clipped(u.input(1) + u.state(1, sums, 1)));
      gru(row, t, panel * kLanesF32, z, u.input(2) + r * u.state(2, sums, 2));
    });
  }
  void step_gru(int64_t t) const {
    const bool turn = (t & 1) != 0;
    product<2>(packed, b.hidden, h, b.padded, rows, turn, [&](int64_t row, int64_t panel, const float* sums) {
      if (t >= length(row)) return;
      const int64_t at = panel * kLanesF32, to = row * b.padded + at;
      const Units u = units(row, t, at);
      store_f32(update + to, activate(f[0], clipped(u.input(0) + u.state(0, sums, 0))));
      const vf32 r = activate(f[0], clipped(u.input(1) + u.state(1, sums, 1)));
      store_f32(reset + to, r * load_f32(h + to));
    });
    const float* second = packed + packed_elements(2, b.hidden);
    product<1>(second, b.hidden, reset, b.padded, rows, turn, [&](int64_t row, int64_t panel, const float* sums) {
      if (t >= length(row)) return;
      const int64_t at = panel * kLanesF32;
      const Units u = units(row, t, at);
      gru(row, t, at, load_f32(update + row * b.padded + at), u.input(2) + u.state(2, sums, 0));
    });
  }
  void step_rnn(int64_t t) const {
    product<1>(packed, b.hidden, h, b.padded, rows, (t & 1) != 0, [&](int64_t row, int64_t panel, const float* sums) {
      if (t >= length(row)) return;
      const Units u = units(row, t, panel * kLanesF32);
      emit(row, t, panel * kLanesF32, activate(f[0], clipped(u.input(0) + u.state(0, sums, 0))));
    });
  }

  void start() const {
    __builtin_memset(h, 0, static_cast<size_t>(5 * rows * b.padded) * sizeof(float));
    for (int k = 0; k < 2; ++k) {
      if (b.has_state[k] == 0) continue;
      const float* from = operand_f32(k == 0 ? kH0 : kC0) + direction * b.state_direction[k];
      for (int64_t i = 0; i < rows; ++i)
        if (length(i) > 0)
          __builtin_memcpy((k == 0 ? h : c) + i * b.padded, from + (first + i) * b.state_row[k],
                           static_cast<size_t>(b.hidden) * sizeof(float));
    }
  }

  // A sequence that ended keeps its state; what Y holds beyond its end is zero.
  void carry(int64_t t) const {
    if (b.has_lengths == 0) return;
    for (int64_t i = 0; i < rows; ++i) {
      if (t < length(i)) continue;
      __builtin_memcpy(next + i * b.padded, h + i * b.padded, static_cast<size_t>(b.padded) * sizeof(float));
    }
  }
  void clear_rest() const {
    if (b.has_lengths == 0 || b.has_y == 0) return;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t t = length(i); t < b.steps; ++t)
        __builtin_memset(y + t * b.y_step + (first + i) * b.y_row, 0, static_cast<size_t>(b.hidden) * sizeof(float));
  }

  void finish() const {
    for (int k = 0; k < 2; ++k) {
      if (b.has_state[2 + k] == 0) continue;
      float* to = output_f32(k == 0 ? kLastH : kLastC) + direction * b.state_direction[2 + k];
      for (int64_t i = 0; i < rows; ++i)
        __builtin_memcpy(to + (first + i) * b.state_row[2 + k], (k == 0 ? h : c) + i * b.padded,
                         static_cast<size_t>(b.hidden) * sizeof(float));
    }
  }

  int32_t run(const arn_state* state) {
    for (int64_t i = 0; i < rows; ++i)
      if (length(i) < 0 || length(i) > b.steps) return ARN_BAD_VALUE;
    int64_t steps = b.has_lengths == 0 ? b.steps : 0;
    for (int64_t i = 0; i < rows; ++i) steps = max64(steps, length(i));
    start();
    for (int64_t t = 0; t < steps; ++t) {
      if (arn_stopped(state)) return ARN_CANCELLED;
      switch (b.cell) {
        case ARN_CELL_RNN:
          step_rnn(t);
          break;
        case ARN_CELL_GRU:
          step_gru(t);
          break;
        case ARN_CELL_GRU_LINEAR:
          step_gru_linear(t);
          break;
        default:
          step_lstm(t);
      }
      carry(t);
      float* swap = h;
      h = next;
      next = swap;
    }
    clear_rest();
    finish();
    return ARN_OK;
  }
};

// One direction's R into panels: all the gates together, but for the GRU whose candidate needs a product of its own.
void pack_direction(float* dst, const float* r, const RecurrentBound& b) {
  if (b.cell != ARN_CELL_GRU) return pack_gates(dst, r, b.gates, b.hidden, b.r_row, b.r_k);
  pack_gates(dst, r, 2, b.hidden, b.r_row, b.r_k);
  pack_gates(dst + packed_elements(2, b.hidden), r + 2 * b.hidden * b.r_row, 1, b.hidden, b.r_row, b.r_k);
}

int32_t recurrent_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                        const arn_state* state) {
  const RecurrentBound& b = *static_cast<const RecurrentBound*>(bound);
  float* own = static_cast<float*>(scratch);
  int64_t held = -1;  // the direction whose R `own` holds
  for (int64_t task = begin; task < end; ++task) {
    if (arn_stopped(state)) return ARN_CANCELLED;
    const int64_t d = task / b.chunks, first = task % b.chunks * b.rows_per_task;
    const float* r = static_cast<const float*>(operand[kR]);
    const float* packed = r + d * b.packed;
    if (b.is_packed == 0) {
      if (held != d) pack_direction(own, r + d * b.r_direction, b);
      held = d;
      packed = own;
    }
    const int64_t each = b.rows_per_task * b.padded;
    float* h = own + (b.is_packed != 0 ? 0 : b.packed);
    const auto at = [&](int i, int64_t offset) { return static_cast<const float*>(operand[i]) + offset; };
    Sequences s{b,
                operand,
                at(kX, d * b.x_direction),
                packed,
                b.has_bias != 0 ? at(kBias, d * b.bias_direction) : nullptr,
                b.has_peepholes != 0 ? at(kPeepholes, d * b.peepholes_direction) : nullptr,
                b.has_y != 0 ? static_cast<float*>(operand[kY]) + d * b.y_direction : nullptr,
                b.activation + 3 * d,
                d,
                first,
                min64(b.rows_per_task, b.batch - first),
                h,
                h + each,
                h + 2 * each,
                h + 3 * each,
                h + 4 * each};
    const int32_t status = s.run(state);
    if (status != ARN_OK) return status;
  }
  return ARN_OK;
}

bool is_shape(const arn_desc& d, int64_t a, int64_t b, int64_t c) {
  return d.rank == 3 && d.dims[0] == a && d.dims[1] == b && d.dims[2] == c;
}
bool is_shape(const arn_desc& d, int64_t a, int64_t b) { return d.rank == 2 && d.dims[0] == a && d.dims[1] == b; }

int64_t gates_of(int64_t cell) { return cell == ARN_CELL_RNN ? 1 : cell == ARN_CELL_LSTM ? 4 : 3; }

// What depends on R and the params only.
bool read_weights(const arn_bind_args* args, RecurrentBound* b) {
  const auto* p = static_cast<const arn_recurrent_params*>(args->params);
  const arn_desc& r = args->operand[kR];
  if (r.rank != 3 || p->cell < ARN_CELL_RNN || p->cell > ARN_CELL_LSTM) return false;
  b->cell = p->cell;
  b->gates = gates_of(p->cell);
  b->directions = r.dims[0];
  b->hidden = r.dims[2];
  if (r.dims[1] != b->gates * b->hidden || b->directions < 1 || b->directions > 2) return false;
  b->padded = round_up(b->hidden, kLanesF32);
  b->packed = packed_elements(b->gates, b->hidden);
  b->r_direction = r.strides[0];
  b->r_row = r.strides[1];
  b->r_k = r.strides[2];
  return true;
}

bool read_states(const arn_bind_args* args, RecurrentBound* b) {
  const int at[4] = {kH0, kC0, kLastH, kLastC};
  for (int k = 0; k < 4; ++k) {
    const arn_desc& d = args->operand[at[k]];
    b->has_state[k] = d.dtype != ARN_NONE;
    if (b->has_state[k] == 0) continue;
    if (!is_shape(d, b->directions, b->batch, b->hidden)) return false;
    b->state_direction[k] = d.strides[0];
    b->state_row[k] = d.strides[1];
  }
  return true;
}

bool read_operands(const arn_bind_args* args, RecurrentBound* b) {
  const arn_desc &x = args->operand[kX], &y = args->operand[kY], &bias = args->operand[kBias];
  const arn_desc &lengths = args->operand[kLengths], &peepholes = args->operand[kPeepholes];
  if (x.rank != 4 || x.dims[0] != b->directions || x.dims[3] != b->gates * b->hidden) return false;
  b->steps = x.dims[1];
  b->batch = x.dims[2];
  b->x_direction = x.strides[0];
  b->x_step = x.strides[1];
  b->x_row = x.strides[2];
  b->has_bias = bias.dtype != ARN_NONE;
  b->has_lengths = lengths.dtype != ARN_NONE;
  b->has_peepholes = peepholes.dtype != ARN_NONE;
  b->has_y = y.dtype != ARN_NONE;
  if (b->has_bias != 0 && !is_shape(bias, b->directions, b->gates * b->hidden)) return false;
  if (b->has_lengths != 0 && (lengths.rank != 1 || lengths.dims[0] != b->batch)) return false;
  if (b->has_peepholes != 0 && !is_shape(peepholes, b->directions, 3 * b->hidden)) return false;
  b->bias_direction = bias.strides[0];
  b->lengths_step = lengths.strides[0];
  b->peepholes_direction = peepholes.strides[0];
  if (b->has_y != 0) {
    if (y.rank != 4 || y.dims[0] != b->steps || y.dims[1] != b->directions || y.dims[2] != b->batch ||
        y.dims[3] != b->hidden)
      return false;
    b->y_step = y.strides[0];
    b->y_direction = y.strides[1];
    b->y_row = y.strides[2];
  }
  return read_states(args, b);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(recurrent_f32) {
  using namespace ARN_NS;
  const auto* p = static_cast<const arn_recurrent_params*>(args->params);
  auto* b = cleared<RecurrentBound>(bound);
  if (p == nullptr || args->n_in != 7 || args->n_out != 3) return ARN_UNSUPPORTED;
  if (!read_weights(args, b) || !read_operands(args, b)) return ARN_SHAPE_MISMATCH;
  b->backward = p->backward;
  b->input_forget = p->input_forget;
  b->clip = static_cast<float>(p->clip);
  for (int i = 0; i < 6; ++i)
    b->activation[i] = {p->activation[i], static_cast<float>(p->alpha[i]), static_cast<float>(p->beta[i])};
  b->is_packed = (args->packed & (1u << kR)) != 0;
  // A direction's sequences stay together until there are enough of them for R to be read for several at a time.
  const int64_t rows = 6;
  b->chunks = max64(1, min64(8 / b->directions, b->batch / rows));
  b->rows_per_task = max64(1, ceil_div(b->batch, b->chunks));
  b->chunks = b->batch == 0 ? 0 : ceil_div(b->batch, b->rows_per_task);
  bind_done(out, recurrent_tasks, b->hidden == 0 ? 0 : b->directions * b->chunks, sizeof(RecurrentBound),
            b->is_packed != 0 ? "packed" : "packing");
  const int64_t states = 5 * b->rows_per_task * b->padded, own = b->is_packed != 0 ? 0 : b->packed;
  out->thread_scratch = (states + own) * static_cast<int64_t>(sizeof(float));
  return ARN_OK;
}

ARN_DEFINE_PACK_BYTES(recurrent_f32) {
  using namespace ARN_NS;
  RecurrentBound b;
  if (operand != kR || args->n_in <= kR || !read_weights(args, &b)) return 0;
  return b.directions * b.packed * static_cast<int64_t>(sizeof(float));
}

ARN_DEFINE_PACK(recurrent_f32) {
  using namespace ARN_NS;
  RecurrentBound b;
  if (operand != kR || !read_weights(args, &b)) return;
  const float* r = static_cast<const float*>(args->constant[kR]);
  for (int64_t d = 0; d < b.directions; ++d)
    pack_direction(static_cast<float*>(dst) + d * b.packed, r + d * b.r_direction, b);
}
