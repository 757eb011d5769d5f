// The QMatMul row: operands, batches, broadcasting, task grid and packing around qgemm_pass. The output may overwrite
// an operand of the epilogue, which is read before the same block of the output is written.
#include "kernels/matmul/shape.h"
#include "kernels/qmatmul/forms.h"
#include "kernels/qmatmul/operands.h"
#include "kernels/qmatmul/params.h"
#include "kernels/tile/epilogue.h"
#include "kernels/units.h"

namespace ARN_NS {
namespace {

constexpr int32_t kFirstQuant = 2;  // operand of the scale of A

struct QMatMulBound : ProductShape, QuantOperands {  // c: the residual of a register form
  QGemm gemm;
  QForm form;
  int64_t packed_matrix;  // bytes of one packed matrix of B
  int64_t m_block, n_block, m_blocks, n_blocks, units, units_per_task;
  int64_t columns, slab, block, epilogue_scratch;  // offsets in thread scratch, in bytes
  int64_t step_rows;                               // rows of a pass that the epilogue follows
  int32_t packed, use_epilogue;
  int32_t out_dtype;
  Epilogue epilogue;
};

int32_t read_operands(const arn_bind_args* args, QMatMulBound* b) {
  const arn_qmatmul_params& p = *static_cast<const arn_qmatmul_params*>(args->params);
  const int32_t bad = read_product(args, p.trans_a != 0, p.trans_b != 0, b);
  if (bad != ARN_OK) return bad;
  b->out_dtype = args->operand[args->n_in].dtype;
  return read_quant_operands(args, kFirstQuant, b->n, b);
}

// A register form, a tile program over blocks, or the block itself.
int32_t read_epilogue(const arn_bind_args* args, QMatMulBound* b) {
  if (args->tile == nullptr) {
    b->form.add = -1;
    return args->n_out == 1 && b->out_dtype == b->block_dtype ? ARN_OK : ARN_UNSUPPORTED;
  }
  if (args->tile->reg_dtype[0] != b->block_dtype) return ARN_UNSUPPORTED;
  b->form = read_form(args);
  if (b->form.known) {
    if (b->form.add < 0) return ARN_OK;
    b->c_operand = b->form.add;
    return read_c(args->operand[b->form.add], args->operand[args->n_in], b) ? ARN_OK : ARN_SHAPE_MISMATCH;
  }
  b->use_epilogue = 1;
  b->form = QForm{};
  b->form.add = -1;
  const int32_t last = args->operand[args->n_in].rank - 1;
  return epilogue_bind(args, last, last, &b->epilogue);
}

// Blocks of rows and columns, and how many of them a task covers: functions of the shape and the target.
void choose_grid(const arn_target& target, QMatMulBound* b) {
  constexpr int64_t kQuad = 4 * ARN_DOT_LANES;
  const int64_t fit = target.l2_bytes / 4 / max64(1, b->k) / kQuad * kQuad;
  const int64_t most = b->use_epilogue != 0 ? 256 : 512;
  const int64_t cap = b->packed != 0 ? 256 : 512;  // panels packed for a block of rows are paid back by more rows
  int64_t batches = 1;
  for (int64_t i = 0; i < b->batch_rank; ++i) batches *= b->batch_dims[i];
  int64_t m_blocks = max64(1, ceil_div(b->m, cap));
  int64_t n_block = min64(max64(kQuad, min64(most, fit)), round_up(max64(1, b->n), ARN_DOT_LANES));
  const auto units = [&] { return batches * m_blocks * ceil_div(b->n, n_block); };
  const double work = static_cast<double>(batches) * static_cast<double>(b->n) * static_cast<double>(b->k) *
                      static_cast<double>(max64(b->m, 8));
  const double small = 1 << 22;  // multiply-adds that are worth a task
  while (units() < 16 && work / static_cast<double>(units()) > 2 * small) {
    if (b->packed != 0 && ceil_div(b->m, m_blocks) >= 128)
      m_blocks *= 2;
    else if (n_block >= 2 * kQuad)
      n_block = round_up(n_block / 2, kQuad);
    else if (ceil_div(b->m, m_blocks) >= 64)
      m_blocks *= 2;
    else
      break;
  }
  // Whole tiles of rows.
  b->m_block = round_up(max64(1, ceil_div(b->m, m_blocks)), b->m > 32 ? 32 : 1);
  b->n_block = n_block;
  b->m_blocks = b->m == 0 ? 0 : ceil_div(b->m, b->m_block);
  b->n_blocks = b->n == 0 ? 0 : ceil_div(b->n, n_block);
  b->units = batches * b->m_blocks * b->n_blocks;
  b->units_per_task = units_for_task(work, b->units, small);
}

class Run {
 public:
  Run(const QMatMulBound& b, void* const* operand, void* scratch)
      : b_(b), operand_(operand), scratch_(static_cast<char*>(scratch)), after_(scratch_ + b.epilogue_scratch) {
    if (b.use_epilogue != 0) epilogue_begin(b.epilogue, operand, after_);
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
    const char* pb = static_cast<const char*>(operand_[1]) + at_b;
    const int32_t* sums;
    const int8_t* panels = block_of_b(pb, n0, n, u / b_.m_blocks, &sums);
    QFinish f{};
    apply_form(b_.form, b_.out_dtype, &f);
    columns(sums, n0, n, u / b_.m_blocks, f.in_quanta != 0 ? b_.form.out_scale : 1.0f);
    f.columns = columns_;
    if (b_.form.add >= 0) {
      const int64_t at = at_c + m0 * b_.c.row + n0 * b_.c.col;
      f.added = static_cast<const char*>(operand_[b_.c_operand]) + at * element_bytes(b_.form.add_dtype);
      f.added_row = b_.c.row;
      f.added_col = b_.c.col;
    }
    const char* a = static_cast<const char*>(operand_[0]) + at_a + m0 * b_.a.row;
    if (b_.use_epilogue == 0) {
      const int64_t at = at_o + m0 * b_.out.row + n0 * b_.out.col;
      f.out = static_cast<char*>(operand_[b_.out_operand]) + at * element_bytes(b_.out_dtype);
      f.out_row = b_.out.row;
      f.out_col = b_.out.col;
      pass(a, m, panels, n, f);
      return;
    }
    f.out_dtype = b_.block_dtype;
    f.out = scratch_ + b_.block;
    f.out_row = b_.n_block;
    f.out_col = 1;
    for (int64_t i = 0; i < m; i += b_.step_rows) {
      const int64_t rows = min64(b_.step_rows, m - i);
      pass(a + i * b_.a.row, rows, panels, n, f);
      epilogue_run(b_.epilogue, operand_, matrix * b_.m + m0 + i, rows, n0, n, f.out, b_.n_block, after_);
    }
  }

