#include "kernels/tile/program.h"

#include "kernels/tile/activation.h"

namespace ARN_NS {
namespace {

constexpr int64_t kDivided = 1024;             // divisors that are looked through at a time
constexpr int64_t kRegisterBudget = 24 << 10;  // bytes of L1 for all registers

// Whether a register of type `reg` holds elements of that storage type as they are: the type itself, or an integer of
// the same few bits.
bool is_held_as(int32_t storage, int32_t reg) {
  if (storage == reg) return true;
  const bool bytes = (storage == ARN_U8 || storage == ARN_I8) && (reg == ARN_U8 || reg == ARN_I8);
  return bytes || ((storage == ARN_U16 || storage == ARN_I16) && (reg == ARN_U16 || reg == ARN_I16));
}

// Registers read, written, and whether the program is well-formed.
int32_t check_program(const arn_tile& t) {
  const int32_t fixed = t.n_in + t.n_imm;
  if (t.n_in < 0 || t.n_imm < 0 || fixed > t.n_regs || t.n_regs > ARN_TILE_MAX_REGS || t.n_instr < 0 ||
      t.n_instr > ARN_TILE_MAX_INSTR || t.n_out < 1)
    return ARN_BAD_VALUE;
  uint32_t defined = static_cast<uint32_t>((uint64_t(1) << fixed) - 1);
  for (int32_t k = 0; k < t.n_instr; ++k) {
    const arn_tile_instr& i = t.instr[k];
    if (i.fn >= kTileFunctionCount || i.dst >= t.n_regs || (i.dst >= t.n_in && i.dst < fixed)) return ARN_BAD_VALUE;
    const TileTypes& types = kTileTypes[i.fn];
    const uint8_t source[3] = {i.a, i.b, i.c};
    for (int s = 0; s < 3; ++s) {
      if (types.arg[s] == ARN_NONE) continue;
      if (source[s] >= t.n_regs || !(defined >> source[s] & 1) || t.reg_dtype[source[s]] != types.arg[s])
        return ARN_BAD_VALUE;
    }
    if (t.reg_dtype[i.dst] != types.result) return ARN_BAD_VALUE;
    defined |= 1u << i.dst;
  }
  for (int32_t o = 0; o < t.n_out; ++o)
    if (t.out_reg[o] >= t.n_regs || !(defined >> t.out_reg[o] & 1)) return ARN_BAD_VALUE;
  return ARN_OK;
}

bool written(const TileCore& core, int32_t reg) {
  for (int32_t k = 0; k < core.n_instr; ++k)
    if (core.instr[k].dst == reg) return true;
  return false;
}

bool divides_integers(uint16_t fn) {
  switch (fn) {
    case kTile_div_i32:
    case kTile_div_i64:
    case kTile_div_u64:
    case kTile_mod_i32:
    case kTile_mod_i64:
    case kTile_mod_u64:
    case kTile_fmod_i32:
    case kTile_fmod_i64:
    case kTile_fmod_u64:
      return true;
    default:
      return false;
  }
}

// The instructions that divide integers by what is no immediate other than 0.
uint64_t dividing(const TileCore& core) {
  uint64_t found = 0;
  for (int32_t k = 0; k < core.n_instr; ++k) {
    if (!divides_integers(core.instr[k].fn)) continue;
    const int32_t imm = core.instr[k].b - core.n_in;
    if (imm < 0 || imm >= core.n_imm || core.imm[imm] == 0) found |= uint64_t(1) << k;
  }
  return found;
}

template <typename T>
bool has_zero(int64_t n, const void* p) {
  const T* x = static_cast<const T*>(p);
  T found = 0;
  for (int64_t i = 0; i < n; ++i) found |= static_cast<T>(x[i] == 0);
  return found != 0;
}

// A dividing instruction, in pieces that are in L1 when they are divided by.
int32_t divide(const arn_tile_instr& i, int64_t n, char* const* reg) {
  const int64_t bytes = element_bytes(kTileTypes[i.fn].result);
  for (int64_t at = 0; at < n; at += kDivided) {
    const int64_t count = min64(kDivided, n - at);
    const char* by = reg[i.b] + at * bytes;
    if (bytes == 4 ? has_zero<int32_t>(count, by) : has_zero<int64_t>(count, by)) return ARN_DIVISION_BY_ZERO;
    kTileFunctions[i.fn](count, reg[i.dst] + at * bytes, reg[i.a] + at * bytes, by, nullptr);
  }
  return ARN_OK;
}

bool stored(const TileCore& core, int32_t reg) {
  for (int32_t o = 0; o < core.n_out; ++o)
    if (core.operand[core.n_in + o].reg == reg) return true;
  return false;
}

// May output o's register be the output's memory? That memory may be an input's too (in-place), so once the register is
// first written no instruction may read an input that could be used where it lies.
bool may_be_direct(const TileCore& core, int32_t o) {
  const int32_t reg = core.operand[core.n_in + o].reg;
  if (reg < core.n_in + core.n_imm) return false;
  bool begun = false;
  for (int32_t k = 0; k < core.n_instr; ++k) {
    const arn_tile_instr& i = core.instr[k];
    const TileTypes& types = kTileTypes[i.fn];
    const uint8_t source[3] = {i.a, i.b, i.c};
    for (int s = 0; begun && s < 3; ++s)
      if (types.arg[s] != ARN_NONE && source[s] < core.n_in) return false;
    begun = begun || i.dst == reg;
  }
  for (int32_t p = 0; p < o; ++p)
    if (core.operand[core.n_in + p].reg == reg) return false;  // one home is enough
  return true;
}

// A register that is stored gets a number of its own from its last write on, so that earlier uses of that number do not
// keep it from being the output's memory.
void split_last_write(TileCore* core, int32_t output) {
  const uint8_t reg = core->operand[core->n_in + output].reg;
  if (reg < core->n_in + core->n_imm || core->n_regs == ARN_TILE_MAX_REGS) return;
  int32_t writes = 0, last = 0;
  for (int32_t k = 0; k < core->n_instr; ++k) {
    if (core->instr[k].dst != reg) continue;
    ++writes;
    last = k;
  }
  if (writes < 2) return;
  const uint8_t fresh = static_cast<uint8_t>(core->n_regs++);
  core->reg_dtype[fresh] = core->reg_dtype[reg];
  core->instr[last].dst = fresh;
  for (int32_t k = last + 1; k < core->n_instr; ++k) {
    arn_tile_instr& i = core->instr[k];
    if (i.a == reg) i.a = fresh;
    if (i.b == reg) i.b = fresh;
    if (i.c == reg) i.c = fresh;
  }
  for (int32_t o = 0; o < core->n_out; ++o)
    if (core->operand[core->n_in + o].reg == reg) core->operand[core->n_in + o].reg = fresh;
}

// Position in a group of dims, outermost first.
struct Index {
  int64_t at[ARN_MAX_RANK];
};

void locate(const int64_t* dim, int32_t n, int64_t flat, Index* index) {
  for (int32_t d = n - 1; d > 0; --d) {
    index->at[d] = flat % dim[d];
    flat /= dim[d];
  }
  if (n > 0) index->at[0] = flat;
}

// Moves `step` along the last dim, which it may reach the end of but not pass.
void advance(const int64_t* dim, int32_t n, int64_t step, Index* index) {
  int32_t d = n - 1;
  if (d < 0) return;
  index->at[d] += step;
  for (; d > 0 && index->at[d] == dim[d]; --d) {
    index->at[d] = 0;
    ++index->at[d - 1];
  }
}

int64_t dot(const int64_t* stride, int32_t n, const Index& index) {
  int64_t sum = 0;
  for (int32_t d = 0; d < n; ++d) sum += index.at[d] * stride[d];
  return sum;
}

struct BlockPosition {
  int64_t rows, cols;
  Index row, col;
};

// Moves a block between an operand and compact rows of `cols` raw elements at `flat`.
void move_operand(const TileCore& core, const TileOperand& op, const BlockPosition& at, char* base, char* flat,
                  bool to_operand) {
  const int64_t *row_dim = core.dim, *col_dim = core.dim + core.n_row;
  const int64_t *row_stride = op.stride, *col_stride = op.stride + core.n_row;
  const int64_t inner_row = core.n_row > 0 ? row_stride[core.n_row - 1] : 0;
  const int64_t inner_col = core.n_col > 0 ? col_stride[core.n_col - 1] : 1;
  Index row = at.row;
  for (int64_t r = 0; r < at.rows;) {
    const int64_t r_run = core.n_row > 0 ? min64(at.rows - r, row_dim[core.n_row - 1] - row.at[core.n_row - 1]) : 1;
    const int64_t row_offset = op.offset + dot(row_stride, core.n_row, row);
    Index col = at.col;
    for (int64_t c = 0; c < at.cols;) {
      const int64_t c_run = core.n_col > 0 ? min64(at.cols - c, col_dim[core.n_col - 1] - col.at[core.n_col - 1]) : 1;
      char* there = base + (row_offset + dot(col_stride, core.n_col, col)) * op.bytes;
      char* here = flat + (r * at.cols + c) * op.bytes;
      if (to_operand)
        move_block(op.bytes, r_run, c_run, there, inner_row, inner_col, here, at.cols, 1);
      else
        move_block(op.bytes, r_run, c_run, here, at.cols, 1, there, inner_row, inner_col);
      c += c_run;
      advance(col_dim, core.n_col, c_run, &col);
    }
    r += r_run;
    advance(row_dim, core.n_row, r_run, &row);
  }
}

// The operand's element of the block's first row and column, when the block is consecutive in memory; else NULL.
char* consecutive(const TileCore& core, const TileOperand& op, const BlockPosition& at, void* base) {
  const bool one_row = at.rows == 1 && (op.flags & kUnit) != 0;
  if (!one_row && !((op.flags & kDense) != 0 && at.cols == core.cols)) return nullptr;
  return static_cast<char*>(base) +
         (op.offset + dot(op.stride, core.n_row, at.row) + dot(op.stride + core.n_row, core.n_col, at.col)) * op.bytes;
}

void load(const TileCore& core, const TileOperand& op, const BlockPosition& at, void* base, char* reg, char* raw) {
  if ((op.flags & kConverts) == 0) return move_operand(core, op, at, static_cast<char*>(base), reg, false);
  const char* from = consecutive(core, op, at, base);
  if (from == nullptr) {
    move_operand(core, op, at, static_cast<char*>(base), raw, false);
    from = raw;
  }
  widen(op.dtype, at.rows * at.cols, reg, from);
}

void store(const TileCore& core, const TileOperand& op, const BlockPosition& at, void* base, char* reg, char* raw) {
  if ((op.flags & kConverts) == 0) return move_operand(core, op, at, static_cast<char*>(base), reg, true);
  char* to = consecutive(core, op, at, base);
  narrow(op.dtype, at.rows * at.cols, to != nullptr ? to : raw, reg);
  if (to == nullptr) move_operand(core, op, at, static_cast<char*>(base), raw, true);
}

BlockPosition position(const TileCore& core, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  BlockPosition at{rows, cols, {}, {}};
  locate(core.dim, core.n_row, row, &at.row);
  locate(core.dim + core.n_row, core.n_col, col, &at.col);
  return at;
}

}  // namespace

int32_t tile_bind_program(const arn_bind_args* args, bool has_block, TileCore* core, TileWalk* walk) {
  const arn_tile& t = *args->tile;
  const int32_t bad = check_program(t);
  if (bad != ARN_OK) return bad;
  if (t.n_out > args->n_out || t.n_in + t.n_out > ARN_MAX_OPERANDS + 1 || (has_block && t.n_in < 1))
    return ARN_BAD_VALUE;
  core->n_instr = t.n_instr;
  core->n_in = t.n_in;
  core->n_imm = t.n_imm;
  core->n_regs = t.n_regs;
  core->n_out = t.n_out;
  for (int32_t r = 0; r < t.n_regs; ++r) core->reg_dtype[r] = t.reg_dtype[r];
  for (int32_t k = 0; k < t.n_imm; ++k) core->imm[k] = t.imm[k];
  for (int32_t k = 0; k < t.n_instr; ++k) core->instr[k] = t.instr[k];
  core->divides = dividing(*core);

  const arn_desc& target = args->operand[args->n_in];
  walk->n_row = target.rank;
  walk->n_col = 0;
  walk->slots = t.n_in + t.n_out;
  for (int32_t d = 0; d < target.rank; ++d) walk->dim[d].n = target.dims[d];
  for (int32_t s = 0; s < walk->slots; ++s) {
    TileOperand& op = core->operand[s];
    walk->offset[s] = 0;
    op.flags = 0;
    const bool is_output = s >= t.n_in;
    op.reg = is_output ? t.out_reg[s - t.n_in] : static_cast<uint8_t>(s);
    if (has_block && s == 0) {
      op.index = -1;
      op.dtype = t.reg_dtype[0];
      op.bytes = static_cast<uint8_t>(element_bytes(op.dtype));
      for (int32_t d = 0; d < target.rank; ++d) walk->dim[d].stride[s] = 0;
      continue;
    }
    op.index = is_output ? args->n_in + s - t.n_in : t.first_operand + s - (has_block ? 1 : 0);
    if (op.index < 0 || op.index >= args->n_in + args->n_out || (!is_output && op.index >= args->n_in))
      return ARN_BAD_VALUE;
    const arn_desc& desc = args->operand[op.index];
    op.dtype = static_cast<uint8_t>(desc.dtype);
    op.bytes = static_cast<uint8_t>(element_bytes(desc.dtype));
    if (compute_type(desc.dtype) == ARN_NONE || (is_output && is_load_only(desc.dtype))) return ARN_UNSUPPORTED;
    const bool converts = !is_held_as(desc.dtype, t.reg_dtype[op.reg]);
    if (converts && compute_type(desc.dtype) != t.reg_dtype[op.reg]) return ARN_BAD_VALUE;
    if (converts) op.flags = kConverts;
    if (desc.rank > target.rank || (is_output && desc.rank != target.rank)) return ARN_SHAPE_MISMATCH;
    for (int32_t d = 0; d < target.rank; ++d) {
      const int32_t own = d - (target.rank - desc.rank);
      const int64_t n = own < 0 ? 1 : desc.dims[own];
      if (n != target.dims[d] && (is_output || n != 1)) return ARN_SHAPE_MISMATCH;
      const bool shared = is_output && n > 1 && desc.strides[own] == 0 && element_count(desc) > 0;
      if (shared) return ARN_UNSUPPORTED;  // two elements in one place
      walk->dim[d].stride[s] = n == 1 ? 0 : desc.strides[own];
    }
  }
  for (int32_t o = 0; o < t.n_out; ++o) split_last_write(core, o);
  return ARN_OK;
}

void collapse(TileWalk* walk) {
  TileWalk& w = *walk;
  int32_t kept = 0;
  const int32_t total = w.n_row + w.n_col, first_col = w.n_row;
  int32_t group_start = 0;
  for (int32_t d = 0; d < total; ++d) {
    if (d == first_col) {
      w.n_row = kept;
      group_start = kept;
    }
    if (w.dim[d].n == 1) continue;
    bool merges = kept > group_start;
    for (int32_t s = 0; merges && s < w.slots; ++s)
      merges = w.dim[kept - 1].stride[s] == w.dim[d].stride[s] * w.dim[d].n;
    if (merges) {
      const int64_t n = w.dim[kept - 1].n;
      w.dim[kept - 1] = w.dim[d];
      w.dim[kept - 1].n *= n;
    } else {
      w.dim[kept] = w.dim[d];
      ++kept;
    }
  }
  if (first_col == total) w.n_row = kept;
  w.n_col = kept - w.n_row;
}

void tile_set_walk(const TileWalk& walk, TileCore* core) {
  core->n_row = walk.n_row;
  core->n_col = walk.n_col;
  core->rows = core->cols = 1;
  for (int32_t d = 0; d < walk.n_row + walk.n_col; ++d) {
    core->dim[d] = walk.dim[d].n;
    (d < walk.n_row ? core->rows : core->cols) *= walk.dim[d].n;
  }
  for (int32_t s = 0; s < walk.slots; ++s) {
    TileOperand& op = core->operand[s];
    op.offset = walk.offset[s];
    bool constant = op.index >= 0, dense = true;
    int64_t expected = 1;
    for (int32_t d = walk.n_row + walk.n_col - 1; d >= 0; --d) {
      op.stride[d] = walk.dim[d].stride[s];
      constant = constant && op.stride[d] == 0;
      dense = dense && op.stride[d] == expected;
      expected *= walk.dim[d].n;
      if (d == walk.n_row && dense) op.flags |= kUnit;
    }
    if (walk.n_col == 0) op.flags |= kUnit;
    if (dense) op.flags |= kDense;
    if (op.index < 0) op.flags = 0;
    if (s >= core->n_in) {
      if ((op.flags & kConverts) == 0 && may_be_direct(*core, s - core->n_in)) op.flags |= kInPlace;
      continue;
    }
    // A block may be overwritten. An input that several outputs need must outlive the first store.
    const bool keeps = !written(*core, op.reg);
    if ((op.flags & kConverts) == 0 && (keeps || op.index < 0) && !(core->n_out > 1 && stored(*core, op.reg)))
      op.flags |= kInPlace;
    if (keeps) op.flags |= kReadOnly;
    if (constant && keeps) op.flags |= kOnce;
  }
  core->once_rows = 1;
  core->once_cols = 0;  // set with the capacity
}

void tile_set_registers(TileCore* core, const bool* needs_scratch, int64_t most) {
  int64_t per_element = 0, raw = 0;
  for (int32_t r = 0; r < core->n_regs; ++r)
    if (needs_scratch[r]) per_element += element_bytes(core->reg_dtype[r]);
  for (int32_t s = 0; s < core->n_in + core->n_out; ++s)
    if ((core->operand[s].flags & kConverts) != 0) raw = max64(raw, core->operand[s].bytes);
  per_element += raw;
  int64_t capacity = per_element == 0 ? most : kRegisterBudget / per_element / 64 * 64;
  capacity = max64(64, min64(capacity, round_up(most, 64)));
  core->capacity = static_cast<int32_t>(capacity);
  int64_t at = 0;
  for (int32_t r = 0; r < core->n_regs; ++r) {
    core->reg_offset[r] = needs_scratch[r] ? static_cast<int32_t>(at) : -1;
    // One line between registers keeps equal indices of two registers off the same address modulo 4096.
    if (needs_scratch[r]) at += capacity * element_bytes(core->reg_dtype[r]) + 64;
  }
  core->raw_offset = at;
  core->scratch_bytes = at + raw * capacity;
}

void tile_begin(const TileCore& core, void* const* operand, void* scratch) {
  char* memory = static_cast<char*>(scratch);
  for (int32_t k = 0; k < core.n_imm; ++k) {
    const int32_t r = core.n_in + k;
    if (core.reg_offset[r] >= 0)
      fill_register(element_bytes(core.reg_dtype[r]), core.capacity, memory + core.reg_offset[r], &core.imm[k]);
  }
  for (int32_t s = 0; s < core.n_in; ++s) {
    const TileOperand& op = core.operand[s];
    if ((op.flags & kOnce) == 0) continue;
    char* reg = memory + core.reg_offset[op.reg];
    if (core.once_cols > 0) {
      const BlockPosition at = position(core, 0, core.once_rows, 0, core.once_cols);
      load(core, op, at, operand[op.index], reg, memory + core.raw_offset);
      continue;
    }
    uint64_t value = 0;
    const char* from = static_cast<const char*>(operand[op.index]) + op.offset * op.bytes;
    if ((op.flags & kConverts) != 0)
      widen(op.dtype, 1, &value, from);
    else
      __builtin_memcpy(&value, from, op.bytes);
    fill_register(element_bytes(core.reg_dtype[op.reg]), core.capacity, reg, &value);
  }
}

int32_t tile_run(const TileCore& core, void* const* operand, int64_t row, int64_t rows, int64_t col, int64_t cols,
                 void* block, int64_t block_stride, void* scratch, bool same_row) {
  char* memory = static_cast<char*>(scratch);
  char* raw = memory + core.raw_offset;
  const int64_t n = rows * cols;
  const BlockPosition at = position(core, row, rows, col, cols);
  char* reg[ARN_TILE_MAX_REGS];
  for (int32_t r = 0; r < core.n_regs; ++r) reg[r] = memory + core.reg_offset[r];
  for (int32_t s = 0; s < core.n_in; ++s) {
    const TileOperand& op = core.operand[s];
    if ((op.flags & kOnce) != 0 || (same_row && (op.flags & kByRow) != 0)) continue;
    const bool in_place = (op.flags & kInPlace) != 0;
    if (op.index < 0) {
      if (in_place && (rows == 1 || block_stride == cols))
        reg[s] = static_cast<char*>(block);
      else
        move_block(op.bytes, rows, cols, reg[s], cols, 1, block, block_stride, 1);
      continue;
    }
    char* there = in_place ? consecutive(core, op, at, operand[op.index]) : nullptr;
    if (there != nullptr)
      reg[s] = there;
    else
      load(core, op, at, operand[op.index], reg[s], raw);
  }
  for (int32_t s = core.n_in; s < core.n_in + core.n_out; ++s) {
    const TileOperand& op = core.operand[s];
    if ((op.flags & kInPlace) == 0) continue;
    char* there = consecutive(core, op, at, operand[op.index]);
    if (there != nullptr) reg[op.reg] = there;
  }
  for (int32_t k = 0; k < core.n_instr; ++k) {
    const arn_tile_instr& i = core.instr[k];
    if ((core.divides >> k & 1) != 0) {
      const int32_t status = divide(i, n, reg);
      if (status != ARN_OK) return status;
      continue;
    }
    kTileFunctions[i.fn](n, reg[i.dst], reg[i.a], reg[i.b], reg[i.c]);
  }
  for (int32_t s = core.n_in; s < core.n_in + core.n_out; ++s) {
    const TileOperand& op = core.operand[s];
    if ((op.flags & kInPlace) != 0 && consecutive(core, op, at, operand[op.index]) != nullptr) continue;
    store(core, op, at, operand[op.index], reg[op.reg], raw);
  }
  return ARN_OK;
}

}  // namespace ARN_NS
