// The Fft rows for element type T. Lines are transformed kLanes at a time, one a lane; where there are too few of them
// to fill lanes, one by one. Real lines of even length are transformed as complex ones of half the length.
#pragma once

#include "kernels/signal/params.h"
#include "kernels/signal/transform.h"
#include "kernels/walk.h"

namespace ARN_NS {
namespace {

enum Source { kRealPairs, kReal, kPairs, kHalfSpectrum };

struct FftBound {
  Walk<2> lines;  // operand 0: x, 1: output; elements
  int64_t length, points, results;
  int64_t x_step, x_part, out_step, out_part, window_step;
  int64_t n_lines, units, tasks, buffer;  // buffer: elements of one of the two complex ones
  int64_t source, inverse, has_window, real_result, power, lanes;
  Radices radices;
};

template <typename T>
struct LaneOf;
template <>
struct LaneOf<float> {
  typedef vf32 V;
};
template <>
struct LaneOf<double> {
  typedef vf64 V;
};

template <typename T, typename V>
struct Lines {
  const FftBound& b;
  const T *x, *roots, *window;
  T* out;
  Complex<V>*buffer, *spare;
  static constexpr int64_t kWidth = static_cast<int64_t>(sizeof(V) / sizeof(T));

  // Lane `lane` of the complex elements at `to`, as numbers.
  static T* lane_of(Complex<V>* to, int64_t lane) { return reinterpret_cast<T*>(to) + lane; }

  T sample(const T* line, int64_t at, int64_t part) const {
    const T value = line[at * b.x_step + part * b.x_part];
    return b.has_window != 0 ? value * window[at * b.window_step] : value;
  }

  // For the inverse, parts are exchanged before and after.
  void load(const T* line, int64_t lane) const {
    T* to = lane_of(buffer, lane);
    const int64_t given = min64(b.points, b.length), step = 2 * kWidth, re = b.inverse != 0 ? kWidth : 0;
    if (b.source == kRealPairs) {  // even samples are real parts, odd ones imaginary parts
      for (int64_t i = 0; i < given; ++i) to[i * kWidth] = sample(line, i, 0);
      for (int64_t i = given; i < b.length; ++i) to[i * kWidth] = 0;
      return;
    }
    for (int64_t i = 0; i < b.length; ++i) to[i * step] = to[i * step + kWidth] = 0;
    for (int64_t i = 0; i < given; ++i) to[i * step + re] = sample(line, i, 0);
    if (b.source == kReal) return;
    for (int64_t i = 0; i < given; ++i) to[i * step + kWidth - re] = sample(line, i, 1);
    if (b.source != kHalfSpectrum) return;
    to[kWidth - re] = 0;  // of a real line, the mean is real, and so is the bin of alternating signs
    if (b.length % 2 == 0) to[b.length / 2 * step + kWidth - re] = 0;
    for (int64_t i = b.length / 2 + 1; i < b.length; ++i) {
      to[i * step + re] = to[(b.length - i) * step + re];
      to[i * step + kWidth - re] = -to[(b.length - i) * step + kWidth - re];
    }
  }

  // Bins 0 .. length / 2 of real lines from the transform z of their pairs.
  void unpair(const Complex<V>* z, Complex<V>* to) const {
    const int64_t half = b.length / 2;
    to[0] = {z[0].re + z[0].im, V{}};
    to[half] = {z[0].re - z[0].im, V{}};
    for (int64_t k = 1; k < half; ++k) {
      const Complex<V> a = z[k], m = {z[half - k].re, -z[half - k].im};
      const Complex<V> even = scaled(T(0.5), a + m), odd = scaled(T(0.5), times_i(a - m));
      to[k] = even - turned(roots + 2 * k, odd);
    }
  }

  // Results of one lane; those past the middle of a real line's are the conjugates of the others.
  void store(const Complex<V>* from, int64_t lane, T* line, bool halves) const {
    const T* values = reinterpret_cast<const T*>(from) + lane;
    const int64_t step = 2 * kWidth, re = b.inverse != 0 ? kWidth : 0;
    const int64_t given = halves ? min64(b.results, b.length / 2 + 1) : b.results;
    const T scale = b.inverse != 0 ? T(1) / static_cast<T>(b.length) : T(1);
    if (b.power != 0) {
      for (int64_t k = 0; k < b.results; ++k) {
        const T* bin = values + (k < given ? k : b.length - k) * step;
        line[k * b.out_step] = bin[0] * bin[0] + bin[kWidth] * bin[kWidth];
      }
      return;
    }
    for (int64_t k = 0; k < given; ++k) line[k * b.out_step] = scale * values[k * step + re];
    if (b.real_result == 0)
      for (int64_t k = 0; k < given; ++k) line[k * b.out_step + b.out_part] = scale * values[k * step + kWidth - re];
    for (int64_t k = given; k < b.results; ++k) {
      line[k * b.out_step] = values[(b.length - k) * step];
      line[k * b.out_step + b.out_part] = -values[(b.length - k) * step + kWidth];
    }
  }

