// The MatMul rows: batches, broadcasting, task grid and panel packing around gemm_pass, for element type T.
// Operands A, B, C?, epilogue operands; rank of A and B >= 2, any strides. C broadcasts to the output.
//
// Partial sums of a split inner index and blocks that an epilogue finishes live in scratch, and a tile of C is read
// before the same tile of the output is written: so the output may overwrite C or an epilogue operand.
#pragma once

#include "kernels/matmul/forms.h"
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/params.h"
#include "kernels/matmul/shape.h"
#include "kernels/tile/epilogue.h"
#include "kernels/units.h"

namespace ARN_NS {
namespace {

constexpr int64_t kFewRows = 48;  // rows that pay for bringing a block of B into L2

enum PanelMode { kPacked, kInPlace, kOnTheFly };

struct MatMulBound : ProductShape {  // after a swap, a is B transposed, and b is A transposed
  int64_t depth;
  int64_t panel_matrix;  // elements of one packed matrix
  int64_t m_block, n_block, m_blocks, n_blocks, units, units_per_task;
  // Offsets in thread scratch, in elements. At 0: partial sums, which a block for the epilogue overwrites.
  int64_t slab, compact, edge;
  int64_t epilogue_scratch;  // in bytes from the start of thread scratch
  int64_t partial_row;
  int32_t panels, use_compact, use_epilogue;
  int32_t sums_in_out;  // whole vectors of partial sums lie in the output, only the last ones of a row in scratch
  double alpha, beta;
  BlockActivation activation;
  Epilogue epilogue;
};

// alpha and beta as elements; integers have whole ones only.
template <typename T>
inline T scalar(double x) {
  return static_cast<T>(static_cast<int64_t>(x));
}
template <>
inline float scalar<float>(double x) {
  return static_cast<float>(x);
}
template <>
inline double scalar<double>(double x) {
  return x;
}
template <typename T>
inline bool scalar_fits(double x) {
  return T(1) / T(2) != T(0) || (x > -9e15 && x < 9e15 && static_cast<double>(static_cast<int64_t>(x)) == x);
}

inline void swap_sides(MatMulBound* b) {
  const Stack a = b->a;
  b->a = b->b;
  b->b = a;
  Stack* all[] = {&b->a, &b->b, &b->c, &b->out};
  for (Stack* s : all) {
    const int64_t row = s->row;
    s->row = s->col;
    s->col = row;
  }
  const int64_t m = b->m;
  b->m = b->n;
  b->n = m;
  const int32_t operand = b->a_operand;
  b->a_operand = b->b_operand;
  b->b_operand = operand;
}

// The width of blocks of columns, at most `most` and a multiple of `step`, that shares `columns` out best: over a
// multiple of four blocks, or so many blocks that one more or less does not matter.
inline int64_t even_block(int64_t columns, int64_t most, int64_t step) {
  int64_t best = most, least = columns * 2;
  for (int64_t block = most / step * step; block >= step; block -= step) {
    const int64_t blocks = ceil_div(columns, block),
                  shared = blocks < 16 ? round_up(blocks, 4) * block : blocks * block;
    if (shared < least) best = block, least = shared;
    if (blocks >= 16) break;
  }
  return best;
}

// Blocks of rows and columns, and how many of them a task covers: functions of the shape and the tier.
template <typename T>
void choose_grid(const arn_target& target, MatMulBound* b) {
  constexpr int64_t L = kLanes<T>, tile = kTileVectors * L;
  // A packed block of columns and the one that is fetched meanwhile take half of L2.
  const int64_t depth = min64(b->depth, max64(1, b->k)), quarter = target.l2_bytes / 4;
  const int64_t fit = quarter / (depth * static_cast<int64_t>(sizeof(T))) / tile * tile;
  const int64_t columns = round_up(b->panels == kPacked ? max64(64, min64(192, fit)) : 128, tile);
  // Rows of a block: their partial sums stay in L2; panels packed on the fly are paid back by more rows.
  const int64_t cap = b->panels == kPacked ? 216 : 512;
  int64_t batches = 1;
  for (int64_t i = 0; i < b->batch_rank; ++i) batches *= b->batch_dims[i];
  int64_t m_blocks = max64(1, ceil_div(b->m, cap)), n_block = min64(columns, round_up(max64(1, b->n), L));
  const auto units = [&] { return batches * m_blocks * ceil_div(b->n, n_block); };
  const double work = static_cast<double>(batches) * static_cast<double>(b->n) * static_cast<double>(b->k) *
                      static_cast<double>(max64(b->m, 8));
  const double small = 1 << 20;  // multiply-adds that are worth a task
  // Rows are cut first: a block of 128 columns reuses its rows of A, and the packed B that it reads again lies in L2.
  // Panels packed on the fly for each block of rows are the dearer ones to cut rows for.
  const bool repacked = b->panels == kOnTheFly && b->k > b->depth;
  const auto rows = [&] { return ceil_div(b->m, m_blocks); };
  while (units() < 16 && work / static_cast<double>(units()) > 2 * small) {
    if (!repacked && rows() >= 2 * kFewRows)
      m_blocks *= 2;
    else if (n_block >= 2 * tile)
      n_block = round_up(n_block / 2, tile);
    else if (rows() >= 2 * kMaxRows)
      m_blocks *= 2;
    else
      break;
  }
  // So few rows wait for B, which lies in the caches of the threads that read the same part of it each time.
  const bool waiting = b->m < 8;
  const int64_t step = waiting ? 4 * L : tile;
  if (batches * m_blocks == 1 && n_block >= 2 * step && b->n > n_block) n_block = even_block(b->n, n_block, step);
  b->m_block = max64(1, ceil_div(b->m, m_blocks));
  b->n_block = n_block;
  b->m_blocks = b->m == 0 ? 0 : ceil_div(b->m, b->m_block);
  b->n_blocks = b->n == 0 ? 0 : ceil_div(b->n, n_block);
  b->units = batches * b->m_blocks * b->n_blocks;
  b->units_per_task = units_for_task(work, b->units, waiting ? small / 4 : small);
}

template <typename T>
struct MatMulRun {
  const MatMulBound& b;
  const T *a, *pb, *c;
  T *out, *scratch;
  void* const* operand;
  void* epilogue_scratch;
  int64_t held;  // the (batch, column block) whose panels the slab holds, or -1

