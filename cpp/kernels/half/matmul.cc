// The HalfMatMul row: operands, batches, broadcasting and task grid around half_block. Operands A, B, C?, epilogue
// operands; rank of A and B >= 2, any strides. C broadcasts to the output. Sums of a strip lie in scratch, and what is
// added to them is read before the same place of the output is written.
#include "kernels/half/block.h"
#include "kernels/half/finish.h"
#include "kernels/half/params.h"
#include "kernels/matmul/shape.h"
#include "kernels/tile/epilogue.h"
#include "kernels/units.h"

namespace ARN_NS {
namespace {

struct HalfMatMulBound : ProductShape {
  HalfGemm gemm;
  HalfScratch at;
  int64_t m_block, n_block, m_blocks, n_blocks, units, units_per_task;
  int64_t terms, raw, epilogue_scratch;  // offsets in thread scratch, in bytes
  int32_t c_dtype, out_dtype, direct;    // direct: rows are finished where they are stored
  float alpha, beta;
  BlockActivation activation;
  Epilogue epilogue;
};

// Rows of a matrix.
class MatrixRows {
 public:
  MatrixRows(const HalfGemm& g, const char* at, int64_t row, int64_t step, char* raw)
      : at_(at),
        size_(element_bytes(g.a_dtype)),
        row_(row),
        step_(step),
        raw_(raw),
        split_(half_split(g)),
        widen_(half_widen(g.a_dtype, g.rounded != 0)),
        planes_(g.a_planes) {}

  bool planes(int64_t row, int64_t rows, int64_t k0, int64_t depth, uint16_t* const* plane, int64_t plane_row) {
    bool finite = true;
    for (int64_t i = 0; i < rows; ++i) {
      uint16_t* to[ARN_HALF_PLANES] = {};
      for (int j = 0; j < planes_; ++j) to[j] = plane[j] + i * plane_row;
      finite &= split_(take(row + i, k0, depth), depth, to) != 0;
    }
    return finite;
  }
  bool lie(int64_t, arn_half_dots*) { return false; }
  bool lie_finite() { return false; }
  const uint16_t* plane(int32_t, int64_t) const { return nullptr; }
  void floats(int64_t row, int64_t rows, int64_t k0, int64_t depth, float* to, int64_t to_row) {
    for (int64_t i = 0; i < rows; ++i) widen_(take(row + i, k0, depth), depth, to + i * to_row);
  }

 private:
  const void* take(int64_t row, int64_t k0, int64_t depth) {
    const char* from = at_ + (row * row_ + k0 * step_) * size_;
    if (step_ == 1) return from;
    if (size_ == 2)
      gather<uint16_t>(from, depth);
    else
      gather<uint32_t>(from, depth);
    return raw_;
  }
  template <typename T>
  void gather(const char* from, int64_t depth) {
    T* to = reinterpret_cast<T*>(raw_);
    for (int64_t k = 0; k < depth; ++k) to[k] = reinterpret_cast<const T*>(from)[k * step_];
  }

  const char* at_;
  int64_t size_, row_, step_;
  char* raw_;
  arn_half_split split_;
  HalfWiden widen_;
  int32_t planes_;
};

// Blocks of rows and columns, and how many of them a task covers: functions of the shape and the target.
void choose_grid(HalfMatMulBound* b) {
  int64_t batches = 1;
  for (int64_t i = 0; i < b->batch_rank; ++i) batches *= b->batch_dims[i];
  int64_t m_blocks = max64(1, ceil_div(b->m, half_rows(b->gemm)));
  int64_t n_block = min64(1024, round_up(max64(1, b->n), ARN_HALF_LANES));
  const auto units = [&] { return batches * m_blocks * ceil_div(b->n, n_block); };
  // Few rows wait for B, as long as many would be multiplied: units of 1 MiB of it.
  const bool few = b->gemm.few != 0;
  const double work = static_cast<double>(batches) * static_cast<double>(b->n) * static_cast<double>(max64(b->k, 1)) *
                      static_cast<double>(max64(b->m, few ? 32 : 8));
  const double small = 1 << 22, large = few ? 1 << 23 : 1 << 25;  // multiply-adds that are worth a task, a unit
  // Rows are made ready once for all columns of a block, columns once for all rows.
  while (units() < 8 && work / static_cast<double>(units()) > 2 * large) {
    if (n_block >= kHalfColumns)
      n_block = round_up(n_block / 2, 2 * ARN_HALF_LANES);
    else if (ceil_div(b->m, m_blocks) >= 256)
      m_blocks *= 2;
    else
      break;
  }
  b->m_block = round_up(max64(1, ceil_div(b->m, m_blocks)), b->m > kHalfStrip ? kHalfStrip : 1);
  b->n_block = n_block;
  b->m_blocks = b->m == 0 ? 0 : ceil_div(b->m, b->m_block);
  b->n_blocks = b->n == 0 ? 0 : ceil_div(b->n, n_block);
  b->units = batches * b->m_blocks * b->n_blocks;
  b->units_per_task = units_for_task(work, b->units, small);
}

class Run {
 public:
  Run(const HalfMatMulBound& b, void* const* operand, void* scratch)
      : b_(b),
        operand_(operand),
        scratch_(static_cast<char*>(scratch)),
        terms_(reinterpret_cast<float*>(scratch_ + b.terms)),
        after_(scratch_ + b.epilogue_scratch),
        activation_(b.activation) {
    if (b.direct == 0) epilogue_begin(b.epilogue, operand, after_);
  }

