// Running of the convolutions that are matrix products: one unit is a block of pixels by a block of output channels of
// one group of one image (or of all images).
#include "kernels/conv/direct/conv.h"
#include "kernels/conv/entry.h"

namespace ARN_NS {
namespace {

// What one phase of the output computes (the whole output of a Conv is one phase).
struct Phase {
  ConvShape s;
  TapSet taps;
  int64_t k;                    // inner indices
  int64_t y_offset;             // of the phase's first pixel
  int64_t start[3], stride[3];  // output coordinate of phase coordinate q: start + q * stride
};

Phase phase_of(const ConvBound& b, int64_t index) {
  Phase f{b.s, all_taps(b.w), 0, 0, {0, 0, 0}, {1, 1, 1}};
  if (b.transposed != 0) {
    int64_t residue[3];
    for (int i = 2; i >= 0; --i) {
      f.stride[i] = b.steps.stride[i];
      const int64_t count = phase_count(b, i);
      f.start[i] = index % count;
      index /= count;
      residue[i] = (f.start[i] + b.steps.pad[i]) % f.stride[i];
    }
    f.taps = residue_class(b.w, b.steps, residue);
    for (int i = 0; i < 3; ++i) {
      f.s.out[i] = f.start[i] >= b.s.out[i] ? 0 : ceil_div(b.s.out[i] - f.start[i], f.stride[i]);
      f.s.taps[i] = f.taps.count[i];
      f.s.step[i] = 1;
      f.s.first[i] = (f.start[i] + b.steps.pad[i] - f.taps.first[i] * b.steps.dilation[i]) / f.stride[i];
      f.s.tap_step[i] = -(f.taps.step[i] * b.steps.dilation[i] / f.stride[i]);
      f.y_offset += f.start[i] * b.s.y[i];
      f.s.y[i] *= f.stride[i];
    }
  }
  f.k = tap_count(f.s) * b.s.cg;
  return f;
}

struct ConvRun {
  const ConvBound& b;
  const float *x, *w, *bias, *add;
  float *y, *scratch;
  void* const* operand;
  void* epilogue_scratch;
  Span span;
  int64_t held;  // the pixel block whose im2col panels the slab holds whole, or -1

