#include "kernels/conv/depthwise/channels.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr int64_t kMostLines = 25;  // kernel lines of the blocked form

// A line of taps (fixed z and y): the image at input column 0, and the weights of its first tap.
struct Line {
  const float *x, *w;
};

template <typename V>
inline V activate(const ChannelFilter& f, V a) {
  switch (f.finish) {
    case Finish::kLimits: {
      const V low = splat_f32(f.low), high = splat_f32(f.high), above = a < low ? low : a;
      return above > high ? high : above;
    }
    case Finish::kHardSwish: {
      const V none{}, t = a + splat_f32(3.0f), up = t < none ? none : t, six = splat_f32(6.0f);
      return a * ((up > six ? six : up) * splat_f32(1.0f / 6));
    }
    case Finish::kWhole:
      return (V) __builtin_convertvector(a, vi32);
    default:
      return a;
  }
}

// P neighbouring output columns, K taps a line that are S columns apart from one output to the next. `inside`: all
// input columns lie in the image; else those whose bit of `outside` is set read zeros.
template <int K, int S, int P, bool Inside>
void block(const ConvShape& s, const ChannelFilter& f, const Line* line, int64_t lines, int64_t column,
           uint32_t outside, int64_t c0, int64_t c1, float* out, int64_t out_step) {
  constexpr int N = (P - 1) * S + K;
  const int64_t hop = s.x[2], width = f.width;
  const float* from[Inside ? 1 : kMostLines * N];
  if constexpr (!Inside)
    for (int64_t l = 0; l < lines; ++l)
      for (int i = 0; i < N; ++i) from[l * N + i] = (outside >> i & 1) != 0 ? f.zeros : line[l].x + (column + i) * hop;
  for (int64_t c = c0;;) {
    vf32 acc[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) acc[p] = vf32{};
    for (int64_t l = 0; l < lines; ++l) {
      vf32 w[K];
#pragma GCC unroll 8
      for (int k = 0; k < K; ++k) w[k] = load_f32(line[l].w + k * width + c);
      const float* x = line[l].x + column * hop + c;
#pragma GCC unroll 24
      for (int i = 0; i < N; ++i) {
        vf32 v;
        if constexpr (Inside) {
          v = load_f32(x);
          x += hop;
        } else {
          v = load_f32(from[l * N + i] + c);
        }
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p)
          if (i - p * S >= 0 && i - p * S < K) acc[p] += w[i - p * S < 0 || i - p * S >= K ? 0 : i - p * S] * v;
      }
    }
    if (f.bias != nullptr) {
      const vf32 add = load_f32(f.bias + c);
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) acc[p] += add;
    }
    if (f.finish != Finish::kNone)
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) acc[p] = activate(f, acc[p]);
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) store_f32(out + p * out_step + c - c0, acc[p]);
    if (c + L >= c1) return;
    c = min64(c + L, c1 - L);  // the last vector may overlap the one before it
  }
}

template <int K, int S, int P>
void place(const ConvShape& s, const ChannelFilter& f, const Line* line, int64_t lines, int64_t x0, int64_t c0,
           int64_t c1, float* out, int64_t out_step) {
  constexpr int N = (P - 1) * S + K;
  const int64_t column = x0 * S + s.first[2];
  uint32_t outside = 0;
  for (int i = 0; i < N; ++i) outside |= column + i < 0 || column + i >= s.in[2] ? 1u << i : 0u;
  if (outside == 0)
    block<K, S, P, true>(s, f, line, lines, column, 0, c0, c1, out, out_step);
  else
    block<K, S, P, false>(s, f, line, lines, column, outside, c0, c1, out, out_step);
}

