// im2col in the two forms that the matrix product core reads.
#include "kernels/conv/shape.h"
#include "simd/shuffle.h"

namespace ARN_NS {
namespace {

inline int64_t input_at(const ConvShape& s, int axis, int64_t out, int64_t tap) {
  return out * s.step[axis] + s.first[axis] + tap * s.tap_step[axis];
}
inline bool inside(const ConvShape& s, int axis, int64_t at) { return at >= 0 && at < s.in[axis]; }

inline void copy_strided(float* dst, const float* src, int64_t n, int64_t stride) {
  if (stride == 1) {
    int64_t i = 0;
    for (; i + kLanesF32 <= n; i += kLanesF32) store_f32(dst + i, load_f32(src + i));
    for (; i < n; ++i) dst[i] = src[i];
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i] = src[i * stride];
  }
}
inline void zero(float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dst[i] = 0.0f;
}

// The taps of one kernel line (fixed z and y taps) of one pixel, clipped to inner indices [a, b) of that line.
struct Line {
  const float* src;  // at input column 0 of the line's row; null when the row lies outside
  int64_t column;    // input column of tap 0
};

void line_rows(const ConvShape& s, Line line, float* dst, int64_t a, int64_t b, bool joined) {
  if (line.src == nullptr) {
    zero(dst, b - a);
    return;
  }
  if (joined) {  // taps follow each other in memory: one run between the borders
    int64_t lo = max64(0, -line.column), hi = min64(s.taps[2], s.in[2] - line.column);
    lo = min64(b, max64(a, lo * s.cg));
    hi = max64(lo, min64(b, hi * s.cg));
    zero(dst, lo - a);
    copy_strided(dst + lo - a, line.src + line.column * s.x[2] + lo, hi - lo, 1);
    zero(dst + hi - a, b - hi);
    return;
  }
  for (int64_t tap = a / s.cg; a < b; ++tap) {
    const int64_t c = a - tap * s.cg, n = min64(s.cg - c, b - a), at = line.column + tap * s.tap_step[2];
    if (inside(s, 2, at))
      copy_strided(dst, line.src + at * s.x[2] + c * s.xc, n, s.xc);
    else
      zero(dst, n);
    dst += n;
    a += n;
  }
}

}  // namespace

void im2col_rows(const ConvShape& s, const float* x, float* dst, int64_t k0, int64_t depth, int64_t p0,
                 int64_t pixels) {
  const int64_t length = s.taps[2] * s.cg;  // inner indices of one kernel line
  if (length == 0 || depth == 0) return;
  const bool joined = s.xc == 1 && s.tap_step[2] == 1 && s.x[2] == s.cg;
  Pixel p = pixel_at(s, p0);
  for (int64_t i = 0; i < pixels; ++i, next_pixel(s, &p)) {
    const float* image = x + p.n * s.xn;
    for (int64_t k = k0; k < k0 + depth;) {
      const int64_t line = k / length, a = k - line * length, b = min64(length, a + k0 + depth - k);
      const int64_t z = input_at(s, 0, p.at[0], line / s.taps[1]), y = input_at(s, 1, p.at[1], line % s.taps[1]);
      Line l{nullptr, input_at(s, 2, p.at[2], 0)};
      if (inside(s, 0, z) && inside(s, 1, y)) l.src = image + z * s.x[0] + y * s.x[1];
      line_rows(s, l, dst, a, b, joined);
      dst += b - a;
      k += b - a;
    }
  }
}

namespace {

constexpr int64_t L = kLanesF32;

// Neighbouring lanes of a panel: pixels of one output row.
struct Run {
  int64_t lane, count, image, z, y, x;
};

// Lanes [lane, lane + count) of a panel read from + offset, from + offset + hop, ... for one tap.
struct Segment {
  int64_t lane, count, offset;
};

int64_t find_runs(const ConvShape& s, Pixel* p, int64_t lanes, Run* run) {
  int64_t runs = 0;
  for (int64_t l = 0; l < lanes;) {
    const int64_t count = min64(lanes - l, s.out[2] - p->at[2]);
    run[runs++] = {l, count, p->n * s.xn, p->at[0], p->at[1], p->at[2]};
    l += count;
    p->at[2] += count - 1;
    next_pixel(s, p);
  }
  return runs;
}

int64_t find_segments(const ConvShape& s, const Run* run, int64_t runs, const int64_t* tap, Segment* segment) {
  int64_t found = 0;
  for (int64_t r = 0; r < runs; ++r) {
    const int64_t z = input_at(s, 0, run[r].z, tap[0]), y = input_at(s, 1, run[r].y, tap[1]);
    if (!inside(s, 0, z) || !inside(s, 1, y)) continue;
    const int64_t x = input_at(s, 2, run[r].x, tap[2]), step = s.step[2];
    int64_t lo = 0, hi = run[r].count;
    if (x < 0) lo = ceil_div(-x, step);
    if (x + (hi - 1) * step >= s.in[2]) hi = x >= s.in[2] ? 0 : ceil_div(s.in[2] - x, step);
    if (lo >= hi) continue;
    segment[found++] = {run[r].lane + lo, hi - lo, run[r].image + z * s.x[0] + y * s.x[1] + (x + lo * step) * s.x[2]};
  }
  return found;
}

// One panel and tap for n channels: whole vectors are read around each segment and its lanes selected.
template <int Hop, int Segments>
void select_segments(const Segment* segment, const float* from, int64_t stride, int64_t n, float* to) {
  vi32 mask[Segments], lane;
  for (int64_t l = 0; l < L; ++l) lane[l] = static_cast<int32_t>(l);
  const float* at[Segments];
#pragma GCC unroll 4
  for (int i = 0; i < Segments; ++i) {
    const int32_t first = static_cast<int32_t>(segment[i].lane), end = first + static_cast<int32_t>(segment[i].count);
    mask[i] = (lane >= first) & (lane < end);
    at[i] = from + segment[i].offset - segment[i].lane * Hop;
  }
  for (int64_t c = 0; c < n; ++c) {
    vf32 v{};
#pragma GCC unroll 4
    for (int i = 0; i < Segments; ++i) {
      const float* p = at[i] + c * stride;
      v = mask[i] ? (Hop == 1 ? load_f32(p) : even_lanes(load_f32(p), load_f32(p + L))) : v;
    }
    store_f32(to + c * L, v);
  }
}

template <int Hop>
bool select_panel(const Segment* segment, int64_t segments, const float* from, int64_t stride, int64_t n, float* to,
                  const Span& span) {
  const int64_t last = (n - 1) * stride;
  for (int64_t i = 0; i < segments; ++i) {
    const float* p = from + segment[i].offset - segment[i].lane * Hop;
    if (p + min64(0, last) < span.begin || p + max64(0, last) + Hop * L > span.end) return false;
  }
  switch (segments) {
    case 1:
      select_segments<Hop, 1>(segment, from, stride, n, to);
      return true;
    case 2:
      select_segments<Hop, 2>(segment, from, stride, n, to);
      return true;
    case 3:
      select_segments<Hop, 3>(segment, from, stride, n, to);
      return true;
    case 4:
      select_segments<Hop, 4>(segment, from, stride, n, to);
      return true;
    default:
      return false;
  }
}

// One panel and tap: element (channel c, lane l) to to[c * L + l].
void fill_panel(const Segment* segment, int64_t segments, const float* from, int64_t hop, int64_t stride, int64_t n,
                float* to, const Span& span) {
  if (segments == 1 && segment[0].count == L && hop == 1) {
    for (int64_t c = 0; c < n; ++c) store_f32(to + c * L, load_f32(from + segment[0].offset + c * stride));
    return;
  }
  if (hop == 1 && select_panel<1>(segment, segments, from, stride, n, to, span)) return;
  if (hop == 2 && select_panel<2>(segment, segments, from, stride, n, to, span)) return;
  for (int64_t c = 0; c < n; ++c) {
    store_f32(to + c * L, vf32{});
    for (int64_t i = 0; i < segments; ++i)
      for (int64_t l = 0; l < segment[i].count; ++l)
        to[c * L + segment[i].lane + l] = from[segment[i].offset + l * hop + c * stride];
  }
}

}  // namespace

void im2col_panels(const ConvShape& s, const float* x, const Span& span, float* dst, int64_t k0, int64_t depth,
                   int64_t p0, int64_t pixels) {
  if (depth == 0) return;
  Pixel p = pixel_at(s, p0);
  const int64_t hop = s.step[2] * s.x[2];
  for (int64_t v = 0; v * L < pixels; ++v) {
    Run run[L];
    Segment segment[L];
    const int64_t runs = find_runs(s, &p, min64(L, pixels - v * L), run);
    float* to = dst + v * depth * L;
    const int64_t first = k0 / s.cg;
    int64_t c = k0 - first * s.cg;
    int64_t tap[3] = {first / s.taps[2] / s.taps[1], first / s.taps[2] % s.taps[1], first % s.taps[2]};
    for (int64_t left = depth; left > 0;) {
      const int64_t n = min64(s.cg - c, left);
      const int64_t segments = find_segments(s, run, runs, tap, segment);
      fill_panel(segment, segments, x + c * s.xc, hop, s.xc, n, to, span);
      to += n * L;
      left -= n;
      c = 0;
      for (int i = 2; i > 0 && ++tap[i] == s.taps[i]; --i) {
        tap[i] = 0;
        if (i == 1) ++tap[0];
      }
    }
  }
}

}  // namespace ARN_NS