 private:
  void pass(const char* a, int64_t m, const int8_t* panels, int64_t n, const QFinish& f) {
    qgemm_pass(b_.gemm, {a, b_.a.row, b_.a.col, nullptr, nullptr, 0, 1, b_.k, 0}, m, panels, n, f, scratch_);
  }

  // The panels and sums of columns [n0, n0 + n) of a matrix of B. `key` names the block.
  const int8_t* block_of_b(const char* matrix, int64_t n0, int64_t n, int64_t key, const int32_t** sums) {
    if (b_.packed != 0) {
      *sums = reinterpret_cast<const int32_t*>(matrix + qgemm_sums(b_.k, b_.n)) + n0;
      return reinterpret_cast<const int8_t*>(matrix) + n0 / ARN_DOT_LANES * b_.gemm.panel;
    }
    char* slab = scratch_ + b_.slab;
    if (key != held_) qgemm_pack(slab, matrix + n0 * b_.b.col, b_.k, n, b_.b.row, b_.b.col, b_.b_dtype == ARN_I8);
    *sums = reinterpret_cast<const int32_t*>(slab + qgemm_sums(b_.k, n));
    return reinterpret_cast<const int8_t*>(slab);
  }

  void columns(const int32_t* sums, int64_t n0, int64_t n, int64_t key, float per_quantum) {
    if (key == held_) return;
    held_ = key;
    QColumnSource s = column_source(b_, operand_);
    s.sums = sums;
    s.per_quantum = per_quantum;
    columns_ = qgemm_columns(b_.gemm, s, n0, n, scratch_ + b_.columns);
  }

