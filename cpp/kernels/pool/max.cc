// MaxPool, with or without the indices of the maxima.
#include "kernels/pool/lines.h"

namespace ARN_NS {
namespace {

template <typename T>
struct Whole;
template <>
struct Whole<float> {
  typedef int32_t I;
  typedef vi32 V;
};
template <>
struct Whole<double> {
  typedef int64_t I;
  typedef vi64 V;
};

// Planes, with the number of the winning tap beside each maximum.
template <typename T>
struct IndexRun : PoolRun<T, MaxOf<T>> {
  typedef typename Simd<T>::V V;
  typedef typename Whole<T>::V W;
  typedef typename Whole<T>::I I;
  static constexpr int64_t L = kLanes<T>;

  // How far apart in numbers of elements of X are neighbours along an axis, numbered as the op says.
  int64_t hop(int axis) const {
    const int64_t* in = this->b.s.in;
    if (this->b.column_major != 0) return axis == 0 ? 1 : axis == 1 ? in[0] : in[0] * in[1];
    return axis == 0 ? in[1] * in[2] : axis == 1 ? in[2] : 1;
  }

  void vector(int64_t n, int64_t c, const int64_t* out, int64_t row, const TapRange* range) const {
    const ConvShape& s = this->b.s;
    const PoolBound& b = this->b;
    const int64_t* column = reinterpret_cast<const int64_t*>(this->scratch + b.at_column);
    V best = MaxOf<T>::start();
    // Where the best tap lies, counted from tap (0, 0, 0).
    int64_t tap_hop[3];
    for (int i = 0; i < 3; ++i) tap_hop[i] = s.tap_step[i] * hop(i);
    W tap = W{} - 1;
    for (int64_t tz = range[0].lo; tz < range[0].hi; ++tz)
      for (int64_t ty = range[1].lo; ty < range[1].hi; ++ty) {
        const T* from =
            this->scratch + (tz * b.stage.rows_per_tap + row * s.step[1] + ty * s.tap_step[1]) * b.stage.row + out[2];
        for (int64_t tx = 0; tx < s.taps[2]; ++tx) {
          const V x = load(from + column[tx]);
          const W now = W{} + static_cast<I>(tz * tap_hop[0] + ty * tap_hop[1] + tx * tap_hop[2]);
          const W wins = (x > best) | ((x != x) & (best == best));
          best = wins ? x : best;
          tap = wins ? now : tap;
        }
      }
    const int64_t lanes = min64(L, s.out[2] - out[2]);
    T* y = this->y + n * s.yn + c * s.yc + out[0] * s.y[0] + out[1] * s.y[1] + out[2] * s.y[2];
    put<T>(best, lanes, y, s.y[2]);
    int64_t* where = this->where + n * b.indices_n + c * b.indices_c + out[0] * b.indices[0] + out[1] * b.indices[1];
    int64_t first = (n * s.groups + c) * s.in[0] * s.in[1] * s.in[2];
    for (int i = 0; i < 3; ++i) first += (out[i] * s.step[i] + s.first[i]) * hop(i);
    for (int64_t l = 0; l < lanes; ++l) {
      int64_t t = tap[l];
      if (t < 0)  // nothing above minus infinity: the first tap inside
        t = range[0].lo * tap_hop[0] + range[1].lo * tap_hop[1] + taps_inside(s, 2, out[2] + l).lo * tap_hop[2];
      where[(out[2] + l) * b.indices[2]] = first + l * s.step[2] * hop(2) + t;
    }
  }

  void unit(int64_t u) const {
    const ConvShape& s = this->b.s;
    const Stage& g = this->b.stage;
    const int64_t y0 = u % this->b.row_blocks * g.block, rows = min64(g.block, s.out[1] - y0);
    int64_t rest = u / this->b.row_blocks;
    const int64_t z = rest % s.out[0];
    rest /= s.out[0];
    const int64_t n = rest / s.groups, c = rest % s.groups;
    stage_rows(s, g, this->x + n * s.xn + c * s.xc, this->scratch, MaxOf<T>::pad(), z, y0, rows);
    for (int64_t i = 0; i < rows; ++i) {
      const TapRange range[2] = {taps_inside(s, 0, z), taps_inside(s, 1, y0 + i)};
      for (int64_t at = 0; at < s.out[2]; at += L) {
        const int64_t out[3] = {z, y0 + i, at};
        vector(n, c, out, i, range);
      }
    }
  }
};

template <typename T>
int32_t index_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                  const arn_state* state) {
  const PoolBound& b = *static_cast<const PoolBound*>(bound);
  IndexRun<T> r{make_run<PoolRun<T, MaxOf<T>>, T>(b, operand, scratch)};
  return run_units(b, r, begin, end, state);
}

template <typename T>
int32_t max_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  PoolBound* b = static_cast<PoolBound*>(bound);
  if (args->n_out < 2 || args->operand[args->n_in + 1].dtype == ARN_NONE) {
    const int32_t status = pool_bind<T>(args, pool_run<T, MaxOf<T>>, out, bound);
    const bool lines = b->by_channels == 0 && b->s.x[2] == 1 && ARN_CHOICE("pool/lines", b->s.step[2] <= 2);
    return status == ARN_OK && lines ? plan_lines<MaxLine, T>(args, b, out) : status;
  }
  cleared<PoolBound>(bound);
  const int32_t status = read_pool(args, b);
  if (status != ARN_OK) return status;
  const arn_desc &y = args->operand[args->n_in], &where = args->operand[args->n_in + 1];
  if (where.dtype != ARN_I64) return ARN_UNSUPPORTED;
  if (where.rank != y.rank) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < y.rank; ++i)
    if (where.dims[i] != y.dims[i]) return ARN_SHAPE_MISMATCH;
  // Lanes count taps in as many bits as the elements have.
  const ConvShape& s = b->s;
  if (sizeof(T) == 4 && s.in[0] * s.in[1] * s.in[2] > INT32_MAX) return ARN_UNSUPPORTED;
  b->indices_n = where.strides[0];
  b->indices_c = where.strides[1];
  for (int i = 0; i < 3; ++i) b->indices[i] = i + y.rank < 5 ? 0 : where.strides[i + y.rank - 3];
  b->has_indices = 1;
  out->run = index_run<T>;
  return plan_pool<T>(args, b, out);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(max_pool_f32) { return ARN_NS::max_bind<float>(args, out, bound); }
#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(max_pool_f64) { return ARN_NS::max_bind<double>(args, out, bound); }
#endif
