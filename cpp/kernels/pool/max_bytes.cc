// MaxPool of single bytes, in planes: the rows of a window are folded into one line, then its columns at every place of
// that line, of which the strides pick. Where channels lie innermost, vectors of channels are folded tap by tap.
#include "kernels/pool/pool.h"

namespace ARN_NS {
namespace {

template <typename T>
struct Bytes {
  typedef T V __attribute__((vector_size(ARN_VECTOR_BYTES)));
  typedef T U __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(1), may_alias));
  static constexpr int64_t kLanes = ARN_VECTOR_BYTES;
  static constexpr T kLowest = static_cast<T>(-1) < T(0) ? static_cast<T>(-128) : T(0);
  static V load(const T* p) { return *reinterpret_cast<const U*>(p); }
  static void store(T* p, V v) { *reinterpret_cast<U*>(p) = v; }
  static V larger(V a, V b) { return a > b ? a : b; }
};

// to[i] = the larger of to[i] and from[i * step], i < n. Vectors never reach past n.
template <typename T>
inline void fold_line(T* to, const T* from, int64_t step, int64_t n) {
  typedef Bytes<T> B;
  int64_t i = 0;
  if (step == 1)
    for (; i + B::kLanes <= n; i += B::kLanes) B::store(to + i, B::larger(B::load(to + i), B::load(from + i)));
  for (; i < n; ++i) to[i] = from[i * step] > to[i] ? from[i * step] : to[i];
}

template <typename T>
struct ByteRun {
  typedef Bytes<T> B;
  const PoolBound& b;
  const T* x;
  T *y, *line, *best;

  // line[i]: the largest of the window's rows at column first + i of the (padded) image.
  void fold_rows(const T* plane, int64_t z, int64_t row) const {
    const ConvShape& s = b.s;
    const int64_t length = b.at_column;
    const int64_t skip = max64(0, -s.first[2]), column = max64(0, s.first[2]);
    const int64_t n = min64(s.in[2] - column, length - skip);
    __builtin_memset(line, static_cast<unsigned char>(B::kLowest), static_cast<size_t>(length + B::kLanes));
    const TapRange zs = taps_inside(s, 0, z), ys = taps_inside(s, 1, row);
    for (int64_t tz = zs.lo; tz < zs.hi; ++tz)
      for (int64_t ty = ys.lo; ty < ys.hi; ++ty) {
        const int64_t at[2] = {z * s.step[0] + s.first[0] + tz * s.tap_step[0],
                               row * s.step[1] + s.first[1] + ty * s.tap_step[1]};
        fold_line(line + skip, plane + at[0] * s.x[0] + at[1] * s.x[1] + column * s.x[2], s.x[2], n);
      }
  }

  void plane_row(int64_t n, int64_t c, int64_t z, int64_t row) const {
    const ConvShape& s = b.s;
    fold_rows(x + n * s.xn + c * s.xc, z, row);
    const int64_t places = (s.out[2] - 1) * s.step[2] + 1;
    T* to = y + n * s.yn + c * s.yc + z * s.y[0] + row * s.y[1];
    for (int64_t i = 0; i < places; i += B::kLanes) {  // scratch reaches a vector past the line
      typename B::V most = B::load(line + i);
      for (int64_t tx = 1; tx < s.taps[2]; ++tx) most = B::larger(most, B::load(line + i + tx * s.tap_step[2]));
      B::store(best + i, most);
    }
    for (int64_t o = 0; o < s.out[2]; ++o) to[o * s.y[2]] = best[o * s.step[2]];
  }

  void channel_row(int64_t n, int64_t z, int64_t row) const {
    const ConvShape& s = b.s;
    const TapRange zs = taps_inside(s, 0, z), ys = taps_inside(s, 1, row);
    for (int64_t o = 0; o < s.out[2]; ++o) {
      T* to = y + n * s.yn + z * s.y[0] + row * s.y[1] + o * s.y[2];
      __builtin_memset(to, static_cast<unsigned char>(B::kLowest), static_cast<size_t>(s.groups));
      const TapRange xs = taps_inside(s, 2, o);
      for (int64_t tz = zs.lo; tz < zs.hi; ++tz)
        for (int64_t ty = ys.lo; ty < ys.hi; ++ty)
          for (int64_t tx = xs.lo; tx < xs.hi; ++tx)
            fold_line(to,
                      x + n * s.xn + (z * s.step[0] + s.first[0] + tz * s.tap_step[0]) * s.x[0] +
                          (row * s.step[1] + s.first[1] + ty * s.tap_step[1]) * s.x[1] +
                          (o * s.step[2] + s.first[2] + tx * s.tap_step[2]) * s.x[2],
                      1, s.groups);
    }
  }

  void unit(int64_t u) const {
    const ConvShape& s = b.s;
    const int64_t row = u % s.out[1];
    u /= s.out[1];
    if (b.by_channels != 0) return channel_row(u / s.out[0], u % s.out[0], row);
    const int64_t z = u % s.out[0];
    u /= s.out[0];
    plane_row(u / s.groups, u % s.groups, z, row);
  }
};

template <typename T>
int32_t byte_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                   const arn_state* state) {
  const PoolBound& b = *static_cast<const PoolBound*>(bound);
  T* line = static_cast<T*>(scratch);
  const ByteRun<T> r{b, static_cast<const T*>(operand[0]), static_cast<T*>(operand[1]), line, line + b.at_block};
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { r.unit(u); });
}

template <typename T>
int32_t byte_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  PoolBound* b = static_cast<PoolBound*>(bound);
  __builtin_memset(b, 0, sizeof(PoolBound));
  const int32_t status = read_pool(args, b);
  if (status != ARN_OK) return status;
  const ConvShape& s = b->s;
  b->by_channels = s.xc == 1 && s.yc == 1 && s.groups > 1;
  const bool any = element_count(args->operand[1]) != 0;
  int64_t work = s.groups * s.out[2] * tap_count(s);
  if (b->by_channels == 0) {
    b->at_column = any ? (s.out[2] - 1) * s.step[2] + (s.taps[2] - 1) * s.tap_step[2] + 1 : 0;
    b->at_block = round_up(b->at_column + Bytes<T>::kLanes, ARN_ALIGN);
    out->thread_scratch = 2 * b->at_block;
    work = b->at_column * (s.taps[0] * s.taps[1] + s.taps[2]) + 8 * s.out[2];
  }
  b->units = any ? s.batch * (b->by_channels != 0 ? 1 : s.groups) * s.out[0] * s.out[1] : 0;
  b->units_per_task = max64(1, (1 << 18) / max64(1, work));
  out->run = byte_tasks<T>;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->bound_bytes = sizeof(PoolBound);
  out->variant = b->by_channels != 0 ? "channels" : "lines";
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(max_pool_u8) { return ARN_NS::byte_bind<uint8_t>(args, out, bound); }
ARN_DEFINE_BIND(max_pool_i8) { return ARN_NS::byte_bind<int8_t>(args, out, bound); }