  const QMatMulBound& b_;
  void* const* operand_;
  char *scratch_, *after_;
  QColumns columns_{};
  int64_t held_ = -1;  // the block whose columns, and panels where they are packed on the fly, scratch holds
};

int32_t qmatmul_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                    const arn_state* state) {
  const QMatMulBound& b = *static_cast<const QMatMulBound*>(bound);
  Run run(b, operand, thread_scratch);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { run.unit(u); });
}

int64_t matrix_bytes(const arn_desc& d, bool transposed) {
  return qgemm_packed_bytes(d.dims[d.rank - (transposed ? 1 : 2)], d.dims[d.rank - (transposed ? 2 : 1)]);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(qmatmul) {
  using namespace ARN_NS;
  auto* b = cleared<QMatMulBound>(bound);
  if (args->params == nullptr || args->n_in < 2) return ARN_UNSUPPORTED;
  int32_t bad = read_operands(args, b);
  if (bad == ARN_OK) bad = read_epilogue(args, b);
  if (bad != ARN_OK) return bad;
  if ((args->packed & 2u) != 0) {
    b->packed = 1;
    b->packed_matrix = qgemm_packed_bytes(b->k, b->n);
    packed_batch(args->operand[1], b->packed_matrix, b);
  }
  flatten_batch(b);
  choose_grid(*args->target, b);
  b->gemm = qgemm_choose(b->k, min64(b->m, b->m_block), b->a_dtype == ARN_I8, *args->target);
  b->step_rows = 32;
  b->columns = round_up(qgemm_scratch(b->gemm), ARN_ALIGN);
  b->slab = b->columns + qgemm_column_bytes(b->n_block);
  b->block = b->slab + (b->packed != 0 ? 0 : round_up(qgemm_packed_bytes(b->k, b->n_block), ARN_ALIGN));
  b->epilogue_scratch = b->block + (b->use_epilogue != 0 ? round_up(b->step_rows * b->n_block * 4, ARN_ALIGN) : 0);
  out->run = qmatmul_run;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b->epilogue_scratch + (b->use_epilogue != 0 ? b->epilogue.core.scratch_bytes : 0);
  out->bound_bytes = sizeof(QMatMulBound);
  out->variant = qgemm_kernel_name(b->gemm);
  return ARN_OK;
}

ARN_DEFINE_PACK_BYTES(qmatmul) {
  using namespace ARN_NS;
  const arn_qmatmul_params& p = *static_cast<const arn_qmatmul_params*>(args->params);
  if (operand != 1 || args->n_in < 2 || args->operand[1].rank < 2) return 0;
  const arn_desc& d = args->operand[1];
  for (int i = 0; i < d.rank; ++i)
    if (d.dims[i] < 0) return 0;
  return matrix_bytes(d, p.trans_b != 0) * stack_height(d);
}

ARN_DEFINE_PACK(qmatmul) {
  using namespace ARN_NS;
  if (operand != 1) return;
  const arn_qmatmul_params& p = *static_cast<const arn_qmatmul_params*>(args->params);
  const arn_desc& d = args->operand[1];
  const int64_t kd = d.rank - (p.trans_b != 0 ? 1 : 2), nd = d.rank - (p.trans_b != 0 ? 2 : 1);
  const int64_t each = matrix_bytes(d, p.trans_b != 0);
  for (int64_t i = 0; i < stack_height(d); ++i)
    qgemm_pack(static_cast<char*>(dst) + i * each, static_cast<const char*>(args->constant[1]) + matrix_offset(d, i),
               d.dims[kd], d.dims[nd], d.strides[kd], d.strides[nd], d.dtype == ARN_I8);
}
