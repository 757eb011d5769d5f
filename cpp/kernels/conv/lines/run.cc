// Running of convolutions over lines.
#include "kernels/conv/lines/lines.h"
#include "kernels/conv/window.h"
#include "kernels/copy/plane.h"
#include "kernels/matmul/micro.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;

// Rows of the tallest tile that is NV vectors wide. One vector takes as many rows as registers hold: its chains of
// multiply-adds are the only ones in flight.
constexpr int line_rows_for(int nv) {
  return nv > 1 ? rows_for(nv) : ARN_TIER_LEVEL == 0 ? 8 : ARN_TIER_LEVEL == 1 ? 12 : 14;
}

// A tile whose A is a list of runs: row i of run r is at run[r] + i * tile.a_row.
struct LineTile {
  Tile<float> tile;
  int64_t runs;
  const float* run[kMostLines];
  int64_t length[kMostLines];
};

template <int MR, int NV>
void line_tile(const LineTile& t, int64_t offset) {
  vf32 acc[MR][NV];
  begin_tile<float, MR, NV>(t.tile, acc);
  Tile<float> part = t.tile;
  for (int64_t r = 0; r < t.runs; ++r) {
    part.a = t.run[r] + offset;
    part.depth = t.length[r];
    multiply<float, MR, NV, kUnitInner>(part, acc);
    part.b += part.depth * L;
  }
  finish_tile<float, MR, NV>(t.tile, acc);
}

typedef void (*LineTileFn)(const LineTile&, int64_t);
template <int NV, typename Rows = typename MakeSeq<line_rows_for(NV)>::Type>
struct LineTable;
template <int NV, int... I>
struct LineTable<NV, Seq<I...>> {
  static constexpr LineTileFn fn[] = {line_tile<I + 1, NV>...};
};

inline LineTileFn line_tile_fn(int64_t rows, int64_t vectors) {
  return vectors == 1   ? LineTable<1>::fn[rows - 1]
         : vectors == 2 ? LineTable<2>::fn[rows - 1]
                        : LineTable<3>::fn[rows - 1];
}

// Columns [first, first + columns) of one input line, channels innermost; zeros outside the image.
void copy_line(const ConvShape& s, const float* image, int64_t y, int64_t first, int64_t columns, float* to) {
  const auto zero = [](float* at, int64_t n) { __builtin_memset(at, 0, static_cast<size_t>(n) * sizeof(float)); };
  const int64_t cg = s.cg;
  if (y < 0 || y >= s.in[1]) return zero(to, columns * cg);
  const int64_t lo = min64(columns, max64(0, -first)), hi = max64(lo, min64(columns, s.in[2] - first)), n = hi - lo;
  const float* from = image + y * s.x[1] + (first + lo) * s.x[2];
  zero(to, lo * cg);
  zero(to + hi * cg, (columns - hi) * cg);
  to += lo * cg;
  if (s.xc == 1 && s.x[2] == cg) {
    __builtin_memcpy(to, from, static_cast<size_t>(n * cg) * sizeof(float));
  } else if (s.xc == 1 && cg >= L) {
    for (int64_t i = 0; i < n; ++i, to += cg, from += s.x[2]) {
      for (int64_t c = 0; c + L < cg; c += L) store_f32(to + c, load_f32(from + c));
      store_f32(to + cg - L, load_f32(from + cg - L));
    }
  } else if (cg == 3) {
    for (int64_t i = 0; i < n; ++i, from += s.x[2])
      for (int64_t c = 0; c < 3; ++c) to[i * 3 + c] = from[c * s.xc];
  } else {  // mostly pixels that follow each other, channel after channel
    const Plane plane{n, cg, s.x[2] * 4, s.xc * 4, cg * 4, 4};
    const char* src = reinterpret_cast<const char*>(from);
    char* dst = reinterpret_cast<char*>(to);
    s.x[2] == 1 ? transpose_plane<uint32_t>(src, dst, plane) : strided_plane<uint32_t>(src, dst, plane);
  }
}

struct Rectangle {
  int64_t n, g, phase, y0, x0, rows, columns, o0, no;
};

struct LinesRun {
  const LinesBound& b;
  const float *x, *w, *bias, *add;
  float *y, *scratch;
  void* const* operand;
  void* epilogue_scratch;
  int64_t held;  // the rectangle whose lines are copied, or -1
  ActivationRows after;

