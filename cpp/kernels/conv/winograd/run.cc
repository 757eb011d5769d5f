// Running of Winograd convolutions: one unit is a block of tiles by a block of output channels of one group. Its tiles'
// input is transformed once for all blocks of output channels that follow each other.
#include "kernels/conv/window.h"
#include "kernels/conv/winograd/winograd.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr int64_t kFilterBlock = 32 << 10;  // elements of the filters that are held over all rows

// B^T d: one line of a patch.
inline void input_line(const vf32 (&d)[4], vf32 (&r)[4]) {
  r[0] = d[0] - d[2];
  r[1] = d[1] + d[2];
  r[2] = d[2] - d[1];
  r[3] = d[1] - d[3];
}
inline void input_line(const vf32 (&d)[6], vf32 (&r)[6]) {
  constexpr float root = 1.41421356f, half = 0.70710678f;
  const vf32 even = d[4] - 2.0f * d[2], odd = half * d[3] - root * d[1];
  const vf32 even2 = d[4] - 0.5f * d[2], odd2 = root * d[3] - half * d[1];
  r[0] = d[0] - 2.5f * d[2] + d[4];
  r[1] = even + odd;
  r[2] = even - odd;
  r[3] = even2 + odd2;
  r[4] = even2 - odd2;
  r[5] = d[1] - 2.5f * d[3] + d[5];
}

// A^T m: one line of products.
inline void output_line(const vf32 (&m)[4], vf32 (&y)[2]) {
  y[0] = m[0] + m[1] + m[2];
  y[1] = m[1] - m[2] - m[3];
}
inline void output_line(const vf32 (&m)[6], vf32 (&y)[4]) {
  constexpr float root = 1.41421356f, half = 0.70710678f;
  const vf32 sum = m[1] + m[2], difference = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  y[0] = m[0] + sum + sum2;
  y[1] = half * difference + root * difference2;
  y[2] = 0.5f * sum + 2.0f * sum2;
  y[3] = 0.5f * half * difference + 2.0f * root * difference2 + m[5];
}