template <int K, int S>
void segment(const ConvShape& s, const ChannelFilter& f, const Line* line, int64_t lines, const ChannelSegment& at,
             float* out, int64_t out_step) {
  for (int64_t i = 0; i < at.count;) {
    const int64_t left = at.count - i, x0 = at.x0 + i;
    float* to = out + i * out_step;
    if (left >= 8 && left != 14) {
      place<K, S, 8>(s, f, line, lines, x0, at.c0, at.c1, to, out_step);
      i += 8;
    } else if (left >= 7) {
      place<K, S, 7>(s, f, line, lines, x0, at.c0, at.c1, to, out_step);
      i += 7;
    } else if (left >= 4) {
      place<K, S, 4>(s, f, line, lines, x0, at.c0, at.c1, to, out_step);
      i += 4;
    } else {
      place<K, S, 1>(s, f, line, lines, x0, at.c0, at.c1, to, out_step);
      i += 1;
    }
  }
}

// Any taps: P columns with the same taps inside, NV vectors of channels (n < L: one vector, n lanes of it).
template <int P, int NV>
inline void pixels(const ConvShape& s, const ChannelFilter& f, const float* image, const int64_t* at,
                   const TapRange* range, int64_t c, int64_t n, float* out, int64_t out_step) {
  vf32 acc[P][NV];
#pragma GCC unroll 8
  for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[p][v] = vf32{};
  const int64_t hop = s.step[2] * s.x[2];
  for (int64_t tz = range[0].lo; tz < range[0].hi; ++tz)
    for (int64_t ty = range[1].lo; ty < range[1].hi; ++ty) {
      const float* row = image + (at[0] * s.step[0] + s.first[0] + tz * s.tap_step[0]) * s.x[0] +
                         (at[1] * s.step[1] + s.first[1] + ty * s.tap_step[1]) * s.x[1] +
                         (at[2] * s.step[2] + s.first[2]) * s.x[2] + c;
      const float* weights = f.w + (tz * s.taps[1] + ty) * s.taps[2] * f.width + c;
      for (int64_t tx = range[2].lo; tx < range[2].hi; ++tx) {
        const float* from = row + tx * s.tap_step[2] * s.x[2];
        const float* k = weights + tx * f.width;
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const vf32 kv = load_f32(k + v * L);
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p)
            acc[p][v] += kv * (n < L ? load_some(from + p * hop, n) : load_f32(from + p * hop + v * L));
        }
      }
    }
#pragma GCC unroll 4
  for (int v = 0; v < NV; ++v) {
    const vf32 add = f.bias != nullptr ? load_f32(f.bias + c + v * L) : vf32{};
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      const vf32 result = activate(f, f.bias != nullptr ? acc[p][v] + add : acc[p][v]);
      if (n < L)
        store_some(out + p * out_step, result, n);
      else
        store_f32(out + p * out_step + v * L, result);
    }
  }
}

void any_segment(const ConvShape& s, const ChannelFilter& f, const float* image, const ChannelSegment& seg, float* out,
                 int64_t out_step) {
  const TapRange tz = taps_inside(s, 0, seg.z), ty = taps_inside(s, 1, seg.y);
  for (int64_t i = 0; i < seg.count;) {
    const int64_t at[3] = {seg.z, seg.y, seg.x0 + i};
    const TapRange range[3] = {tz, ty, taps_inside(s, 2, at[2])}, after = taps_inside(s, 2, at[2] + 3);
    const bool four = i + 4 <= seg.count && after.lo == range[2].lo && after.hi == range[2].hi;
    float* to = out + i * out_step;
    int64_t c = seg.c0;
    for (; c + 2 * L <= seg.c1; c += 2 * L) {
      if (four)
        pixels<4, 2>(s, f, image, at, range, c, L, to + c - seg.c0, out_step);
      else
        pixels<1, 2>(s, f, image, at, range, c, L, to + c - seg.c0, out_step);
    }
    for (; c < seg.c1; c += L) {
      const int64_t lanes = min64(L, seg.c1 - c);
      if (four)
        pixels<4, 1>(s, f, image, at, range, c, lanes, to + c - seg.c0, out_step);
      else
        pixels<1, 1>(s, f, image, at, range, c, lanes, to + c - seg.c0, out_step);
    }
    i += four ? 4 : 1;
  }
}

}  // namespace

ChannelGrid plan_channels(const ConvShape& s, int64_t l1_bytes) {
  ChannelGrid g;
  const int64_t channels = max64(1, s.groups), budget = (l1_bytes > 0 ? l1_bytes : 32 << 10) * 5 / 8 / 4;
  const int64_t lines = s.taps[0] * s.taps[1];
  // Whole lines of memory of as many neighbouring channels as leave room for a good many columns.
  constexpr int64_t kLine = 16, kChunk = 64;
  const int64_t wanted = ceil_div(channels, channels <= 3 * kChunk / 2 ? channels : kChunk);
  g.channels = wanted == 1 ? channels : round_up(ceil_div(channels, wanted), max64(L, kLine));
  g.chunks = max64(1, channels / g.channels);
  if (channels - g.chunks * g.channels >= 2 * L) ++g.chunks;
  const int64_t columns = max64(8, (budget / (lines * g.channels) - s.taps[2] * s.tap_step[2]) / s.step[2]);
  g.tiles = max64(1, ceil_div(s.out[2], columns));
  const int64_t unit = s.out[2] % 7 == 0 && s.out[2] % 8 != 0 ? 7 : 8;
  g.columns = g.tiles == 1 ? max64(1, s.out[2]) : round_up(ceil_div(s.out[2], g.tiles), unit);
  g.tiles = max64(1, ceil_div(s.out[2], g.columns));
  // Bands read the rows between them twice, so there are no more than a few threads have use for.
  const int64_t units = s.batch * s.out[0] * g.tiles * g.chunks;
  g.bands = max64(1, min64(ceil_div(8, max64(1, units)), s.out[1] / (4 * s.taps[1])));
  g.rows = max64(1, ceil_div(s.out[1], g.bands));
  g.bands = ceil_div(s.out[1], g.rows);
  return g;
}

void depthwise_channels(const ConvShape& s, const ChannelFilter& f, const float* image, const ChannelSegment& at,
                        float* out, int64_t out_step) {
  const TapRange tz = taps_inside(s, 0, at.z), ty = taps_inside(s, 1, at.y);
  const bool blocked = s.taps[0] * s.taps[1] <= kMostLines && s.tap_step[2] == 1 && s.step[2] <= 2 && s.taps[2] <= 7 &&
                       at.c1 - at.c0 >= L;
  if (!blocked) return any_segment(s, f, image, at, out, out_step);
  Line line[kMostLines];
  int64_t n = 0;
  for (int64_t z = tz.lo; z < tz.hi; ++z)
    for (int64_t y = ty.lo; y < ty.hi; ++y) {
      line[n].x = image + (at.z * s.step[0] + s.first[0] + z * s.tap_step[0]) * s.x[0] +
                  (at.y * s.step[1] + s.first[1] + y * s.tap_step[1]) * s.x[1];
      line[n++].w = f.w + (z * s.taps[1] + y) * s.taps[2] * f.width;
    }
  switch (s.taps[2] * 2 + s.step[2]) {
    case 3 * 2 + 1:
      return segment<3, 1>(s, f, line, n, at, out, out_step);
    case 3 * 2 + 2:
      return segment<3, 2>(s, f, line, n, at, out, out_step);
    case 5 * 2 + 1:
      return segment<5, 1>(s, f, line, n, at, out, out_step);
    case 5 * 2 + 2:
      return segment<5, 2>(s, f, line, n, at, out, out_step);
    case 7 * 2 + 1:
      return segment<7, 1>(s, f, line, n, at, out, out_step);
    case 7 * 2 + 2:
      return segment<7, 2>(s, f, line, n, at, out, out_step);
    default:
      return any_segment(s, f, image, at, out, out_step);
  }
}

}  // namespace ARN_NS