  // One block; x, y and w are at the item's first element of the group, pixels count within the item.
  // ga: what is added, or null.
  void block(const Phase& f, const float* gx, const float* gw, const float* gb, const float* ga, float* gy, int64_t key,
             int64_t p0, int64_t np, int64_t o0, int64_t no) {
    constexpr int64_t L = kLanesF32;
    const bool rows = b.channel_rows != 0;
    const bool panels = rows || b.s.xc != 1;  // im2col as panels of pixels, else as rows
    GemmPass<float> p{};
    p.m = rows ? no : np;
    p.n = rows ? np : no;
    p.partial = scratch;
    p.partial_row = b.partial_row;
    p.alpha = p.beta = 1.0f;
    p.activation = b.activation;
    p.edge = scratch + b.at_edge;
    if (gb != nullptr) {
      p.c = gb + o0 * b.bias_stride;
      (rows ? p.c_row : p.c_col) = b.bias_stride;
    }
    bool start = true;  // from zero
    if (ga != nullptr) {
      if (gb != nullptr) {
        float* terms = scratch + b.at_bias;
        for (int64_t i = 0; i < round_up(no, L); ++i) terms[i] = i < no ? p.c[i * b.bias_stride] : 0.0f;
        p.partial = terms;
        p.partial_row = 0;
        start = false;
      }
      p.c = ga + p0 * b.add_pixel + o0 * b.add_channel;
      p.c_row = b.add_pixel;
      p.c_col = b.add_channel;
    }
    if (b.direct != 0) {
      const int64_t step = pixel_stride(f.s, f.s.y, f.s.yn);
      p.out = gy + o0 * b.s.yc + p0 * step;
      p.out_row = rows ? b.s.yc : step;
      p.out_col = rows ? step : b.s.yc;
    } else {
      p.out = scratch;
      p.out_row = b.partial_row;
      p.out_col = 1;
    }
    float* slab = scratch + b.at_slab;
    const int64_t longest = depth_block(f.k);
    for (int64_t from = 0; from == 0 || from < f.k; from += longest) {
      const int64_t depth = min64(longest, f.k - from);
      p.depth = depth;
      p.first = from == 0 && start;
      p.last = from + depth >= f.k;
      const float* weights;
      int64_t panel;
      if (b.packed != 0) {
        panel = b.packed_k * L;
        weights = gw + o0 / L * panel + (f.taps.before * b.s.cg + from) * L;
      } else {
        panel = depth * L;
        weights = scratch + b.at_weights;
        pack_taps(b.w, f.taps, gw, scratch + b.at_weights, panel, from, depth, o0, no);
      }
      if (b.in_place == 0 && key != held) {
        if (panels)
          im2col_panels(f.s, gx, span, slab, from, depth, p0, np);
        else
          im2col_rows(f.s, gx, slab, from, depth, p0, np);
        held = f.k <= longest ? key : -1;
      }
      if (rows) {
        p.a = weights;
        p.a_row = 1;
        p.a_k = L;
        p.a_panel = panel;
        p.b = slab;
        p.b_vec = depth * L;
        p.b_k = L;
      } else {
        p.b = weights;
        p.b_vec = panel;
        p.b_k = L;
        if (b.packed != 0) foresee(&p, f, weights, from, o0, no);
        if (b.in_place != 0) {
          p.a_row = pixel_stride(f.s, f.s.x, f.s.xn);
          p.a_k = f.s.xc;
          p.a = gx + p0 * p.a_row + from * p.a_k;
          p.compact = b.use_compact != 0 ? scratch + b.at_compact : nullptr;
        } else if (panels) {
          p.a = slab;
          p.a_row = 1;
          p.a_k = L;
          p.a_panel = depth * L;
        } else {
          p.a = slab;
          p.a_row = depth;
          p.a_k = 1;
        }
      }
      if (rows)
        gemm_pass(p);
      else
        columns(p);
    }
  }

  // The weights that the pass after this one reads: the next part of the inner index, or the next output channels.
  void foresee(GemmPass<float>* p, const Phase& f, const float* weights, int64_t from, int64_t o0, int64_t no) const {
    const int64_t next = from + p->depth, longest = depth_block(f.k), left = b.s.og - o0 - no;
    p->ahead = nullptr;
    if (next < f.k) {
      p->ahead = weights + p->depth * kLanesF32;
      p->ahead_vecs = ceil_div(min64(no, kColumns), kLanesF32);
      p->ahead_depth = min64(longest, f.k - next);
    } else if (left > 0 && no % kLanesF32 == 0) {
      p->ahead = weights - from * kLanesF32 + no / kLanesF32 * p->b_vec;
      p->ahead_vecs = ceil_div(min64(left, kColumns), kLanesF32);
      p->ahead_depth = min64(longest, f.k);
    }
  }

  // Columns in shares whose weights stay in L2 over all rows.
  static void columns(const GemmPass<float>& whole) {
    GemmPass<float> p = whole;
    for (int64_t from = 0; from < whole.n; from += kColumns) {
      p.n = min64(kColumns, whole.n - from);
      const int64_t after = min64(kColumns, whole.n - from - p.n);
      p.ahead = after > 0 ? p.b + kColumns / kLanesF32 * p.b_vec : whole.ahead;
      p.ahead_vecs = after > 0 ? ceil_div(after, kLanesF32) : whole.ahead_vecs;
      p.ahead_depth = after > 0 ? p.depth : whole.ahead_depth;
      gemm_pass(p);
      p.b += kColumns / kLanesF32 * p.b_vec;
      p.partial += kColumns;
      p.out += kColumns * p.out_col;
      if (p.c != nullptr) p.c += kColumns * p.c_col;
    }
  }