  void pack(const T* src, int64_t key, int64_t from, int64_t depth, int64_t n) {
    if (key == held) return;
    pack_panels(scratch + b.slab, depth * kLanes<T>, src + from * b.b.row, depth, n, b.b.row, b.b.col);
    held = b.k <= b.depth ? key : -1;
  }

  // What the pass after the one at depth `from` reads of a packed B: the next part of the inner index, else the panels
  // of the next unit.
  void foresee(GemmPass<T>* p, const T* mb, int64_t from, int64_t n0, int64_t n, bool last_rows) const {
    const int64_t next = from + p->depth;
    const bool more = next < b.k;
    int64_t column = n0, columns = n, depth = 0;
    if (!more) {
      if (last_rows) {
        column = n0 + b.n_block;
        columns = min64(b.n_block, b.n - column);
      } else if (b.k <= b.depth) {
        return;  // the same panels again
      }
    }
    depth = more ? next : 0;
    if (columns <= 0) return;
    p->ahead = mb + column * b.k + depth * kLanes<T>;
    p->ahead_vecs = ceil_div(columns, kLanes<T>);
    p->ahead_depth = min64(b.depth, b.k - depth);
  }

  // Columns [n0, n0 + n) of rows [m0, m0 + m) of one matrix of the batch, each pointer at the matrix's first element.
  // in_out: partial sums go to the output; n is a multiple of kLanes.
  void block(const T* ma, const T* mb, const T* mc, T* mo, int64_t key, int64_t m0, int64_t m, int64_t n0, int64_t n,
             bool in_place, bool in_out) {
    constexpr int64_t L = kLanes<T>;
    GemmPass<T> p{};
    p.m = m;
    p.n = n;
    p.a_row = b.a.row;
    p.a_k = b.a.col;
    p.partial = scratch + (b.sums_in_out != 0 ? 0 : n0 % b.n_block);
    p.partial_row = b.partial_row;
    p.alpha = scalar<T>(b.alpha);
    p.beta = scalar<T>(b.beta);
    p.activation = b.activation;
    p.c = b.c_operand < 0 ? nullptr : mc + m0 * b.c.row + n0 * b.c.col;
    p.c_row = b.c.row;
    p.c_col = b.c.col;
    p.out = mo + m0 * b.out.row + n0 * b.out.col;
    p.out_row = b.out.row;
    p.out_col = b.out.col;
    if (in_out) {
      p.partial = p.out;
      p.partial_row = p.out_row;
    }
    if (b.use_epilogue != 0) {
      p.out = p.partial;
      p.out_row = b.n_block;
      p.out_col = 1;
    }
    p.compact = b.use_compact != 0 ? scratch + b.compact : nullptr;
    p.edge = scratch + b.edge;
    for (int64_t from = 0; from == 0 || from < b.k; from += b.depth) {
      const int64_t depth = min64(b.depth, b.k - from);
      p.depth = depth;
      p.first = from == 0;
      p.last = from + depth >= b.k;
      p.a = ma + m0 * b.a.row + from * b.a.col;
      if (in_place) {
        p.b = mb + from * b.b.row + n0;
        p.b_vec = L;
        p.b_k = b.b.row;
      } else if (b.panels == kPacked) {
        p.b = mb + n0 * b.k + from * L;
        p.b_vec = b.k * L;
        p.b_k = L;
        p.ahead = nullptr;
        foresee(&p, mb, from, n0, n, m0 + m >= b.m);
      } else {
        pack(mb + n0 * b.b.col, key, from, depth, n);
        p.b = scratch + b.slab;
        p.b_vec = depth * L;
        p.b_k = L;
      }
      gemm_pass(p);
    }
  }

