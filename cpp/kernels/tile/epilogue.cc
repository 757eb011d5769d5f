#include "kernels/tile/epilogue.h"

namespace ARN_NS {
namespace {
constexpr int64_t kLongRow = 256;
constexpr int64_t kMostElements = 4096;
}  // namespace

int32_t epilogue_bind(const arn_bind_args* args, int32_t first_column, int32_t last_column, Epilogue* e) {
  arn_tile store_only{};
  store_only.n_in = store_only.n_regs = store_only.n_out = 1;
  store_only.reg_dtype[0] = ARN_F32;
  arn_bind_args with_program = *args;
  if (args->tile == nullptr) with_program.tile = &store_only;
  TileWalk walk;
  const int32_t bad = tile_bind_program(&with_program, true, &e->core, &walk);
  if (bad != ARN_OK) return bad;
  if (e->core.divides != 0) return ARN_UNSUPPORTED;  // anchors ask for no status
  const int32_t rank = walk.n_row;
  if (first_column < 0 || last_column >= rank) return ARN_BAD_VALUE;
  TileWalk grouped = walk;
  int32_t at = 0;
  for (int32_t d = 0; d < rank; ++d)
    if (d < first_column || d > last_column) grouped.dim[at++] = walk.dim[d];
  grouped.n_row = at;
  for (int32_t d = first_column; d <= last_column; ++d) grouped.dim[at++] = walk.dim[d];
  grouped.n_col = rank - grouped.n_row;
  collapse(&grouped);
  tile_set_walk(grouped, &e->core);
  bool needs[ARN_TILE_MAX_REGS];
  for (bool& n : needs) n = true;
  tile_set_registers(&e->core, needs, kMostElements);
  return ARN_OK;
}

void epilogue_begin(const Epilogue& e, void* const* operand, void* scratch) { tile_begin(e.core, operand, scratch); }

void epilogue_run(const Epilogue& e, void* const* operand, int64_t row, int64_t rows, int64_t col, int64_t cols,
                  void* block, int64_t block_stride, void* scratch) {
  const int64_t capacity = e.core.capacity;
  const int64_t tile_rows = cols >= kLongRow || cols > capacity ? 1 : capacity / cols;
  const int64_t tile_cols = min64(cols, capacity);
  const int64_t bytes = e.core.operand[0].bytes;
  for (int64_t r = 0; r < rows; r += tile_rows)
    for (int64_t c = 0; c < cols; c += tile_cols)
      (void)tile_run(e.core, operand, row + r, min64(tile_rows, rows - r), col + c, min64(tile_cols, cols - c),
                     static_cast<char*>(block) + (r * block_stride + c) * bytes, block_stride, scratch);
}

}  // namespace ARN_NS