  // Stores a block of a phase of ConvTranspose, whose pixels are apart in the output.
  void scatter(const Phase& f, float* gy, int64_t p0, int64_t np, int64_t n, int64_t o0, int64_t no) {
    float* from = scratch;
    if (b.by_phase != 0) {  // pixels are joined over all images
      void* shifted[ARN_MAX_OPERANDS];
      operands_of_phase(b, operand, f.start, shifted);
      epilogue_run(b.epilogue, shifted, p0, np, o0, no, from, b.partial_row, epilogue_scratch);
      return;
    }
    Pixel p = pixel_at(f.s, p0);
    for (int64_t i = 0; i < np; ++i, next_pixel(f.s, &p), from += b.partial_row) {
      if (b.use_epilogue != 0) {
        int64_t row = 0;
        for (int d = 0; d < 3; ++d) row = row * b.s.out[d] + f.start[d] + p.at[d] * f.stride[d];
        row += (n + p.n) * pixel_count(b.s);
        epilogue_run(b.epilogue, operand, row, 1, o0, no, from, b.partial_row, epilogue_scratch);
        continue;
      }
      float* to = gy + p.n * b.s.yn + p.at[0] * f.s.y[0] + p.at[1] * f.s.y[1] + p.at[2] * f.s.y[2];
      if (b.s.yc == 1)
        __builtin_memcpy(to + o0, from, static_cast<size_t>(no) * sizeof(float));
      else
        for (int64_t o = 0; o < no; ++o) to[(o0 + o) * b.s.yc] = from[o];
    }
  }

  void unit(int64_t u) {
    constexpr int64_t L = kLanesF32;
    const int64_t oi = u % b.o_blocks, key = u / b.o_blocks;
    int64_t rest = key;
    const int64_t pi = rest % b.p_blocks;
    rest /= b.p_blocks;
    const Phase f = phase_of(b, rest % b.phases);
    rest /= b.phases;
    const int64_t g = rest % b.s.groups, n = rest / b.s.groups;
    const int64_t pixels = pixel_count(f.s) * (b.items == 1 ? b.s.batch : 1);
    const int64_t p0 = pi * b.p_block, np = min64(b.p_block, pixels - p0);
    const int64_t o0 = oi * b.o_block, no = min64(b.o_block, b.s.og - o0);
    if (np <= 0) return;
    const float* gx = x + n * b.s.xn + g * b.s.cg * b.s.xc;
    const float* gw = w + g * (b.packed != 0 ? b.packed_k * round_up(b.s.og, L) : b.w.group);
    const float* gb = bias == nullptr ? nullptr : bias + g * b.s.og * b.bias_stride;
    const float* ga = add == nullptr ? nullptr : add + n * b.add_item + g * b.s.og * b.add_channel;
    float* gy = y + n * b.s.yn + g * b.s.og * b.s.yc + f.y_offset;
    block(f, gx, gw, gb, ga, gy, key, p0, np, o0, no);
    if (b.direct != 0) return;
    const int64_t channel = g * b.s.og + o0;
    float* result = scratch;
    if (b.phased != 0)
      scatter(f, gy, p0, np, n, b.use_epilogue != 0 ? channel : o0, no);
    else if (b.channel_rows != 0)
      epilogue_run(b.epilogue, operand, n * b.s.groups * b.s.og + channel, no, p0, np, result, b.partial_row,
                   epilogue_scratch);
    else
      epilogue_run(b.epilogue, operand, n * b.pixels + p0, np, channel, no, result, b.partial_row, epilogue_scratch);
  }
};

}  // namespace

int32_t conv_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                 const arn_state* state) {
  const ConvBound& b = *static_cast<const ConvBound*>(bound);
  return run_units<ConvRun>(b, operand, begin, end, thread_scratch, state,
                            span_of(b.s, static_cast<const float*>(operand[0])), int64_t{-1});
}

}  // namespace ARN_NS
