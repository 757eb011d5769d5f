// Pooling over windows of one channel; X and the output any strides. A reduction R says how a window's taps combine:
// pad (what lies outside), step(accumulator, taps), finish(accumulator, number of taps that count) and the widest block
// worth its code.
#pragma once

#include "kernels/conv/window.h"
#include "kernels/pool/params.h"
#include "kernels/tile/epilogue.h"
#include "kernels/units.h"

namespace ARN_NS {
namespace {

struct PoolBound {
  ConvShape s;  // cg = 1; groups = channels
  Stage stage;
  int64_t pad_end[3];
  int64_t window[3], window_first[3];        // taps and first tap as the op has them: those of `s` may be fewer
  int64_t indices_n, indices_c, indices[3];  // strides of the indices
  int64_t run, units, units_per_task, row_blocks;
  int64_t at_counts, at_column, at_block, at_result;  // offsets in thread scratch, in elements; the stage is at 0
  int64_t epilogue_scratch;
  int32_t by_channels, use_epilogue, has_indices, include_pad, column_major, out_operand;
  Epilogue epilogue;
};

template <typename T>
struct MaxOf {
  typedef typename Simd<T>::V V;
  static constexpr bool kCounts = false, kByColumns = false;
  static constexpr int kWidest = sizeof(T) == 4 ? 4 : 1;
  static T pad() { return -static_cast<T>(__builtin_inf()); }
  static V start() { return splat(pad()); }
  // NaN wins and stays.
  static V step(V best, V x) { return (x > best) | (x != x) ? x : best; }
  static V finish(V best, V) { return best; }
};

template <typename T>
struct MeanOf {
  typedef typename Simd<T>::V V;
  static constexpr bool kCounts = true, kByColumns = true;  // the order of lines.h, which does its planes
  static constexpr int kWidest = sizeof(T) == 4 ? 4 : 1;
  static T pad() { return T(0); }
  static V start() { return V{}; }
  static V step(V sum, V x) { return sum + x; }
  static V finish(V sum, V count) { return sum / count; }
};

template <typename T>
struct SumAbsOf {
  typedef typename Simd<T>::V V;
  static constexpr bool kCounts = false, kByColumns = false;
  static constexpr int kWidest = 1;
  static T pad() { return T(0); }
  static V start() { return V{}; }
  static V step(V sum, V x) { return sum + (x < V{} ? -x : x); }
  static V finish(V sum, V) { return sum; }
};

template <typename T>
struct NormOf {
  typedef typename Simd<T>::V V;
  static constexpr bool kCounts = false, kByColumns = false;
  static constexpr int kWidest = 1;
  static T pad() { return T(0); }
  static V start() { return V{}; }
  static V step(V sum, V x) { return sum + x * x; }
  static V finish(V sum, V) {
    V root;
    for (int64_t l = 0; l < kLanes<T>; ++l) root[l] = static_cast<T>(__builtin_sqrt(static_cast<double>(sum[l])));
    return root;
  }
};

// Taps along an axis that count for the mean.
inline int64_t counted(const PoolBound& b, int axis, int64_t out) {
  if (b.include_pad == 0) {
    const TapRange r = taps_inside(b.s, axis, out);
    return r.hi - r.lo;
  }
  if (b.s.in[axis] + b.pad_end[axis] >=
      out * b.s.step[axis] + b.window_first[axis] + b.window[axis] * b.s.tap_step[axis])
    return b.window[axis];
  const int64_t room = b.s.in[axis] + b.pad_end[axis] - (out * b.s.step[axis] + b.window_first[axis]);
  return max64(0, min64(b.window[axis], ceil_div(room, b.s.tap_step[axis])));
}

template <typename T, typename R>
struct PoolRun {
  typedef typename Simd<T>::V V;
  static constexpr int64_t L = kLanes<T>;
  const PoolBound& b;
  const T* x;
  T *y, *scratch;
  int64_t* where;  // of the indices
  void* const* operand;
  void* epilogue_scratch;