// The patch of one tile for a vector of channels, by `at(row, column)`; position p goes to to + p * apart.
template <int A, typename At>
inline void transform_input(At at, float* to, int64_t apart) {
  vf32 lines[A][A];
#pragma GCC unroll 6
  for (int j = 0; j < A; ++j) {
    vf32 d[A], r[A];
#pragma GCC unroll 6
    for (int i = 0; i < A; ++i) d[i] = at(i, j);
    input_line(d, r);
#pragma GCC unroll 6
    for (int i = 0; i < A; ++i) lines[i][j] = r[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < A; ++i) {
    vf32 r[A];
    input_line(lines[i], r);
#pragma GCC unroll 6
    for (int j = 0; j < A; ++j) store_f32(to + (i * A + j) * apart, r[j]);
  }
}

// The outputs of one tile for a vector of channels, to put(row, column, value).
template <int A, typename Put>
inline void transform_output(const float* from, int64_t apart, Put put) {
  constexpr int M = A - 2;
  vf32 lines[M][A];
#pragma GCC unroll 6
  for (int j = 0; j < A; ++j) {
    vf32 m[A], y[M];
#pragma GCC unroll 6
    for (int i = 0; i < A; ++i) m[i] = load_f32(from + (i * A + j) * apart);
    output_line(m, y);
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) lines[i][j] = y[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
    vf32 y[M];
    output_line(lines[i], y);
#pragma GCC unroll 4
    for (int j = 0; j < M; ++j) put(i, j, y[j]);
  }
}

struct Tile2 {
  int64_t n, y, x;  // image, first output row and column
};

template <int A>
struct WinogradRun {
  static constexpr int M = A - 2;
  const WinogradBound& b;
  const float *x, *u, *bias, *add;
  float *y, *scratch;
  void* const* operand;
  void* epilogue_scratch;
  int64_t held;  // the (group, block of tiles) whose transformed input is in scratch, or -1
  ActivationRows after;

  Tile2 tile_at(int64_t t) const {
    const int64_t tx = t % b.tiles_x, rest = t / b.tiles_x;
    return {rest / b.tiles_y, rest % b.tiles_y * M, tx * M};
  }

  // gx: image 0, the group's first channel.
  void input_tile(const float* gx, const Tile2& t, float* to) const {
    const ConvShape& s = b.s;
    const int64_t y0 = t.y + s.first[1], x0 = t.x + s.first[2], row = s.x[1], column = s.x[2];
    const float* from = gx + t.n * s.xn + y0 * row + x0 * column;
    const bool inside = y0 >= 0 && x0 >= 0 && y0 + A <= s.in[1] && x0 + A <= s.in[2];
    const int64_t whole = s.xc == 1 ? s.cg / L * L : 0;
    if (inside) {
      for (int64_t c = 0; c < whole; c += L)
        transform_input<A>([&](int i, int j) { return load_f32(from + i * row + j * column + c); }, to + c,
                           b.v_position);
      if (whole == s.cg) return;
    }
    static const float zeros[L] = {};
    const float* at[A][A];
    int64_t step[A][A];
    for (int i = 0; i < A; ++i)
      for (int j = 0; j < A; ++j) {
        const bool valid = y0 + i >= 0 && y0 + i < s.in[1] && x0 + j >= 0 && x0 + j < s.in[2];
        at[i][j] = valid ? from + i * row + j * column : zeros;
        step[i][j] = valid ? 1 : 0;
      }
    int64_t c = inside ? whole : 0;
    for (; c < whole; c += L)
      transform_input<A>([&](int i, int j) { return load_f32(at[i][j] + c * step[i][j]); }, to + c, b.v_position);
    for (; c < s.cg; c += L) {
      const int64_t lanes = min64(L, s.cg - c);
      float patch[A][A][L] = {};
      for (int i = 0; i < A; ++i)
        for (int j = 0; j < A; ++j)
          if (step[i][j] != 0)
            for (int64_t l = 0; l < lanes; ++l) patch[i][j][l] = at[i][j][(c + l) * s.xc];
      transform_input<A>([&](int i, int j) { return load_f32(patch[i][j]); }, to + c, b.v_position);
    }
  }

  // gu: the group's filters. Blocks of columns whose filters stay in L2 over all rows; while a share of the rows is
  // computed, a share of the filters that come next is asked for: they may come from main memory, and nothing but this
  // order says where they are.
  void products(const float* gu, int64_t nt, int64_t o0, int64_t no) const {
    const int64_t cg = b.s.cg, vectors = ceil_div(no, L), position = ceil_div(b.s.og, L) * cg * L;
    const int64_t most = max64(2, kFilterBlock / (cg * kTileVectors * L)), wide = ceil_div(vectors, kTileVectors);
    const int64_t step = ceil_div(wide, ceil_div(wide, most)) * kTileVectors, shares = ceil_div(nt, kTileRows);
    GemmPass<float> p{};
    p.depth = cg;
    p.a_row = b.v_row;
    p.a_k = 1;
    p.b_vec = cg * L;
    p.b_k = L;
    p.first = p.last = true;
    p.alpha = p.beta = 1.0f;
    p.out_row = b.m_row;
    p.out_col = 1;
    for (int64_t i = 0; i < A * A; ++i)
      for (int64_t v = 0; v < vectors; v += step) {
        const bool turn = v + step >= vectors;
        p.n = min64(step, vectors - v) * L;
        p.b = gu + i * position + (o0 / L + v) * cg * L;
        const float* next = turn ? gu + (i + 1) * position + o0 / L * cg * L : p.b + step * cg * L;
        const int64_t bytes = turn ? (i + 1 < A * A ? min64(step, vectors) : 0) : min64(step, vectors - v - step);
        const char* ahead = reinterpret_cast<const char*>(next);
        for (int64_t r = 0; r < shares; ++r) {
          const int64_t first = nt * r / shares, last = nt * (r + 1) / shares, lines = bytes * cg * L * 4 / 64;
          for (int64_t at = lines * r / shares; at < lines * (r + 1) / shares; ++at)
            __builtin_prefetch(ahead + at * 64, 0, 2);
          p.m = last - first;
          p.a = scratch + i * b.v_position + first * b.v_row;
          p.out = scratch + b.at_products + i * b.m_position + first * b.m_row + v * L;
          gemm_pass(p);
        }
      }
  }

  // One tile straight to Y: channels [o, o + no) counted over all groups.
  void output_tile(const Tile2& t, const float* from, int64_t o, int64_t no) const {
    const ConvShape& s = b.s;
    const int64_t rows = min64(M, s.out[1] - t.y), columns = min64(M, s.out[2] - t.x);
    const float* terms = scratch + b.at_bias;
    float* out = y + t.n * s.yn + t.y * s.y[1] + t.x * s.y[2] + o;
    // What an activation follows is put together in scratch.
    float* to = after.any() ? scratch + b.at_stage : out;
    const int64_t to_column = after.any() ? b.m_row : s.y[2], to_row = after.any() ? M * b.m_row : s.y[1];
    const float* other = add == nullptr ? nullptr : add + t.n * b.add_n + t.y * b.add[1] + t.x * b.add[2] + o;
    const bool limited = b.activation.limited != 0;
    const vf32 low = splat_f32(b.activation.low), high = splat_f32(b.activation.high);
    const auto limit = [&](vf32 v) {
      v = v < low ? low : v;
      return v > high ? high : v;
    };
    for (int64_t c = 0; c < no; c += L) {
      const vf32 term = load_f32(terms + c);
      const int64_t lanes = min64(L, no - c);
      if (lanes == L && rows == M && columns == M) {
        transform_output<A>(from + c, b.m_position, [&](int i, int j, vf32 v) {
          v += term;
          if (other != nullptr) v += load_f32(other + i * b.add[1] + j * b.add[2] + c);
          if (limited) v = limit(v);
          store_f32(to + i * to_row + j * to_column + c, v);
        });
        continue;
      }
      vf32 block[M][M];
      transform_output<A>(from + c, b.m_position, [&](int i, int j, vf32 v) { block[i][j] = v + term; });
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
          vf32 v = block[i][j];
          if (other != nullptr) {
            const float* addend = other + i * b.add[1] + j * b.add[2] + c;
            v += lanes == L ? load_f32(addend) : load_some(addend, lanes);
          }
          if (limited) v = limit(v);
          put(v, lanes, to + i * to_row + j * to_column + c, 1);
        }
    }
    if (!after.any()) return;
    for (int64_t i = 0; i < rows; ++i) after.run(out + i * s.y[1], s.y[2], to + i * to_row, to_column, no, columns);
  }

  // Neighbouring tiles of one row of tiles through the epilogue.
  void output_stage(const Tile2& t, int64_t count, const float* from, int64_t o, int64_t no) const {
    const ConvShape& s = b.s;
    const float* terms = scratch + b.at_bias;
    float* stage = scratch + b.at_stage;
    const int64_t line = b.stage_tiles * M * b.m_row;
    for (int64_t k = 0; k < count; ++k)
      for (int64_t c = 0; c < no; c += L) {
        const vf32 term = load_f32(terms + c);
        float* to = stage + k * M * b.m_row + c;
        transform_output<A>(from + k * b.m_row + c, b.m_position,
                            [&](int i, int j, vf32 v) { store_f32(to + i * line + j * b.m_row, v + term); });
      }
    const int64_t columns = min64(count * M, s.out[2] - t.x);
    for (int64_t i = 0; i < min64(M, s.out[1] - t.y); ++i)
      epilogue_run(b.epilogue, operand, (t.n * s.out[1] + t.y + i) * s.out[2] + t.x, columns, o, no, stage + i * line,
                   b.m_row, epilogue_scratch);
  }

  void unit(int64_t index) {
    const int64_t oi = index % b.o_blocks, key = index / b.o_blocks, ti = key % b.t_blocks, g = key / b.t_blocks;
    const int64_t t0 = ti * b.t_block, nt = min64(b.t_block, b.tiles - t0);
    const int64_t o0 = oi * b.o_block, no = min64(b.o_block, b.s.og - o0), o = g * b.s.og + o0;
    if (nt <= 0 || no <= 0) return;
    if (key != held) {
      const float* gx = x + g * b.s.cg * b.s.xc;
      for (int64_t t = 0; t < nt; ++t) input_tile(gx, tile_at(t0 + t), scratch + t * b.v_row);
      held = key;
    }
    products(u + g * A * A * round_up(b.s.og, L) * b.s.cg, nt, o0, no);
    float* terms = scratch + b.at_bias;
    for (int64_t i = 0; i < b.m_row; ++i) terms[i] = bias != nullptr && i < no ? bias[(o + i) * b.bias_stride] : 0.0f;
    for (int64_t t = 0; t < nt;) {
      const Tile2 at = tile_at(t0 + t);
      const float* from = scratch + b.at_products + t * b.m_row;
      if (b.use_epilogue == 0) {
        output_tile(at, from, o, no);
        ++t;
        continue;
      }
      const int64_t count = min64(min64(b.stage_tiles, nt - t), b.tiles_x - at.x / M);
      output_stage(at, count, from, o, no);
      t += count;
    }
  }
};

}  // namespace

int32_t winograd_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                     const arn_state* state) {
  const WinogradBound& b = *static_cast<const WinogradBound*>(bound);
  const ActivationRows rows(b.activation);
  return b.tile == 4 ? run_units<WinogradRun<6>>(b, operand, begin, end, thread_scratch, state, int64_t{-1}, rows)
                     : run_units<WinogradRun<4>>(b, operand, begin, end, thread_scratch, state, int64_t{-1}, rows);
}

}  // namespace ARN_NS