  void unit(int64_t u) {
    const int64_t mi = u % b_.m_blocks, ni = u / b_.m_blocks % b_.n_blocks;
    const int64_t matrix = u / b_.m_blocks / b_.n_blocks, m0 = mi * b_.m_block, n0 = ni * b_.n_block;
    const int64_t m = min64(b_.m_block, b_.m - m0), n = min64(b_.n_block, b_.n - n0);
    int64_t rest = matrix, at_a = 0, at_b = 0, at_c = 0, at_o = 0;
    for (int64_t i = b_.batch_rank - 1; i >= 0; --i) {
      const int64_t x = rest % b_.batch_dims[i];
      rest /= b_.batch_dims[i];
      at_a += x * b_.a.batch[i];
      at_b += x * b_.b.batch[i];
      at_c += x * b_.c.batch[i];
      at_o += x * b_.out.batch[i];
    }
    HalfColumns columns{nullptr, nullptr, b_.b.row, b_.b.col};
    if (b_.gemm.packed != ARN_NONE)
      columns.packed = static_cast<const uint16_t*>(operand_[1]) + at_b + n0 / ARN_HALF_LANES * b_.gemm.panel;
    else
      columns.at = static_cast<const char*>(operand_[1]) + (at_b + n0 * b_.b.col) * element_bytes(b_.gemm.b_dtype);
    const char* a = static_cast<const char*>(operand_[0]) + (at_a + m0 * b_.a.row) * element_bytes(b_.gemm.a_dtype);
    const char* c = nullptr;
    if (b_.c_operand >= 0)
      c = static_cast<const char*>(operand_[b_.c_operand]) +
          (at_c + m0 * b_.c.row + n0 * b_.c.col) * element_bytes(b_.c_dtype);
    const bool same = b_.c.row == 0;
    if (c != nullptr && same) read_floats(b_.c_dtype, c, b_.c.col, n, b_.beta, terms_);
    MatrixRows rows(b_.gemm, a, b_.a.row, b_.a.col, scratch_ + b_.raw);
    const auto finish = [&](int64_t row, int64_t count, int64_t col, int64_t cols, float* sums, int64_t sums_row) {
      for (int64_t i = 0; i < count && (b_.direct != 0 || c != nullptr || b_.alpha != 1.0f); ++i) {
        if (c != nullptr && !same)
          read_floats(b_.c_dtype, c + ((row + i) * b_.c.row + col * b_.c.col) * element_bytes(b_.c_dtype), b_.c.col,
                      cols, b_.beta, terms_ + col);
        const float* terms = c != nullptr ? terms_ + col : nullptr;
        if (b_.direct == 0) {
          add_terms(sums + i * sums_row, terms, cols, b_.alpha);
          continue;
        }
        const int64_t to = at_o + (m0 + row + i) * b_.out.row + n0 + col;
        finish_row({sums + i * sums_row, cols, b_.alpha, terms, nullptr, ARN_NONE, b_.out_dtype,
                    static_cast<char*>(operand_[b_.out_operand]) + to * element_bytes(b_.out_dtype)},
                   b_.activation, activation_);
      }
      if (b_.direct != 0) return;
      epilogue_run(b_.epilogue, operand_, matrix * b_.m + m0 + row, count, n0 + col, cols, sums, sums_row, after_);
    };
    half_block(b_.gemm, b_.at, scratch_, rows, m, columns, n, finish);
  }

 private:
  const HalfMatMulBound& b_;
  void* const* operand_;
  char* scratch_;
  float* terms_;
  char* after_;
  const ActivationRows activation_;
};

int32_t half_matmul_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*,
                        void* thread_scratch, const arn_state* state) {
  const HalfMatMulBound& b = *static_cast<const HalfMatMulBound*>(bound);
  Run run(b, operand, thread_scratch);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { run.unit(u); });
}