  Rectangle rectangle(int64_t u) const {
    Rectangle r;
    int64_t rest = u / b.o_blocks;
    r.x0 = rest % b.column_blocks * b.columns;
    rest /= b.column_blocks;
    r.y0 = rest % b.row_blocks * b.rows;
    rest /= b.row_blocks;
    r.phase = rest % b.phases;
    rest /= b.phases;
    r.g = rest % b.s.groups;
    r.n = rest / b.s.groups;
    r.rows = min64(b.rows, b.s.out[1] - r.y0);
    r.columns = min64(b.columns, b.s.out[2] - r.x0);
    r.o0 = u % b.o_blocks * b.o_block;
    r.no = min64(b.o_block, b.s.og - r.o0);
    return r;
  }

  const float* input_line(const Rectangle& r, int64_t line) const {
    if (b.in_place == 0) return scratch + b.at_stage + line * b.line;
    const ConvShape& s = b.s;
    return x + r.n * s.xn + r.g * s.cg * s.xc + (r.y0 * s.step[1] + line) * s.x[1] + r.x0 * b.hop;
  }

  float* output_row(const Rectangle& r, int64_t i) const {
    const ConvShape& s = b.s;
    return y + r.n * s.yn + (r.y0 + i) * s.y[1] + r.phase * b.y_phase + r.x0 * s.y[2] + r.g * b.og + r.o0;
  }

  void copy_lines(const Rectangle& r) const {
    const ConvShape& s = b.s;
    const float* image = x + r.n * s.xn + r.g * s.cg * s.xc;
    const int64_t columns = (r.columns - 1) * s.step[2] + s.taps[2], first = r.x0 * s.step[2] + s.first[2];
    const int64_t count = (r.rows - 1) * s.step[1] + (s.taps[1] - 1) * s.tap_step[1] + 1;
    for (int64_t i = 0; i < count; ++i)
      copy_line(s, image, r.y0 * s.step[1] + s.first[1] + i, first, columns, scratch + b.at_stage + i * b.line);
  }

  // Inner indices [from, from + depth) of all pixels and channels of the rectangle.
  void block(const Rectangle& r, int64_t from, int64_t depth, bool last) const {
    const ConvShape& s = b.s;
    const int64_t o = r.g * b.og + r.o0, run = s.taps[2] * s.cg, panel = b.packed_k * L;
    const float* weights = w + ((r.g * b.phases + r.phase) * ceil_div(s.og, L) + r.o0 / L) * panel + from * L;
    const bool terms_first = add != nullptr && bias != nullptr && from == 0;  // the bias as earlier sums
    LineTile t{};
    t.tile.a_row = b.hop;
    t.tile.b_vec = panel;
    t.tile.alpha = t.tile.beta = 1.0f;
    t.tile.finish = last;
    t.tile.c_col = 1;
    t.tile.limited = b.activation.limited != 0;
    t.tile.low = b.activation.low;
    t.tile.high = b.activation.high;
    const int64_t first_line = from / run, end_line = ceil_div(from + depth, run);
    t.runs = end_line - first_line;
    const int64_t vectors = ceil_div(r.no, L);
    for (int64_t v = 0; v < vectors;) {
      const int64_t left = vectors - v, nv = left == 3 ? 3 : min64(left, kTileVectors), most = line_rows_for(nv);
      const int64_t tiles = ceil_div(r.columns, most);
      t.tile.b = weights + v * panel;
      t.tile.ahead = reinterpret_cast<const char*>(t.tile.b);
      const float* terms = scratch + b.at_bias + v * L;
      const bool whole = (v + nv) * L <= max64(r.no, b.use_epilogue != 0 ? b.block_row / L * L : 0);
      for (int64_t i = 0; i < r.rows; ++i) {
        for (int64_t l = first_line; l < end_line; ++l) {
          const int64_t lo = max64(from, l * run), hi = min64(from + depth, (l + 1) * run);
          t.run[l - first_line] = input_line(r, i * s.step[1] + l * s.tap_step[1]) + lo - l * run;
          t.length[l - first_line] = hi - lo;
        }
        float* partial = scratch + i * r.columns * b.partial_row + v * L;
        float* out =
            b.use_epilogue != 0 ? scratch + b.at_block + i * r.columns * b.block_row + v * L : output_row(r, i) + v * L;
        const int64_t out_row = b.use_epilogue != 0 ? b.block_row : s.y[2];
        const float* other = add == nullptr ? nullptr
                                            : add + r.n * b.add_n + (r.y0 + i) * b.add[1] + r.phase * b.add_phase +
                                                  r.x0 * b.add[2] + o + v * L;
        for (int64_t k = 0; k < tiles; ++k) {
          const int64_t p = r.columns * k / tiles, count = r.columns * (k + 1) / tiles - p;
          const LineTileFn fn = line_tile_fn(count, nv);
          t.tile.prior = terms_first ? terms : from == 0 ? nullptr : partial + p * b.partial_row;
          t.tile.prior_row = terms_first ? 0 : b.partial_row;
          t.tile.c = nullptr;
          t.tile.out = partial + p * b.partial_row;
          t.tile.out_row = b.partial_row;
          if (last) {
            if (other != nullptr) {
              t.tile.c = other + p * b.add[2];
              t.tile.c_row = b.add[2];
            } else if (bias != nullptr) {
              t.tile.c = terms;
              t.tile.c_row = 0;
            }
            t.tile.out = out + p * out_row;
            t.tile.out_row = out_row;
            if (!whole || after.any()) {
              through_scratch(&t, fn, p * b.hop, count, nv, min64(nv * L, r.no - v * L));
              continue;
            }
          }
          fn(t, p * b.hop);
        }
      }
      v += nv;
    }
  }

