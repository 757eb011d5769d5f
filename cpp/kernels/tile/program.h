// A bound tile program: the core that the driver (family Tile) and the epilogue share.
//
// The output is walked as a matrix of rows x cols: its dims in two groups, each flattened. One call of tile_run does a
// block of it, small enough for registers that stay in L1: every operand is used where it lies when its elements are of
// compute type and consecutive over the block, else loaded (moved, converted, broadcast) into its register; the
// instructions run over rows * cols elements; the outputs are stored.
#pragma once

#include "kernels/tile/convert.h"
#include "kernels/tile/table.h"

namespace ARN_NS {

enum : uint8_t {
  kOnce = 1,       // loaded by tile_begin, the same for every block
  kUnit = 2,       // compute type, consecutive along the columns: one row of it can be used in place
  kDense = 4,      // and its rows follow each other: full rows of it can be used in place
  kInPlace = 8,    // the program allows its register to be its own memory
  kReadOnly = 16,  // no instruction writes its register
  kConverts = 32,  // its storage type is another than its register's
  kByRow = 64,     // one element a row, kept in its register while tiles of that row follow each other
};

struct TileOperand {
  int64_t stride[ARN_MAX_RANK];  // in elements, in the order of TileCore::dim
  int64_t offset;                // in elements, from the operand's pointer to the walk's origin
  int32_t index;                 // of the step's operand; -1: the block that an anchor computed
  uint8_t reg, dtype, bytes, flags;
};

struct TileCore {
  int64_t rows, cols;
  int64_t dim[ARN_MAX_RANK];  // n_row extents of the row group, then n_col of the column group, outermost first
  int64_t raw_offset;         // scratch for raw elements of narrow types
  int64_t scratch_bytes;
  int32_t n_row, n_col;
  int32_t n_instr, n_in, n_imm, n_regs, n_out;
  int32_t capacity;                       // elements of a register: the most rows * cols of a block
  int32_t once_rows, once_cols;           // the block that kOnce operands are loaded for
  int32_t reg_offset[ARN_TILE_MAX_REGS];  // in scratch; -1: never stored there
  uint8_t reg_dtype[ARN_TILE_MAX_REGS];
  uint64_t imm[ARN_TILE_MAX_REGS];
  uint64_t divides;  // bit k: instruction k divides by integers that may be 0
  arn_tile_instr instr[ARN_TILE_MAX_INSTR];
  TileOperand operand[ARN_MAX_OPERANDS + 1];  // by register the inputs, then the outputs
};

// The walk while it is being built: one dim, with the stride of every operand slot.
struct TileWalkDim {
  int64_t n;
  int64_t stride[ARN_MAX_OPERANDS + 1];
};
struct TileWalk {
  int32_t n_row, n_col, slots;
  int64_t offset[ARN_MAX_OPERANDS + 1];
  TileWalkDim dim[ARN_MAX_RANK];  // rows, then columns, outermost first
};

// Checks the program against the function table and its operands, fills the program's part of `core` and the dims of
// output 0 with every operand's strides (all dims in the row group). has_block: register 0 is a computed block, and
// operand slot 0 gets strides 0. Returns a status.
int32_t tile_bind_program(const arn_bind_args* args, bool has_block, TileCore* core, TileWalk* walk);

// Merges dims of a group that every operand walks as one, drops extents of one.
void collapse(TileWalk* walk);

// Fixes the walk, sets the operands' flags; kOnce only for those that do not vary at all.
void tile_set_walk(const TileWalk& walk, TileCore* core);

// Lays out the registers: needs_scratch[r] says which may need memory. Sets capacity (a multiple of 64, at most
// `most`), scratch_bytes.
void tile_set_registers(TileCore* core, const bool* needs_scratch, int64_t most);

// Fills immediates and kOnce operands; once for each range of tasks, before tile_run with the same scratch.
void tile_begin(const TileCore& core, void* const* operand, void* scratch);

// Runs the block [row, row + rows) x [col, col + cols), rows * cols <= capacity. `block` (register 0 when there is one)
// has rows block_stride elements apart. same_row: the call before with this scratch was of the same single row, and at
// least as wide. Returns a status: an integer divided by 0 is the one thing that goes wrong.
int32_t tile_run(const TileCore& core, void* const* operand, int64_t row, int64_t rows, int64_t col, int64_t cols,
                 void* block, int64_t block_stride, void* scratch, bool same_row = false);

}  // namespace ARN_NS