int64_t matrix_elements(const arn_desc& d, bool transposed) {
  return half_packed_elements(d.dims[d.rank - (transposed ? 1 : 2)], d.dims[d.rank - (transposed ? 2 : 1)]);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(half_matmul) {
  using namespace ARN_NS;
  auto* b = cleared<HalfMatMulBound>(bound);
  if (args->params == nullptr || args->n_in < 2) return ARN_UNSUPPORTED;
  const arn_half_matmul_params& p = *static_cast<const arn_half_matmul_params*>(args->params);
  if (args->tile != nullptr && args->tile->reg_dtype[0] != ARN_F32) return ARN_UNSUPPORTED;
  if (!half_multiplies(args->operand[0].dtype, args->operand[1].dtype, p.rounded != 0)) return ARN_UNSUPPORTED;
  int32_t bad = read_product(args, p.trans_a != 0, p.trans_b != 0, b);
  if (bad != ARN_OK) return bad;
  if (args->n_in > 2 && args->operand[2].dtype != ARN_NONE) {
    b->c_operand = 2;
    b->c_dtype = args->operand[2].dtype;
    if (!read_c(args->operand[2], args->operand[args->n_in], b)) return ARN_SHAPE_MISMATCH;
  }
  b->alpha = static_cast<float>(p.alpha);
  b->beta = static_cast<float>(p.beta);
  const arn_desc& y = args->operand[args->n_in];
  const RegisterForm form = half_form(args);
  b->out_dtype = y.dtype;
  b->direct = form.known && b->out.col == 1 && (form.add < 0 || b->c_operand < 0) ? 1 : 0;
  if (b->direct == 0) {
    bad = epilogue_bind(args, y.rank - 1, y.rank - 1, &b->epilogue);
    if (bad != ARN_OK) return bad;
  } else {
    b->activation = form.activation;
    if (form.add >= 0) {
      b->c_operand = form.add;
      b->c_dtype = args->operand[form.add].dtype;
      b->beta = 1;
      if (!read_c(args->operand[form.add], y, b)) return ARN_SHAPE_MISMATCH;
    }
  }
  const bool packed = (args->packed & 2u) != 0;
  const int32_t a_dtype = args->operand[0].dtype, b_dtype = args->operand[1].dtype;
  if (packed) packed_batch(args->operand[1], half_packed_elements(b->k, b->n), b);
  flatten_batch(b);
  b->gemm = half_choose(b->k, b->m, a_dtype, b_dtype, p.rounded != 0, packed, *args->target);
  choose_grid(b);
  b->at = half_scratch(b->gemm, b->m_block, b->n_block);
  b->terms = b->at.bytes;
  b->raw = b->terms + round_up((b->n_block + kHalfColumns) * 4, ARN_ALIGN);
  b->epilogue_scratch = b->raw + (b->a.col == 1 ? 0 : round_up(b->gemm.depth * 4, ARN_ALIGN));
  out->run = half_matmul_run;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b->epilogue_scratch + (b->direct != 0 ? 0 : b->epilogue.core.scratch_bytes);
  out->bound_bytes = sizeof(HalfMatMulBound);
  out->variant = half_kernel_name(b->gemm);
  return ARN_OK;
}

ARN_DEFINE_PACK_BYTES(half_matmul) {
  using namespace ARN_NS;
  const arn_half_matmul_params& p = *static_cast<const arn_half_matmul_params*>(args->params);
  if (operand != 1 || args->n_in < 2 || args->operand[1].rank < 2) return 0;
  const arn_desc& d = args->operand[1];
  if (d.dtype == ARN_F32 && p.rounded == 0) return 0;
  for (int i = 0; i < d.rank; ++i)
    if (d.dims[i] < 0) return 0;
  return matrix_elements(d, p.trans_b != 0) * stack_height(d) * 2;
}

ARN_DEFINE_PACK(half_matmul) {
  using namespace ARN_NS;
  if (operand != 1) return;
  const arn_half_matmul_params& p = *static_cast<const arn_half_matmul_params*>(args->params);
  const arn_desc& d = args->operand[1];
  const int64_t kd = d.rank - (p.trans_b != 0 ? 1 : 2), nd = d.rank - (p.trans_b != 0 ? 2 : 1);
  const int64_t each = matrix_elements(d, p.trans_b != 0), k = d.dims[kd], n = d.dims[nd];
  uint16_t* to = static_cast<uint16_t*>(dst);
  for (int64_t i = 0; i < stack_height(d); ++i, to += each) {
    if (half_depth(k) != k || n % ARN_HALF_LANES != 0) __builtin_memset(to, 0, static_cast<size_t>(each) * 2);
    half_pack(to, half_depth(k) * ARN_HALF_LANES, half_packed_type(d.dtype, p.rounded != 0),
              static_cast<const char*>(args->constant[1]) + matrix_offset(d, i) * element_bytes(d.dtype), d.dtype, 0, k,
              n, d.strides[kd], d.strides[nd]);
  }
}