  void unit(int64_t u) {
    const int64_t mi = u % b.m_blocks, ni = u / b.m_blocks % b.n_blocks;
    const int64_t matrix = u / b.m_blocks / b.n_blocks;
    int64_t rest = matrix, at_a = 0, at_b = 0, at_c = 0, at_o = 0;
    for (int64_t i = b.batch_rank - 1; i >= 0; --i) {
      const int64_t x = rest % b.batch_dims[i];
      rest /= b.batch_dims[i];
      at_a += x * b.a.batch[i];
      at_b += x * b.b.batch[i];
      at_c += x * b.c.batch[i];
      at_o += x * b.out.batch[i];
    }
    const int64_t m0 = mi * b.m_block, m = min64(b.m_block, b.m - m0);
    const int64_t n0 = ni * b.n_block, n = min64(b.n_block, b.n - n0);
    const T* mc = b.c_operand < 0 ? nullptr : c + at_c;
    const bool in_out = b.sums_in_out != 0, in_place = b.panels == kInPlace;
    const int64_t key = u / b.m_blocks;
    int64_t whole = 0;
    if (in_place || in_out) {  // partial vectors are read from packed columns, never past the end of a row
      whole = n / kLanes<T> * kLanes<T>;
      if (whole > 0)
        block(a + at_a, pb + at_b, mc, out + at_o, in_place ? -1 : key, m0, m, n0, whole, in_place, in_out);
    }
    if (whole < n) block(a + at_a, pb + at_b, mc, out + at_o, key, m0, m, n0 + whole, n - whole, false, false);
    if (b.use_epilogue != 0)
      epilogue_run(b.epilogue, operand, matrix * b.m + m0, m, n0, n, scratch, b.n_block, epilogue_scratch);
  }
};

template <typename T>
int32_t matmul_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                   const arn_state* state) {
  const MatMulBound& b = *static_cast<const MatMulBound*>(bound);
  void* after = static_cast<char*>(thread_scratch) + b.epilogue_scratch;
  MatMulRun<T> r{b,
                 static_cast<const T*>(operand[b.a_operand]),
                 static_cast<const T*>(operand[b.b_operand]),
                 b.c_operand < 0 ? nullptr : static_cast<const T*>(operand[b.c_operand]),
                 static_cast<T*>(operand[b.out_operand]),
                 static_cast<T*>(thread_scratch),
                 operand,
                 after,
                 -1};
  if (b.use_epilogue != 0) epilogue_begin(b.epilogue, operand, after);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { r.unit(u); });
}

// Elements of the packed form of one matrix of B.
template <typename T>
int64_t packed_matrix(const arn_desc& d, bool transposed) {
  const int64_t k = d.dims[d.rank - (transposed ? 1 : 2)], n = d.dims[d.rank - (transposed ? 2 : 1)];
  return k * round_up(n, kLanes<T>);
}

template <typename T>
int64_t matmul_pack_bytes(const arn_bind_args* args, int32_t operand) {
  const arn_matmul_params& p = *static_cast<const arn_matmul_params*>(args->params);
  if (operand != 1 || args->n_in < 2 || args->operand[1].rank < 2) return 0;
  const arn_desc& d = args->operand[1];
  for (int i = 0; i < d.rank; ++i)
    if (d.dims[i] < 0) return 0;
  // So few columns: the sides are swapped instead.
  if (!ARN_CHOICE("matmul/packed", d.dims[d.rank - (p.trans_b != 0 ? 2 : 1)] > 4)) return 0;
  return packed_matrix<T>(d, p.trans_b != 0) * stack_height(d) * static_cast<int64_t>(sizeof(T));
}

template <typename T>
void matmul_pack(const arn_bind_args* args, T* dst) {
  const arn_matmul_params& p = *static_cast<const arn_matmul_params*>(args->params);
  const arn_desc& d = args->operand[1];
  const int64_t kd = d.rank - (p.trans_b != 0 ? 1 : 2), nd = d.rank - (p.trans_b != 0 ? 2 : 1);
  const int64_t each = packed_matrix<T>(d, p.trans_b != 0);
  for (int64_t i = 0; i < stack_height(d); ++i) {
    const T* src = static_cast<const T*>(args->constant[1]) + matrix_offset(d, i);
    pack_panels(dst + i * each, d.dims[kd] * kLanes<T>, src, d.dims[kd], d.dims[nd], d.strides[kd], d.strides[nd]);
  }
}