  // A tile that has fewer channels than lanes, past which nothing may be read or written, or that an activation
  // follows.
  void through_scratch(LineTile* t, LineTileFn fn, int64_t offset, int64_t count, int64_t nv, int64_t channels) const {
    float *result = scratch + b.at_edge, *c = result + kMaxRows * kMaxVectors * L, *out = t->tile.out;
    const int64_t width = nv * L, row = t->tile.out_row;
    if (channels < width && t->tile.c != nullptr && t->tile.c_row != 0) {
      for (int64_t i = 0; i < count; ++i) copy_channels(c + i * width, t->tile.c + i * t->tile.c_row, channels);
      t->tile.c = c;
      t->tile.c_row = width;
    }
    t->tile.out = result;
    t->tile.out_row = width;
    fn(*t, offset);
    if (after.any()) after.run(result, result, count * width);
    for (int64_t i = 0; i < count; ++i) copy_channels(out + i * row, result + i * width, channels);
  }

  static void copy_channels(float* to, const float* from, int64_t n) {
    for (; n >= L; n -= L, to += L, from += L) store_f32(to, load_f32(from));
    copy_pieces<L / 2>(to, from, n);
  }

  void store(const Rectangle& r) const {
    for (int64_t i = 0; i < r.rows; ++i) {
      const int64_t row = (r.n * b.y_rows + (r.y0 + i) * b.phases + r.phase) * b.y_columns + r.x0 * b.spread;
      const int64_t channels = b.spread > 1 ? b.og : r.no;
      float* block = scratch + b.at_block + i * r.columns * b.block_row;
      epilogue_run(b.epilogue, operand, row, r.columns * b.spread, r.g * b.og + r.o0, channels, block,
                   b.spread > 1 ? b.og : b.block_row, epilogue_scratch);
    }
  }

  // Pixels of a transposed convolution's output that no window reaches.
  void rest_of_output(const Rectangle& r) const {
    float* block = scratch + b.at_block;
    for (int64_t i = 0; i < b.y_rows; ++i)
      for (int64_t j = i < b.s.in[1] * b.phases ? b.s.in[2] * b.spread : 0; j < b.y_columns; ++j) {
        for (int64_t c = 0; c < b.og; ++c) block[c] = bias == nullptr ? 0.0f : bias[(r.g * b.og + c) * b.bias_stride];
        epilogue_run(b.epilogue, operand, (r.n * b.y_rows + i) * b.y_columns + j, 1, r.g * b.og, b.og, block, b.og,
                     epilogue_scratch);
      }
  }

  void unit(int64_t u) {
    const Rectangle r = rectangle(u);
    if (r.no <= 0) return;
    if (b.in_place == 0 && u / b.o_blocks != held) {
      copy_lines(r);
      held = u / b.o_blocks;
    }
    float* terms = scratch + b.at_bias;
    if (bias != nullptr)
      for (int64_t i = 0; i < round_up(b.o_block, L); ++i)
        terms[i] = i < r.no ? bias[(r.g * b.og + (r.o0 + i) % b.og) * b.bias_stride] : 0.0f;
    const int64_t k = b.packed_k, longest = depth_block(k);
    for (int64_t from = 0; from < k; from += longest) block(r, from, min64(longest, k - from), from + longest >= k);
    if (b.use_epilogue == 0) return;
    store(r);
    const bool first = r.phase == 0 && r.y0 == 0 && r.x0 == 0 && r.o0 == 0;
    if (first && b.spread * b.phases > 1) rest_of_output(r);
  }
};

}  // namespace

int32_t lines_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                  const arn_state* state) {
  const LinesBound& b = *static_cast<const LinesBound*>(bound);
  return run_units<LinesRun>(b, operand, begin, end, thread_scratch, state, int64_t{-1}, ActivationRows(b.activation));
}

}  // namespace ARN_NS
