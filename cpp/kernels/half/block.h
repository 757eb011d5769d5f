// A block of rows by a block of columns: blocks of the inner index, strips of rows, and what is made ready for each.
#pragma once

#include "kernels/half/half.h"
#include "kernels/matmul/gemm.h"

namespace ARN_NS {

// One block, while it is computed. Rows: what A is, with
//   bool planes(int64_t row, int64_t rows, int64_t k0, int64_t depth, uint16_t* const* plane, int64_t plane_row);
//   void floats(int64_t row, int64_t rows, int64_t k0, int64_t depth, float* to, int64_t to_row);
// which write `rows` rows, the first at plane[i]; planes() also zeros up to a multiple of 32, and says whether all are
// finite. Rows that lie in planes already need none of that:
//   bool lie(int64_t k0, arn_half_dots* d);             whether they do; then says in *d how
//   bool lie_finite();                                  makes them lie there; whether all are finite
//   const uint16_t* plane(int32_t i, int64_t row) const;
// Finish: called as finish(row, rows, col, cols, sums, sums_row) for parts of the block whose sums are whole;
// it may write to them, up to whole panels.
template <typename Rows, typename Finish>
class HalfBlock {
 public:
  HalfBlock(const HalfGemm& g, const HalfScratch& s, void* memory, Rows& rows, int64_t m, const HalfColumns& b,
            int64_t n, Finish& finish)
      : g_(g), s_(s), memory_(static_cast<char*>(memory)), rows_(rows), m_(m), b_(b), n_(n), finish_(finish) {}

  void run() {
    if (g_.few != 0) return run_few();
    for (int64_t k0 = 0; k0 < max64(g_.k, 1); k0 += g_.depth) {
      k0_ = k0;
      depth_ = min64(g_.depth, g_.k - k0);
      if (kernel_ == nullptr)
        by_floats();
      else
        by_planes();
    }
    if (begun_ >= 0 && kernel_->end != nullptr) kernel_->end();
  }

 private:
  void run_few() {
    float* sums = at<float>(s_.sums);
    float* a = at<float>(s_.rows);
    rows_.floats(0, m_, 0, g_.k, a, s_.row);
    for (int64_t c = 0; c < n_; c += kHalfColumns) {
      const int64_t cols = min64(kHalfColumns, n_ - c);
      half_few(g_, a, s_.row, m_, b_.packed + c / ARN_HALF_LANES * g_.panel, cols, sums, kHalfColumns);
      finish_(0, m_, c, cols, sums, kHalfColumns);
    }
  }

  void by_floats() {
    float* a = at<float>(s_.rows);
    rows_.floats(0, m_, k0_, depth_, a, s_.row);
    for (int64_t c = 0; c < n_; c += kHalfColumns) {
      const int64_t cols = min64(kHalfColumns, n_ - c);
      half_slab_floats(g_, b_, k0_, depth_, c, cols, at<float>(s_.slab), at<float>(s_.turned));
      multiply_floats(a, 0, m_, c, cols);
      if (is_last()) finish_(0, m_, c, cols, sums(0, c), s_.sums_row);
    }
  }

  void by_planes() {
    uint16_t* plane[ARN_HALF_PLANES];
    bool finite[kHalfMostStrips];
    const int64_t strips = ceil_div(m_, kHalfStrip);
    arn_half_dots d{};
    d.a_row = s_.row;
    const bool lie = rows_.lie(k0_, &d), all_finite = lie && rows_.lie_finite();
    for (int64_t i = 0; i < strips; ++i) {
      finite[i] = all_finite;
      if (lie) continue;
      planes_at(i * kHalfStrip, plane);
      finite[i] = rows_.planes(i * kHalfStrip, min64(kHalfStrip, m_ - i * kHalfStrip), k0_, depth_, plane, s_.row);
    }
    const bool in_place = half_in_place(g_);
    d.steps = half_depth(depth_) / ARN_HALF_STEP;
    d.a_planes = g_.a_planes;
    d.b_planes = g_.b_planes;
    d.order = g_.order;
    d.out_row = s_.sums_row;
    d.add = k0_ > 0 ? 1 : 0;
    d.panel = in_place ? g_.panel : half_depth(depth_) * ARN_HALF_LANES;
    for (int64_t c = 0; c < n_; c += kHalfColumns) {
      const int64_t cols = min64(kHalfColumns, n_ - c);
      uint16_t* slab = at<uint16_t>(s_.slab);
      d.panels = half_panels(cols);
      for (int i = 0; i < g_.b_planes; ++i)
        d.b[i] =
            in_place ? b_.packed + c / ARN_HALF_LANES * g_.panel + k0_ * ARN_HALF_LANES : slab + i * d.panels * d.panel;
      enum { kPlanes, kFloats } held = kPlanes;
      const bool splits = in_place || half_slab_planes(g_, b_, k0_, depth_, c, cols, slab, at<float>(s_.turned));
      for (int64_t i = 0; i < strips; ++i) {
        const int64_t row = i * kHalfStrip;
        d.rows = min64(kHalfStrip, m_ - row);
        d.out = sums(row, c);
        if (splits && finite[i]) {
          if (held != kPlanes) half_slab_planes(g_, b_, k0_, depth_, c, cols, slab, at<float>(s_.turned));
          held = kPlanes;
          if (!lie) planes_at(row, plane);
          for (int p = 0; p < g_.a_planes; ++p) d.a[p] = lie ? rows_.plane(p, row) : plane[p];
          if (kernel_->begin != nullptr && d.rows != begun_) kernel_->begin(d.rows);
          begun_ = d.rows;
          kernel_->run(&d);
        } else {  // infinities and what is not a number have no planes
          if (held != kFloats) half_slab_floats(g_, b_, k0_, depth_, c, cols, at<float>(s_.slab), at<float>(s_.turned));
          held = kFloats;
          float* a = at<float>(s_.strip);
          rows_.floats(row, d.rows, k0_, depth_, a, s_.row);
          multiply_floats(a, row, d.rows, c, cols);
        }
        if (is_last()) finish_(row, d.rows, c, cols, d.out, s_.sums_row);
      }
    }
  }

  void multiply_floats(const float* a, int64_t row, int64_t rows, int64_t c, int64_t cols) {
    GemmPass<float> p{};
    p.m = rows;
    p.n = half_panels(cols) * ARN_HALF_LANES;
    p.depth = depth_;
    p.a = a;
    p.a_row = s_.row;
    p.a_k = 1;
    p.b = at<float>(s_.slab);
    p.b_vec = depth_ * kLanesF32;
    p.b_k = kLanesF32;
    p.partial = sums(row, c);
    p.partial_row = s_.sums_row;
    p.first = k0_ == 0;
    p.alpha = p.beta = 1.0f;
    gemm_pass(p);
  }

  bool is_last() const { return k0_ + g_.depth >= g_.k; }
  // Sums of one block of the inner index are finished at once.
  float* sums(int64_t row, int64_t c) const {
    const bool kept = g_.k > g_.depth;
    return at<float>(s_.sums) + (kept || kernel_ == nullptr ? row * s_.sums_row : 0) + (kept ? c : 0);
  }
  void planes_at(int64_t row, uint16_t** plane) const {
    for (int i = 0; i < ARN_HALF_PLANES; ++i) plane[i] = at<uint16_t>(s_.rows) + i * s_.plane + row * s_.row;
  }
  template <typename T>
  T* at(int64_t offset) const {
    return reinterpret_cast<T*>(memory_ + offset);
  }

  const HalfGemm& g_;
  const HalfScratch& s_;
  char* memory_;
  Rows& rows_;
  const int64_t m_;
  const HalfColumns& b_;
  const int64_t n_;
  Finish& finish_;
  const arn_half_kernel* kernel_ = half_kernel(g_);
  int64_t k0_ = 0, depth_ = 0, begun_ = -1;
};

// Rows [0, m), at most half_rows(g), by n columns.
template <typename Rows, typename Finish>
void half_block(const HalfGemm& g, const HalfScratch& s, void* memory, Rows& rows, int64_t m, const HalfColumns& b,
                int64_t n, Finish&& finish) {
  HalfBlock<Rows, Finish>(g, s, memory, rows, m, b, n, finish).run();
}

}  // namespace ARN_NS