inline int32_t read_shapes(const arn_bind_args* args, MatMulBound* b) {
  const arn_matmul_params& p = *static_cast<const arn_matmul_params*>(args->params);
  const arn_desc &da = args->operand[0], &db = args->operand[1], &o = args->operand[args->n_in];
  const bool has_c = args->n_in > 2 && args->operand[2].dtype != ARN_NONE;
  if (da.dtype != db.dtype || (has_c && args->operand[2].dtype != da.dtype)) return ARN_UNSUPPORTED;
  if (args->tile == nullptr && (da.dtype != o.dtype || args->n_out > 1)) return ARN_UNSUPPORTED;
  const int32_t bad = read_product(args, p.trans_a != 0, p.trans_b != 0, b);
  if (bad != ARN_OK) return bad;
  b->c_operand = has_c ? 2 : -1;
  if (has_c && !read_c(args->operand[2], o, b)) return ARN_SHAPE_MISMATCH;
  b->alpha = p.alpha;
  b->beta = p.beta;
  return ARN_OK;
}

template <typename T>
int32_t matmul_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  constexpr int64_t L = kLanes<T>;
  auto* b = cleared<MatMulBound>(bound);
  if (args->params == nullptr || args->n_in < 2) return ARN_UNSUPPORTED;
  const int32_t status = read_shapes(args, b);
  if (status != ARN_OK) return status;
  if (!scalar_fits<T>(b->alpha) || !scalar_fits<T>(b->beta)) return ARN_UNSUPPORTED;
  const RegisterForm form = register_form(args);
  if (form.known && (form.add < 0 || b->c_operand < 0)) {
    b->activation = form.activation;
    if (form.add >= 0) {
      if (!read_c(args->operand[form.add], args->operand[args->n_in], b)) return ARN_SHAPE_MISMATCH;
      b->c_operand = form.add;
      b->beta = 1;
    }
  } else if (args->tile != nullptr) {
    const int32_t last = args->operand[args->n_in].rank - 1;
    if (args->tile->reg_dtype[0] != args->operand[0].dtype) return ARN_UNSUPPORTED;
    const int32_t bad = epilogue_bind(args, last, last, &b->epilogue);
    if (bad != ARN_OK) return bad;
    b->use_epilogue = 1;
  }
  if ((args->packed & 2u) != 0) {
    b->panels = kPacked;
    b->panel_matrix = b->k * round_up(b->n, L);
    packed_batch(args->operand[1], b->panel_matrix, b);
  } else {
    b->panels = kOnTheFly;
    const bool narrow = b->n < L / 2 && b->m > b->n, transposed = b->out.col != 1 && b->out.row == 1;
    if (b->use_epilogue == 0 && (narrow || transposed)) swap_sides(b);
  }
  flatten_batch(b);
  if (b->panels == kOnTheFly && b->b.col == 1 && ARN_CHOICE("matmul/in place", b->m <= 2 * kMaxRows))
    b->panels = kInPlace;
  b->depth = depth_block(b->k);
  choose_grid<T>(*args->target, b);
  b->use_compact = b->a.col != 1 && b->n_block >= 4 * L;
  b->partial_row = b->k > b->depth || b->use_epilogue != 0 ? b->n_block : 0;
  // What is added last may lie where the output does, unless it is shorter.
  const bool own_out = b->c_operand < 0 || (b->c.row == 0 && b->m > 1);
  b->sums_in_out = b->k > b->depth && b->use_epilogue == 0 && b->out.col == 1 && own_out;
  if (b->sums_in_out != 0) b->partial_row = b->n % L == 0 ? 0 : L;
  b->slab = b->partial_row * b->m_block;
  const int64_t slab = b->panels == kPacked ? 0 : b->depth * (b->panels == kInPlace ? L : b->n_block);
  b->compact = b->slab + slab;
  b->edge = b->compact + (b->use_compact != 0 ? round_up(kMaxRows * b->depth, L) : 0);
  b->epilogue_scratch = round_up((b->edge + edge_elements()) * static_cast<int64_t>(sizeof(T)), ARN_ALIGN);
  out->run = matmul_run<T>;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b->epilogue_scratch + (b->use_epilogue != 0 ? b->epilogue.core.scratch_bytes : 0);
  out->bound_bytes = sizeof(MatMulBound);
  out->variant = b->panels == kPacked ? "packed" : b->panels == kInPlace ? "in place" : "on the fly";
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS
