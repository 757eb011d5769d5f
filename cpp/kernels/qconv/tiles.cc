#include "kernels/qconv/tiles.h"

#include "simd/vector.h"

namespace ARN_NS {
namespace {

constexpr int kBytes = kTiledChannels;
typedef int16_t Half __attribute__((vector_size(kBytes)));
typedef int16_t HalfU __attribute__((vector_size(kBytes), aligned(1), may_alias));
typedef uint32_t Sum __attribute__((vector_size(ARN_VECTOR_BYTES)));
typedef uint32_t SumU __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(4), may_alias));
constexpr uint32_t kInverseOf9 = 0x38E38E39u;  // modulo 2^32

inline Half load_half(const void* p) { return *static_cast<const HalfU*>(p); }
inline void store_half(void* p, Half v) { *static_cast<HalfU*>(p) = v; }
inline Half even_bytes(Half both) { return (Half)(both << 8) >> 8; }
inline Half odd_bytes(Half both) { return both >> 8; }

// Rows of B^T d.
inline void patch_line(const Half (&d)[6], Half (&r)[6]) {
  const Half near = d[4] - 4 * d[2], far = d[3] - 4 * d[1], even = d[4] - d[2], odd = 2 * (d[3] - d[1]);
  r[0] = 4 * d[0] - 5 * d[2] + d[4];
  r[1] = near + far;
  r[2] = near - far;
  r[3] = even + odd;
  r[4] = even - odd;
  r[5] = 4 * d[1] - 5 * d[3] + d[5];
}

// Rows of the whole numbers that G g is made of.
inline void filter_line(const Half (&g)[3], Half (&r)[6]) {
  const Half even = g[0] + g[2], far = g[0] + 4 * g[2], twice = 2 * g[1];
  r[0] = g[0];
  r[1] = -even - g[1];
  r[2] = g[1] - even;
  r[3] = far + twice;
  r[4] = far - twice;
  r[5] = g[2];
}

// 24 times A^T m.
inline void sum_line(const Sum (&m)[6], Sum (&y)[4]) {
  const Sum one = (m[1] + m[2]) << 2, minus_one = (m[1] - m[2]) << 2, two = m[3] + m[4], minus_two = m[3] - m[4];
  y[0] = 6 * m[0] + one + two;
  y[1] = minus_one + (minus_two << 1);
  y[2] = one + (two << 2);
  y[3] = minus_one + (minus_two << 3) + 24 * m[5];
}

// Both transforms of a square of N x N vectors, by at(i, j), to 6 x 6 of them, to put(position, vector).
template <int N, typename Line, typename At, typename Put>
inline void transform(Line line, At at, Put put) {
  Half lines[6][N];
#pragma GCC unroll 6
  for (int j = 0; j < N; ++j) {
    Half d[N], r[6];
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) d[i] = at(i, j);
    line(d, r);
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) lines[i][j] = r[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) {
    Half r[6];
    line(lines[i], r);
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) put(i * 6 + j, r[j]);
  }
}

// The same of pairs of bytes: first of the even ones, then of the odd ones, `apart` bytes behind them.
template <int N, typename Line, typename At>
inline void transform_bytes(Line line, At at, char* to, int64_t position, int64_t apart) {
  transform<N>(
      line, [&](int i, int j) { return even_bytes(at(i, j)); },
      [&](int k, Half v) { store_half(to + k * position, v); });
  transform<N>(
      line, [&](int i, int j) { return odd_bytes(at(i, j)); },
      [&](int k, Half v) { store_half(to + k * position + apart, v); });
}

}  // namespace

void transform_filters(const int8_t* from, int64_t panel, int64_t panels, int64_t channels, int64_t position,
                       char* to) {
  const int64_t tap = channels * ARN_DOT_LANES, words = channels / 2 * ARN_DOT_PANEL_STEP;
  for (int64_t p = 0; p < panels; ++p, from += panel, to += words)
    for (int64_t at = 0; at < tap; at += kBytes) {
      const auto both = [&](int i, int j) { return load_half(from + (i * 3 + j) * tap + at); };
      transform_bytes<3>(filter_line, both, to + at, position, tap);
    }
}

void transform_patch(const char* from, int64_t line, int64_t channels, uint8_t flip, int64_t position, char* to) {
  const auto flip_pair = static_cast<int16_t>(flip << 8 | flip);
  const Half flips = Half{} + flip_pair;
  for (int64_t next = 0; next < channels; next += kBytes) {
    const int64_t c = min64(next, channels - kBytes);  // the last over the one before
    const auto both = [&](int i, int j) { return load_half(from + i * line + j * channels + c) ^ flips; };
    transform_bytes<6>(patch_line, both, to + c, position, channels);
  }
}

void transform_sums(const char* from, int64_t position, int64_t columns, int32_t* to, int64_t line, int64_t pixel) {
  for (int64_t c = 0; c < columns; c += ARN_VECTOR_BYTES / 4) {
    const char* at = from + c * 4;
    Sum lines[4][6];
#pragma GCC unroll 6
    for (int j = 0; j < 6; ++j) {
      Sum m[6], y[4];
#pragma GCC unroll 6
      for (int i = 0; i < 6; ++i) m[i] = *reinterpret_cast<const SumU*>(at + (i * 6 + j) * position);
      sum_line(m, y);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) lines[i][j] = y[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      Sum y[4];
      sum_line(lines[i], y);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const vi32 sum = (vi32)(y[j] * kInverseOf9) >> 6;
        *reinterpret_cast<vi32u*>(to + i * line + j * pixel + c) = sum;
      }
    }
  }
}

void multiply_tiles(const QTiles& t, int64_t channels, int64_t tiles, int64_t panels, char* scratch) {
  const arn_dots_kernel& kernel = qgemm_words_kernel();
  const int64_t strips = ceil_div(tiles, kernel.rows), row = 2 * channels;
  arn_dots d{};
  d.a_row = row;
  d.taps = 1;
  d.groups = channels / 2;
  d.panel = channels / 2 * ARN_DOT_PANEL_STEP;
  d.out_row = panels * ARN_DOT_LANES;
  for (int64_t k = 0; k < kTilePositions; ++k)
    for (int64_t s = 0; s < strips; ++s) {
      const int64_t first = tiles * s / strips;
      d.rows = tiles * (s + 1) / strips - first;
      d.a = reinterpret_cast<const uint8_t*>(scratch + t.at_patches + k * t.patch + first * row);
      int32_t* out = reinterpret_cast<int32_t*>(scratch + t.at_products + k * t.product) + first * d.out_row;
      for (int64_t p = 0; p < panels; p += kernel.panels) {
        d.panels = min64(kernel.panels, panels - p);
        d.b = reinterpret_cast<const int8_t*>(scratch + t.at_filters + k * t.filter) + p * d.panel;
        d.out = out + p * ARN_DOT_LANES;
        kernel.run(&d);
      }
    }
}

}  // namespace ARN_NS
