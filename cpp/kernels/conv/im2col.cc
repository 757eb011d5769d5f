// im2col in the two forms that the matrix product core reads.
#include "kernels/conv/shape.h"

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

void im2col_panels(const ConvShape& s, const float* x, float* dst, int64_t k0, int64_t depth, int64_t p0,
                   int64_t pixels) {
  constexpr int64_t L = kLanesF32;
  Pixel p = pixel_at(s, p0);
  for (int64_t v = 0; v * L < pixels; ++v) {
    Pixel lane[L];
    const int64_t lanes = min64(L, pixels - v * L);
    for (int64_t l = 0; l < lanes; ++l, next_pixel(s, &p)) lane[l] = p;
    float* to = dst + v * depth * L;
    for (int64_t k = k0; k < k0 + depth;) {
      const int64_t tap = k / s.cg, c = k - tap * s.cg, n = min64(s.cg - c, k0 + depth - k);
      const int64_t tx = tap % s.taps[2], ty = tap / s.taps[2] % s.taps[1], tz = tap / s.taps[2] / s.taps[1];
      int64_t offset[L], where[L], found = 0;
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t iz = input_at(s, 0, lane[l].at[0], tz), iy = input_at(s, 1, lane[l].at[1], ty),
                      ix = input_at(s, 2, lane[l].at[2], tx);
        if (!inside(s, 0, iz) || !inside(s, 1, iy) || !inside(s, 2, ix)) continue;
        offset[found] = lane[l].n * s.xn + iz * s.x[0] + iy * s.x[1] + ix * s.x[2];
        where[found++] = l;
      }
      const float* from = x + c * s.xc;
      bool unit = found == L;
      for (int64_t l = 1; l < found; ++l) unit = unit && offset[l] == offset[0] + l;
      if (unit) {
        for (int64_t i = 0; i < n; ++i) store_f32(to + i * L, load_f32(from + offset[0] + i * s.xc));
      } else {
        for (int64_t i = 0; i < n; ++i) {
          if (found < L) store_f32(to + i * L, vf32{});
          for (int64_t f = 0; f < found; ++f) to[i * L + where[f]] = from[offset[f] + i * s.xc];
        }
      }
      to += n * L;
      k += n;
    }
  }
}

}  // namespace ARN_NS