  // One pixel whose tap (0, 0, 0) is at `window`, NV vectors of channels (n < L: one vector, n lanes of it).
  template <int NV>
  inline void channels(const T* window, const TapRange* range, V count, int64_t c, int64_t n, T* out) const {
    const ConvShape& s = b.s;
    const int64_t hop[3] = {s.tap_step[0] * s.x[0], s.tap_step[1] * s.x[1], s.tap_step[2] * s.x[2]};
    V acc[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[v] = R::start();
    const auto take = [&](V* sum, const T* from) __attribute__((always_inline)) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) sum[v] = R::step(sum[v], n < L ? load_some(from, n) : load(from + v * L));
    };
    if constexpr (R::kByColumns) {
      for (int64_t tx = range[2].lo; tx < range[2].hi; ++tx) {
        V column[NV];
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) column[v] = R::start();
        for (int64_t tz = range[0].lo; tz < range[0].hi; ++tz)
          for (int64_t ty = range[1].lo; ty < range[1].hi; ++ty)
            take(column, window + tz * hop[0] + ty * hop[1] + tx * hop[2] + c);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[v] = R::step(acc[v], column[v]);
      }
    } else {
      for (int64_t tz = range[0].lo; tz < range[0].hi; ++tz)
        for (int64_t ty = range[1].lo; ty < range[1].hi; ++ty) {
          const T* from = window + tz * hop[0] + ty * hop[1] + range[2].lo * hop[2] + c;
          for (int64_t tx = range[2].lo; tx < range[2].hi; ++tx, from += hop[2]) take(acc, from);
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      const V result = R::finish(acc[v], count);
      if (n < L)
        store_some(out, result, n);
      else
        store(out + v * L, result);
    }
  }

  void channel_row(int64_t n, int64_t z, int64_t row, int64_t x0, int64_t count, T* out, int64_t out_step) const {
    const ConvShape& s = b.s;
    const T* line = x + n * s.xn + (z * s.step[0] + s.first[0]) * s.x[0] + (row * s.step[1] + s.first[1]) * s.x[1];
    TapRange range[3] = {taps_inside(s, 0, z), taps_inside(s, 1, row), {0, 0}};
    const int64_t lines = R::kCounts ? counted(b, 0, z) * counted(b, 1, row) : 0;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t column = (x0 + i) * s.step[2] + s.first[2];
      const bool inside = column >= 0 && column + (s.taps[2] - 1) * s.tap_step[2] < s.in[2];
      range[2] = inside ? TapRange{0, s.taps[2]} : taps_inside(s, 2, x0 + i);
      V divisor{};
      if (R::kCounts) divisor = splat(static_cast<T>(max64(1, lines * counted(b, 2, x0 + i))));
      const T* window = line + column * s.x[2];
      T* to = out + i * out_step;
      int64_t c = 0;
      for (; c + 4 * L <= s.groups; c += 4 * L) channels<4>(window, range, divisor, c, L, to + c);
      for (; c + 2 * L <= s.groups; c += 2 * L) channels<2>(window, range, divisor, c, L, to + c);
      for (; c < s.groups; c += L) channels<1>(window, range, divisor, c, min64(L, s.groups - c), to + c);
    }
  }