  void run(int64_t first) const {
    const int64_t n = min64(kWidth, b.n_lines - first);
    int64_t to[kWidth] = {};
    Cursor<2> c;
    walk_seek(b.lines, first, &c);
    for (int64_t lane = 0; lane < kWidth; ++lane) {
      load(x + c.offset[0], lane);
      if (lane >= n) continue;  // beyond the last line, the last one again
      to[lane] = c.offset[1];
      if (lane + 1 < n) walk_next(b.lines, &c);
    }
    const bool halves = b.source == kRealPairs;
    const int64_t length = halves ? b.length / 2 : b.length;
    Complex<V>* result = transform(buffer, spare, length, b.radices, roots, halves ? 2 : 1);
    if (halves) {
      Complex<V>* other = result == buffer ? spare : buffer;
      unpair(result, other);
      result = other;
    }
    for (int64_t lane = 0; lane < n; ++lane) store(result, lane, out + to[lane], halves);
  }
};

template <typename T, typename V>
int32_t fft_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                  const arn_state* state) {
  const FftBound& b = *static_cast<const FftBound*>(bound);
  Complex<V>* buffer = static_cast<Complex<V>*>(scratch);
  const Lines<T, V> lines{b,
                          static_cast<const T*>(operand[0]),
                          static_cast<const T*>(operand[1]),
                          static_cast<const T*>(operand[2]),
                          static_cast<T*>(operand[3]),
                          buffer,
                          buffer + b.buffer};
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) lines.run(unit * b.lanes);
    return ARN_OK;
  });
}

// Dims and strides; false when they contradict each other.
inline bool read_lines(const arn_bind_args* args, FftBound* b) {
  const arn_desc &x = args->operand[0], &roots = args->operand[1], &window = args->operand[2], &o = args->operand[3];
  if (x.rank < 2 || o.rank != x.rank || roots.rank != 2 || roots.dims[0] != b->length || roots.dims[1] != 2)
    return false;
  const int at = x.rank - 2;
  const int64_t width = x.dims[at + 1];
  walk_clear(&b->lines);
  for (int i = 0; i < at; ++i) {
    if (x.dims[i] != o.dims[i]) return false;
    const int64_t step[2] = {x.strides[i], o.strides[i]};
    walk_push(&b->lines, x.dims[i], step);
  }
  b->points = x.dims[at];
  b->results = o.dims[at];
  b->x_step = x.strides[at];
  b->x_part = x.strides[at + 1];
  b->out_step = o.strides[at];
  b->out_part = o.strides[at + 1];
  b->has_window = window.dtype != ARN_NONE;
  if (b->has_window != 0 && (window.rank != 1 || window.dims[0] != b->points)) return false;
  b->window_step = window.strides[0];
  return (width == 1 || width == 2) && o.dims[at + 1] == (b->real_result != 0 || b->power != 0 ? 1 : 2);
}

template <typename T>
int32_t fft_bind(const arn_bind_args* args, arn_bound* out, void* bound) {
  typedef typename LaneOf<T>::V V;
  const auto* p = static_cast<const arn_fft_params*>(args->params);
  auto* b = cleared<FftBound>(bound);
  if (p == nullptr || p->length < 1) return ARN_UNSUPPORTED;
  b->length = p->length;
  b->inverse = p->inverse != 0;
  b->real_result = b->inverse != 0 && p->half != 0;
  b->power = p->power != 0;
  if (b->power != 0 && b->inverse != 0) return ARN_UNSUPPORTED;
  if (!read_lines(args, b)) return ARN_SHAPE_MISMATCH;
  if (b->results != (p->half != 0 && b->inverse == 0 ? b->length / 2 + 1 : b->length)) return ARN_SHAPE_MISMATCH;
  const bool pairs = args->operand[0].dims[args->operand[0].rank - 1] == 2;
  b->source = b->real_result != 0                     ? kHalfSpectrum
              : pairs                                 ? kPairs
              : b->length % 2 == 0 && b->inverse == 0 ? kRealPairs
                                                      : kReal;
  if (b->source == kHalfSpectrum && !pairs) return ARN_UNSUPPORTED;
  b->radices = radices_of(b->source == kRealPairs ? b->length / 2 : b->length);
  if (b->radices.count < 0) return ARN_UNSUPPORTED;
  constexpr int64_t width = static_cast<int64_t>(sizeof(V) / sizeof(T));
  b->n_lines = walk_count(b->lines);
  const bool together = ARN_CHOICE("signal/lines in lanes", 2 * b->n_lines > width);
  b->lanes = together ? width : 1;
  b->units = ceil_div(b->n_lines, b->lanes);
  b->tasks = tasks_for(b->units, b->n_lines * b->length * static_cast<int64_t>(sizeof(T)) * 8);
  b->buffer = b->length + 1;
  bind_done(out, together ? fft_tasks<T, V> : fft_tasks<T, T>, b->tasks, sizeof(FftBound),
            together ? "lines in lanes" : "line by line");
  out->thread_scratch = 2 * b->buffer * 2 * b->lanes * static_cast<int64_t>(sizeof(T));
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS
