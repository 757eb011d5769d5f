#include "kernels/blocks/planes.h"

#include "simd/vector.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr int64_t kDepth = 512, kTogether = 2;  // panels of a call: with a strip's rows, all sums that tiles hold
constexpr int64_t kSumsRow = kTogether * ARN_HALF_LANES;

class Planes {
 public:
  Planes(const BlockPlanes& b, const BlockForm& f, const BlockWeights& w, float* out, int64_t out_row, char* scratch)
      : b_(b), f_(f), w_(w), out_(out), out_row_(out_row), scratch_(scratch) {}

  const uint8_t* run(const float* a, int64_t row, int64_t rows, int64_t panels) {
    uint8_t* whole = at<uint8_t>(b_.whole);
    const int64_t strips = ceil_div(rows, kHalfStrip);
    __builtin_memset(whole, 1, static_cast<size_t>(strips));
    for (k0_ = 0; k0_ < f_.k; k0_ += b_.depth) {
      const int64_t left = min64(b_.depth, f_.k - k0_);
      depth_ = half_depth(left);
      split_rows(a + k0_, row, rows, left, whole);
      const auto expand = b_.gemm.rounded != 0 ? expand_rounded : expand_pairs;
      expand(f_, w_, k0_, depth_, panels, at<uint16_t>(b_.codes));
      int64_t begun = -1;
      for (int64_t s = 0; s < strips; ++s) {
        if (whole[s] == 0) continue;
        rows_ = min64(kHalfStrip, rows - s * kHalfStrip);
        if (rows_ != begun) kernel_->begin(begun = rows_);
        for (int64_t p = 0; p < panels; p += kTogether) strip(s * kHalfStrip, p, min64(kTogether, panels - p));
      }
      if (begun >= 0) kernel_->end();
    }
    return whole;
  }

 private:
  void split_rows(const float* a, int64_t row, int64_t rows, int64_t left, uint8_t* whole) {
    const arn_half_split split = half_split(b_.gemm);
    for (int64_t i = 0; i < rows; ++i) {
      uint16_t* plane[ARN_HALF_PLANES];
      planes_at(i, plane);
      if (split(a + i * row, left, plane) == 0) whole[i / kHalfStrip] = 0;
    }
  }

  // The products of a strip by some panels: while a block is multiplied, the sums of the one before are added.
  void strip(int64_t row, int64_t p, int64_t panels) {
    arn_half_dots d{};
    d.a_row = b_.row;
    d.panel = depth_ * ARN_HALF_LANES;
    d.rows = rows_;
    d.panels = panels;
    d.a_planes = b_.gemm.a_planes;
    d.b_planes = 1;
    d.order = b_.gemm.order;
    d.out_row = kSumsRow;
    uint16_t* plane[ARN_HALF_PLANES];
    planes_at(row, plane);
    const uint16_t* codes = at<uint16_t>(b_.codes) + p * d.panel;
    float* sums[2] = {at<float>(b_.sums), at<float>(b_.sums) + kHalfStrip * kSumsRow};
    float* total = sums[1] + kHalfStrip * kSumsRow;
    const int64_t step = b_.gemm.rounded != 0 ? depth_ : min64(f_.block, b_.depth);
    const float* scale = w_.scales + p * f_.per_panel + k0_ / f_.block * ARN_HALF_LANES;
    int64_t blocks = 0;
    for (int64_t k = 0; k < depth_; k += step, ++blocks) {
      for (int i = 0; i < d.a_planes; ++i) d.a[i] = plane[i] + k;
      d.b[0] = codes + k * ARN_HALF_LANES;
      d.steps = min64(step, depth_ - k) / ARN_HALF_STEP;
      d.out = sums[blocks % 2];
      kernel_->run(&d);
      if (blocks > 0) add(sums[(blocks - 1) % 2], scale, blocks - 1, panels, total);
    }
    if (b_.gemm.rounded != 0)
      total = sums[0];
    else
      add(sums[(blocks - 1) % 2], scale, blocks - 1, panels, total);
    float* out = out_ + row * out_row_ + p * ARN_HALF_LANES;
    for (int64_t r = 0; r < rows_; ++r, out += out_row_, total += kSumsRow)
      for (int64_t v = 0; v < panels * ARN_HALF_LANES; v += L) {
        const vf32 x = load_f32(total + v);
        store_f32(out + v, k0_ == 0 ? x : load_f32(out + v) + x);
      }
  }

  void add(const float* sums, const float* scale, int64_t block, int64_t panels, float* total) const {
    scale += block * ARN_HALF_LANES;
    if (block == 0)
      add<true>(sums, scale, panels, total);
    else
      add<false>(sums, scale, panels, total);
  }
  template <bool kFirst>
  void add(const float* sums, const float* scale, int64_t panels, float* total) const {
    constexpr int kParts = static_cast<int>(ARN_HALF_LANES / L);
    for (int64_t p = 0; p < panels; ++p, scale += f_.per_panel) {
      vf32 by[kParts];
      for (int v = 0; v < kParts; ++v) by[v] = load_f32(scale + v * L);
      for (int64_t r = 0; r < rows_; ++r)
        for (int v = 0; v < kParts; ++v) {
          const int64_t at = r * kSumsRow + p * ARN_HALF_LANES + v * L;
          const vf32 x = load_f32(sums + at) * by[v];
          store_f32(total + at, kFirst ? x : load_f32(total + at) + x);
        }
    }
  }

  void planes_at(int64_t row, uint16_t** plane) const {
    for (int i = 0; i < b_.gemm.a_planes; ++i) plane[i] = at<uint16_t>(b_.rows) + i * b_.plane + row * b_.row;
  }
  template <typename T>
  T* at(int64_t offset) const {
    return reinterpret_cast<T*>(scratch_ + offset);
  }

  const BlockPlanes& b_;
  const BlockForm& f_;
  const BlockWeights& w_;
  float* out_;
  const int64_t out_row_;
  char* scratch_;
  const arn_half_kernel* kernel_ = half_kernel(b_.gemm);
  int64_t k0_ = 0, depth_ = 0, rows_ = 0;
};

}  // namespace

bool choose_planes(const BlockForm& f, int64_t rows, bool rounded, const arn_target& target, BlockPlanes* b) {
  b->gemm = half_choose(f.k, rows, ARN_F32, ARN_BF16, rounded, true, target);
  b->depth = kDepth;
  if (rounded && f.k % ARN_HALF_STEP != 0) return false;  // codes past the end have scales
  return b->gemm.kernel == kHalfTiles && b->gemm.few == 0 && f.block % ARN_HALF_STEP == 0;
}

void lay_out_planes(int64_t rows, int64_t columns, BlockPlanes* b) {
  int64_t at = 0;
  const auto take = [&](int64_t bytes) {
    const int64_t from = at;
    at += round_up(bytes, ARN_ALIGN);
    return from;
  };
  const int64_t depth = half_depth(min64(b->depth, b->gemm.k)), strips = ceil_div(max64(rows, 1), kHalfStrip);
  b->row = depth + ARN_HALF_STEP;  // rows do not lie a power of two apart
  b->plane = strips * kHalfStrip * b->row;
  b->rows = take(b->gemm.a_planes * b->plane * 2);
  b->codes = take(half_panels(columns) * ARN_HALF_LANES * depth * 2);
  b->sums = take(3 * kHalfStrip * kSumsRow * 4);
  b->whole = take(strips);
  b->bytes = at;
}

const uint8_t* multiply_planes(const BlockPlanes& b, const BlockForm& f, const BlockWeights& w, const float* a,
                               int64_t row, int64_t rows, int64_t panels, float* out, int64_t out_row, char* scratch) {
  return Planes(b, f, w, out, out_row, scratch).run(a, row, rows, panels);
}

}  // namespace ARN_NS