  void plane_rows(int64_t n, int64_t c, int64_t z, int64_t y0, int64_t rows) const {
    const ConvShape& s = b.s;
    stage_rows(s, b.stage, x + n * s.xn + c * s.xc, scratch, R::pad(), z, y0, rows);
    T* block = scratch + b.at_block;
    const int64_t* column = reinterpret_cast<const int64_t*>(scratch + b.at_column);
    const TapRange range = taps_inside(s, 0, z);
    T* out = b.use_epilogue != 0 ? block : y + n * s.yn + c * s.yc + z * s.y[0] + y0 * s.y[1];
    const int64_t out_row = b.use_epilogue != 0 ? s.out[2] : s.y[1], step = b.use_epilogue != 0 ? 1 : s.y[2];
    slide_blocks<T, R::kWidest>(rows, s.out[2], [&](auto r_count, auto v_count, int64_t row, int64_t at) {
      constexpr int Rows = decltype(r_count)::value, NV = decltype(v_count)::value;
      V acc[Rows][NV];
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) acc[r][v] = R::start();
      slide<T, Rows, NV>(
          s, b.stage, scratch + row * s.step[1] * b.stage.row + at, column, range, acc, [](int64_t) { return 0; },
          [](V sum, V e, int) { return R::step(sum, e); });
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v)
          put<T>(R::finish(acc[r][v], V{}), min64(L, s.out[2] - at - v * L),
                 out + (row + r) * out_row + (at + v * L) * step, step);
    });
    if (b.use_epilogue != 0) {
      const int64_t cols = rows * s.out[2];
      epilogue_run(b.epilogue, operand, n * s.groups + c, 1, (z * s.out[1] + y0) * s.out[2], cols, block, cols,
                   epilogue_scratch);
    }
  }

  void unit(int64_t u) const {
    const ConvShape& s = b.s;
    if (b.by_channels != 0) {
      const int64_t runs = ceil_div(s.out[2], b.run);
      const int64_t x0 = u % runs * b.run, count = min64(b.run, s.out[2] - x0);
      int64_t rest = u / runs;
      const int64_t row = rest % s.out[1];
      rest /= s.out[1];
      const int64_t z = rest % s.out[0], n = rest / s.out[0];
      if (b.use_epilogue == 0) {
        channel_row(n, z, row, x0, count, y + n * s.yn + z * s.y[0] + row * s.y[1] + x0 * s.y[2], s.y[2]);
        return;
      }
      T* block = scratch + b.at_block;
      channel_row(n, z, row, x0, count, block, s.groups);
      epilogue_run(b.epilogue, operand, ((n * s.out[0] + z) * s.out[1] + row) * s.out[2] + x0, count, 0, s.groups,
                   block, s.groups, epilogue_scratch);
      return;
    }
    const int64_t y0 = u % b.row_blocks * b.stage.block;
    int64_t rest = u / b.row_blocks;
    const int64_t z = rest % s.out[0];
    rest /= s.out[0];
    plane_rows(rest / s.groups, rest % s.groups, z, y0, min64(b.stage.block, s.out[1] - y0));
  }

  // Tables that every plane shares.
  void prepare() const {
    if (b.by_channels != 0) return;
    int64_t* column = reinterpret_cast<int64_t*>(scratch + b.at_column);
    for (int64_t tx = 0; tx < b.s.taps[2]; ++tx) column[tx] = staged_column(b.s, b.stage, tx);
  }
};

template <typename Run>
int32_t run_units(const PoolBound& b, Run& r, int64_t begin, int64_t end, const arn_state* state) {
  if (begin < end) r.prepare();
  if (b.use_epilogue != 0) epilogue_begin(b.epilogue, r.operand, r.epilogue_scratch);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { r.unit(u); });
}

template <typename Run, typename T>
Run make_run(const PoolBound& b, void* const* operand, void* scratch) {
  return Run{b,
             static_cast<const T*>(operand[0]),
             static_cast<T*>(operand[b.out_operand]),
             static_cast<T*>(scratch),
             b.has_indices != 0 ? static_cast<int64_t*>(operand[b.out_operand + 1]) : nullptr,
             operand,
             static_cast<char*>(scratch) + b.epilogue_scratch};
}

template <typename T, typename R>
int32_t pool_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                 const arn_state* state) {
  const PoolBound& b = *static_cast<const PoolBound*>(bound);
  auto r = make_run<PoolRun<T, R>, T>(b, operand, scratch);
  return run_units(b, r, begin, end, state);
}

// Leaves out the first and last taps that lie in the padding for every output: windows may be far larger than the
// image.
inline void drop_outer_taps(ConvShape* s, int axis) {
  const int64_t step = s->tap_step[axis], last_start = s->first[axis] + (s->out[axis] - 1) * s->step[axis];
  const int64_t low = last_start >= 0 ? 0 : min64(ceil_div(-last_start, step), s->taps[axis] - 1);
  const int64_t reach = s->in[axis] - 1 - s->first[axis];
  const int64_t high = reach < 0 ? 0 : min64(reach / step + 1, s->taps[axis]);
  if (low >= high) return;
  s->first[axis] += low * step;
  s->taps[axis] = high - low;
}

inline int32_t read_pool(const arn_bind_args* args, PoolBound* b) {
  if (args->params == nullptr || args->n_in < 1 || args->n_out < 1) return ARN_UNSUPPORTED;
  const arn_pool_params& p = *static_cast<const arn_pool_params*>(args->params);
  const arn_desc &x = args->operand[0], &y = args->operand[args->n_in];
  if (p.spatial < 1 || p.spatial > 3) return ARN_UNSUPPORTED;
  const int32_t rank = static_cast<int32_t>(p.spatial) + 2;
  if (x.rank != rank || y.rank != rank || x.dims[0] != y.dims[0] || x.dims[1] != y.dims[1]) return ARN_SHAPE_MISMATCH;
  ConvShape& s = b->s;
  s.batch = x.dims[0];
  s.groups = x.dims[1];
  s.cg = s.og = 1;
  s.xn = x.strides[0];
  s.xc = x.strides[1];
  s.yn = y.strides[0];
  s.yc = y.strides[1];
  for (int i = 0; i < 3; ++i) {
    const int64_t d = i - (3 - p.spatial);
    s.in[i] = d < 0 ? 1 : x.dims[2 + d];
    s.out[i] = d < 0 ? 1 : y.dims[2 + d];
    s.x[i] = d < 0 ? 0 : x.strides[2 + d];
    s.y[i] = d < 0 ? 0 : y.strides[2 + d];
    s.taps[i] = d < 0 ? 1 : p.kernel[d];
    s.step[i] = d < 0 ? 1 : p.strides[d];
    s.first[i] = d < 0 ? 0 : -p.pads[d];
    s.tap_step[i] = d < 0 ? 1 : p.dilations[d];
    b->pad_end[i] = d < 0 ? 0 : p.pads[p.spatial + d];
    if (!bound_steps(&s, i)) return ARN_SHAPE_MISMATCH;
    b->window[i] = s.taps[i];
    b->window_first[i] = s.first[i];
    drop_outer_taps(&s, i);
  }
  b->include_pad = p.count_include_pad != 0;
  b->column_major = p.storage_order != 0;
  b->out_operand = args->n_in;
  return ARN_OK;
}

template <typename T>
int32_t plan_pool(const arn_bind_args* args, PoolBound* b, arn_bound* out) {
  constexpr int64_t L = kLanes<T>;
  const ConvShape& s = b->s;
  if (args->tile != nullptr) {
    const int32_t last = args->operand[args->n_in].rank - 1;
    const bool channels = b->by_channels != 0;
    if (b->has_indices != 0 || args->tile->reg_dtype[0] != args->operand[0].dtype) return ARN_UNSUPPORTED;
    const int32_t bad = epilogue_bind(args, channels ? 1 : 2, channels ? 1 : last, &b->epilogue);
    if (bad != ARN_OK) return bad;
    b->use_epilogue = 1;
  } else if (args->operand[args->n_in].dtype != args->operand[0].dtype) {
    return ARN_UNSUPPORTED;
  }
  int64_t at = 0, work = 0;
  if (b->by_channels != 0) {
    b->run = max64(1, min64(max64(1, 8192 / max64(1, s.groups)), s.out[2]));
    b->units = s.batch * s.out[0] * s.out[1] * ceil_div(s.out[2], b->run);
    at = b->use_epilogue != 0 ? b->run * s.groups : 0;
    work = b->run * s.groups * (tap_count(s) + 4);
  } else {
    b->stage = plan_stage<T>(s, 6144);
    b->row_blocks = ceil_div(s.out[1], b->stage.block);
    b->units = s.batch * s.groups * s.out[0] * b->row_blocks;
    at = round_up(b->stage.elements, L);
    b->at_column = at;
    at += round_up(2 * s.taps[2], L);
    b->at_block = at;
    at += b->use_epilogue != 0 ? b->stage.block * s.out[2] : 0;
    work = b->stage.block * round_up(s.out[2], L) * (tap_count(s) + 8);
  }
  if (element_count(args->operand[args->n_in]) == 0) b->units = 0;
  b->units_per_task = max64(1, (1 << 17) / max64(1, work));
  b->epilogue_scratch = round_up(at * static_cast<int64_t>(sizeof(T)), ARN_ALIGN);
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b->epilogue_scratch + (b->use_epilogue != 0 ? b->epilogue.core.scratch_bytes : 0);
  out->bound_bytes = sizeof(PoolBound);
  out->variant = b->has_indices != 0 ? "planes with indices" : b->by_channels != 0 ? "channels" : "planes";
  return ARN_OK;
}

template <typename T>
int32_t pool_bind(const arn_bind_args* args, arn_run_fn run, arn_bound* out, void* bound) {
  auto* b = cleared<PoolBound>(bound);
  const int32_t status = read_pool(args, b);
  if (status != ARN_OK) return status;
  b->by_channels = b->s.xc == 1 && b->s.yc == 1 && ARN_CHOICE("pool/channels", b->s.groups > 1);
  out->run = run;
  return plan_pool<T>(args, b, out);
}

}  // namespace
}  // namespace ARN_NS
