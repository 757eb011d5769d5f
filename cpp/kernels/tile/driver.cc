// Family Tile: a tile program over the output's dims. Inputs broadcast as in ONNX; every output has the dims of output
// 0; any strides, storage types as convert.h has them. Dims are walked in the order of output 0's strides and merged
// where all operands allow, so most calls come down to one long row.
#include "kernels/tile/byte_pair.h"
#include "kernels/tile/lookup.h"
#include "kernels/tile/narrow.h"
#include "kernels/units.h"

namespace ARN_NS {
namespace {

constexpr int64_t kLookups = 16384;  // bytes of a unit
constexpr int64_t kShortestRun = 8;
constexpr int32_t kRunDims = 3, kRunSlots = 3;
constexpr int64_t kLongRow = 512;     // a row of this many elements is cut into tiles of its own
constexpr int64_t kLongest = 16384;   // elements of a tile when no register needs memory
constexpr int64_t kTaskWork = 65536;  // elements times instructions that are worth a task
constexpr int64_t kTransposeRows = 32;
constexpr int32_t kQuick = 3;  // instructions on bytes

struct DriverBound {
  TileCore core;
  int64_t tile_rows, tile_cols, col_tiles, tiles, tiles_per_task;
};

// Rows of bytes, consecutive in every operand; a unit is some rows, or a piece of a long one.
struct Runs {
  int64_t rows, cols, rows_per_unit, pieces, units, units_per_task;
  int64_t dim[kRunDims], stride[kRunSlots][kRunDims], offset[kRunSlots];  // dims of the rows, outermost first
  int32_t n_dim, slots;
};

struct LookupBound {
  Runs runs;
  uint8_t table[256];
};

// Largest output stride first, positive; equal strides by the inputs' sum. Extents of one go first.
void sort_dims(TileWalk* w) {
  const int32_t out = w->slots - 1;
  const auto key = [&](const TileWalkDim& d, int32_t s) {
    return d.n == 1 ? INT64_MAX : (d.stride[s] < 0 ? -d.stride[s] : d.stride[s]);
  };
  for (int32_t d = 0; d < w->n_row; ++d) {
    TileWalkDim& dim = w->dim[d];
    if (dim.n == 1 || dim.stride[out] >= 0) continue;
    for (int32_t s = 0; s < w->slots; ++s) {
      w->offset[s] += (dim.n - 1) * dim.stride[s];
      dim.stride[s] = -dim.stride[s];
    }
  }
  for (int32_t i = 1; i < w->n_row; ++i)
    for (int32_t j = i; j > 0; --j) {
      const int64_t before = key(w->dim[j - 1], out), here = key(w->dim[j], out);
      if (before >= here) break;
      const TileWalkDim t = w->dim[j - 1];
      w->dim[j - 1] = w->dim[j];
      w->dim[j] = t;
    }
}

// An operand that is consecutive along another dim than the output is: that dim becomes the innermost row dim, so that
// a tile of some rows reads and writes whole lines. Returns whether there is one.
bool bring_transposed(TileWalk* w) {
  if (w->n_col == 0) return false;
  const TileWalkDim& inner = w->dim[w->n_row];
  for (int32_t s = 0; s < w->slots; ++s) {
    if (inner.stride[s] == 0 || inner.stride[s] == 1 || inner.stride[s] == -1) continue;
    for (int32_t d = w->n_row - 1; d >= 0; --d) {
      if (w->dim[d].stride[s] != 1 && w->dim[d].stride[s] != -1) continue;
      const TileWalkDim moved = w->dim[d];
      for (int32_t k = d; k + 1 < w->n_row; ++k) w->dim[k] = w->dim[k + 1];
      w->dim[w->n_row - 1] = moved;
      return true;
    }
  }
  return false;
}

// An input that repeats every so many rows (a bias of channels-last data repeats every row) is the same in every tile
// of a multiple of them. Returns at most `rows`: the rows of a tile that lets as many inputs as possible be loaded
// once.
int64_t load_periods_once(TileCore* core, int64_t rows) {
  int64_t period[ARN_MAX_OPERANDS + 1], best = 1;
  for (int32_t s = 0; s < core->n_in; ++s) {
    const TileOperand& op = core->operand[s];
    period[s] = 1;
    int64_t size = 1;
    for (int32_t d = core->n_row - 1; d >= 0; --d) {
      size *= core->dim[d];
      if (op.stride[d] != 0) period[s] = size;
    }
    if (period[s] <= rows && (op.flags & kReadOnly) != 0) best = max64(best, period[s]);
  }
  const int64_t taken = rows / best * best;
  for (int32_t s = 0; s < core->n_in; ++s) {
    TileOperand& op = core->operand[s];
    if ((op.flags & kReadOnly) == 0 || core->reg_offset[op.reg] < 0 || taken % period[s] != 0) continue;
    op.flags |= kOnce;
    core->once_rows = static_cast<int32_t>(taken);
    core->once_cols = static_cast<int32_t>(core->cols);
  }
  return taken;
}

int32_t run_tiles(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                  const arn_state* state) {
  const DriverBound& b = *static_cast<const DriverBound*>(bound);
  tile_begin(b.core, operand, scratch);
  for (int64_t task = begin; task < end; ++task) {
    if (arn_stopped(state)) return ARN_CANCELLED;
    const int64_t last = min64(b.tiles, (task + 1) * b.tiles_per_task);
    int64_t before = -1;
    for (int64_t t = task * b.tiles_per_task; t < last; ++t) {
      const int64_t row = t / b.col_tiles * b.tile_rows, col = t % b.col_tiles * b.tile_cols;
      const bool same_row = b.tile_rows == 1 && row == before;
      before = row;
      const int32_t status = tile_run(b.core, operand, row, min64(b.tile_rows, b.core.rows - row), col,
                                      min64(b.tile_cols, b.core.cols - col), nullptr, 0, scratch, same_row);
      if (status != ARN_OK) return status;
    }
  }
  return ARN_OK;
}

// Whether all operands lie in rows; then fills what tells them.
bool read_runs(const TileWalk& w, int64_t units_per_task, Runs* r) {
  const int32_t inner = w.n_row + w.n_col - 1;
  if (inner < 0 || inner > kRunDims || w.slots > kRunSlots) return false;
  *r = Runs{};
  r->cols = w.dim[inner].n;
  r->rows = 1;
  r->n_dim = inner;
  r->slots = w.slots;
  if (inner > 0 && r->cols < kShortestRun) return false;
  for (int32_t d = 0; d < inner; ++d) {
    r->dim[d] = w.dim[d].n;
    r->rows *= w.dim[d].n;
  }
  for (int32_t s = 0; s < w.slots; ++s) {
    if (w.dim[inner].stride[s] != 1) return false;
    r->offset[s] = w.offset[s];
    for (int32_t d = 0; d < inner; ++d) r->stride[s][d] = w.dim[d].stride[s];
  }
  r->pieces = ceil_div(r->cols, kLookups);
  r->rows_per_unit = max64(1, kLookups / r->cols);
  r->units = ceil_div(r->rows, r->rows_per_unit) * r->pieces;
  r->units_per_task = units_per_task;
  return true;
}

// run(n, at) for each row, or piece of one, of the tasks: n elements, in operand s from at[s] on.
template <typename F>
int32_t for_runs(const Runs& r, int64_t begin, int64_t end, const arn_state* state, const F& run) {
  return for_units(begin, end, r.units, r.units_per_task, state, [&](int64_t u) {
    const int64_t first = u / r.pieces * r.rows_per_unit, col = u % r.pieces * kLookups;
    const int64_t n = r.pieces > 1 ? min64(kLookups, r.cols - col) : r.cols;
    int64_t index[kRunDims] = {}, at[kRunSlots];
    for (int32_t s = 0; s < r.slots; ++s) at[s] = r.offset[s] + col;
    for (int64_t d = r.n_dim - 1, left = first; d >= 0; left /= r.dim[d], --d) {
      index[d] = left % r.dim[d];
      for (int32_t s = 0; s < r.slots; ++s) at[s] += index[d] * r.stride[s][d];
    }
    for (int64_t k = min64(r.rows_per_unit, r.rows - first); k > 0; --k) {
      run(n, at);
      for (int32_t d = r.n_dim - 1; d >= 0; --d) {
        const int64_t back = ++index[d] == r.dim[d] ? r.dim[d] : 0;
        for (int32_t s = 0; s < r.slots; ++s) at[s] += (1 - back) * r.stride[s][d];
        if (back == 0) break;
        index[d] = 0;
      }
    }
  });
}

int32_t run_lookup(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state* state) {
  const LookupBound& b = *static_cast<const LookupBound*>(bound);
  const uint8_t* from = static_cast<const uint8_t*>(operand[0]);
  uint8_t* to = static_cast<uint8_t*>(operand[1]);
  return for_runs(b.runs, begin, end, state,
                  [&](int64_t n, const int64_t* at) { look_up(n, to + at[1], from + at[0], b.table); });
}

// Inputs of one element a row. Returns whether there is one.
bool keep_by_row(TileCore* core) {
  bool any = false;
  for (int32_t s = 0; s < core->n_in; ++s) {
    TileOperand& op = core->operand[s];
    bool still = (op.flags & kReadOnly) != 0 && (op.flags & kOnce) == 0 && core->reg_offset[op.reg] >= 0;
    for (int32_t d = core->n_row; d < core->n_row + core->n_col; ++d) still = still && op.stride[d] == 0;
    if (!still) continue;
    op.flags |= kByRow;
    any = true;
  }
  return any;
}

struct PairBound {
  Runs runs;
  BytePair pair;
};

int32_t run_pair(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                 const arn_state* state) {
  const PairBound& b = *static_cast<const PairBound*>(bound);
  const char *x = static_cast<const char*>(operand[0]), *y = static_cast<const char*>(operand[1]);
  const int64_t x_size = element_bytes(b.pair.dtype[0]), y_size = element_bytes(b.pair.dtype[1]);
  uint8_t* to = static_cast<uint8_t*>(operand[2]);
  return for_runs(b.runs, begin, end, state, [&](int64_t n, const int64_t* at) {
    run_byte_pair(b.pair, n, to + at[2], x + at[0] * x_size, y + at[1] * y_size);
  });
}

// A form whose units are runs of bytes.
template <typename Bound>
bool bind_runs(Bound* b, const Runs& runs, arn_run_fn run, const char* variant, arn_bound* out) {
  b->runs = runs;
  out->run = run;
  out->tasks = ceil_div(runs.units, runs.units_per_task);
  out->step_scratch = out->thread_scratch = 0;
  out->bound_bytes = sizeof(Bound);
  out->variant = variant;
  return true;
}

// These two write nothing to `bound` before the program is known to be of their form.
bool bind_pair(const arn_bind_args* args, const TileWalk& walk, arn_bound* out, void* bound) {
  Runs runs;
  BytePair pair;
  if (!read_runs(walk, 2, &runs) || !read_byte_pair(args, &pair) || !ARN_CHOICE("tile/bytes", true)) return false;
  PairBound* b = static_cast<PairBound*>(bound);
  b->pair = pair;
  return bind_runs(b, runs, run_pair, "bytes", out);
}

bool bind_lookup(const arn_bind_args* args, const TileWalk& walk, arn_bound* out, void* bound) {
  Runs runs;
  uint8_t table[256];
  if (!read_runs(walk, 4, &runs) || !ARN_CHOICE("tile/table", runs.rows * runs.cols >= 256)) return false;
  if (!tabulate(args, table)) return false;
  LookupBound* b = static_cast<LookupBound*>(bound);
  __builtin_memcpy(b->table, table, sizeof(table));
  return bind_runs(b, runs, run_lookup, "table", out);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(tile) {
  using namespace ARN_NS;
  static_assert(sizeof(DriverBound) <= ARN_BOUND_MAX, "bound too large");
  if (args->tile == nullptr || args->n_out < 1) return ARN_BAD_VALUE;
  DriverBound* b = static_cast<DriverBound*>(bound);
  TileCore& core = b->core;
  TileWalk walk;
  arn_tile narrow;
  arn_bind_args narrowed = *args;
  const bool is_narrow = narrow_program(args, &narrow);
  if (is_narrow) {
    narrowed.tile = &narrow;
    args = &narrowed;
  }
  const int32_t bad = tile_bind_program(args, false, &core, &walk);
  if (bad != ARN_OK) return bad;
  out->run = run_tiles;
  out->step_scratch = 0;
  out->bound_bytes = sizeof(DriverBound);
  out->variant = "rows";
  const int64_t total = element_count(args->operand[args->n_in]);
  if (total == 0) {
    out->tasks = out->thread_scratch = 0;
    return ARN_OK;
  }
  sort_dims(&walk);
  collapse(&walk);
  const bool is_quick = is_narrow && core.n_instr <= kQuick;  // quicker than a table
  if (!is_quick && (bind_lookup(args, walk, out, bound) || bind_pair(args, walk, out, bound))) return ARN_OK;
  if (walk.n_row > 0) {
    walk.n_row -= 1;
    walk.n_col = 1;
  }
  const int64_t inner = walk.n_col > 0 ? walk.dim[walk.n_row].n : 1;
  const bool transposed = bring_transposed(&walk) && ARN_CHOICE("tile/transposed", inner >= kTransposeRows);
  tile_set_walk(walk, &core);

  // Which registers need memory: everything but operands that can be used where they lie in every tile.
  const bool by_row = core.rows == 1 || (!transposed && ARN_CHOICE("tile/row", core.cols >= kLongRow));
  const uint8_t enough = kInPlace | (by_row ? kUnit : kDense);
  bool needs[ARN_TILE_MAX_REGS];
  for (bool& n : needs) n = true;
  for (int32_t s = 0; s < core.n_in + core.n_out; ++s) {
    TileOperand& op = core.operand[s];
    const bool always = (op.flags & enough) == enough && !transposed;
    if (always && (op.flags & kOnce) == 0) needs[op.reg] = false;
  }
  tile_set_registers(&core, needs, min64(total, kLongest));
  const int64_t capacity = core.capacity;
  if (transposed) {
    b->tile_rows = min64(kTransposeRows, core.rows);
    b->tile_cols = min64(core.cols, max64(1, capacity / b->tile_rows));
    out->variant = "transposed";
  } else if (by_row || core.cols > capacity) {
    b->tile_rows = 1;
    // Filling a register with the one element of a row costs what computing does: a short one, kept for the row.
    const int64_t longest = keep_by_row(&core) ? min64(capacity, kLongRow) : capacity;
    const int64_t pieces = ceil_div(core.cols, longest);
    b->tile_cols = pieces == 1 ? core.cols : min64(capacity, round_up(ceil_div(core.cols, pieces), 64));
    out->variant = "row";
  } else {
    b->tile_rows = load_periods_once(&core, min64(core.rows, capacity / core.cols));
    b->tile_cols = core.cols;
  }
  b->col_tiles = ceil_div(core.cols, b->tile_cols);
  b->tiles = ceil_div(core.rows, b->tile_rows) * b->col_tiles;
  const int64_t work = b->tile_rows * b->tile_cols * max64(1, core.n_instr);
  b->tiles_per_task = max64(1, kTaskWork / work);
  out->tasks = ceil_div(b->tiles, b->tiles_per_task);
  out->thread_scratch = core.scratch_bytes;
  return ARN_OK;
}
