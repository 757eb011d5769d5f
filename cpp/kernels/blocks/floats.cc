// Weights in blocks as f32: in registers for few rows, as panels of the product core for many.
#include "kernels/blocks/form.h"
#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr int kParts = 16 / kLanesF32;  // vectors of a panel's row

// Codes of one element of K as f32, `base` taken off: those of a line, shifted down by `shift` bits.
template <int kBits>
class Widened {
 public:
  explicit Widened(int32_t base) {
#if defined(__AVX512F__)
    for (int i = 0; i < 16; ++i) table_[i] = static_cast<float>((i & ((1 << kBits) - 1)) - base);
#else
    base_ = splat_f32(static_cast<float>(base));
#endif
  }
  vf32 operator()(vi32 line, int shift) const {
    const vi32 down = line >> shift;
#if defined(__AVX512F__)
    if constexpr (kBits <= 4) return (vf32)_mm512_maskz_permutexvar_ps(0xffff, (__m512i)down, (__m512)table_);
    return __builtin_convertvector(down & 255, vf32) + table_[0];
#else
    return __builtin_convertvector(down & ((1 << kBits) - 1), vf32) - base_;
#endif
  }

 private:
#if defined(__AVX512F__)
  vf32 table_;
#else
  vf32 base_;
#endif
};

template <int N>
struct Fixed {
  static constexpr int value = N;
};

vf32 zeros_at(const uint8_t* zeros, int64_t at) { return __builtin_convertvector(load_u8(zeros + at), vf32); }

// What the next tile reads is asked for where this one reads, a line for a line.
template <int kBits, bool kZeros, int MR, int NV>
void float_tile(const BlockForm& f, const BlockWeights& w, const float* a, int64_t a_row, int64_t v0, float* out,
                int64_t out_row) {
  constexpr int kGroups = 8 / kBits;
  const int64_t p0 = v0 / kParts, part = v0 % kParts;
  const uint8_t* codes = w.codes + p0 * f.panel + part * kVectorBytes;
  const int64_t first = p0 * f.per_panel + part * L;
  const auto at = [](int v, int64_t panel, int64_t step) { return v / kParts * panel + v % kParts * step; };
  const Widened<kBits> widened(kZeros ? 0 : w.zero);
  vf32 total[MR][NV] = {};
  const int64_t lines = f.block / (4 * kGroups);
  for (int64_t b = 0; b < f.blocks; ++b) {
    vf32 z[NV], sum[MR][NV] = {};
    if (kZeros)
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) z[v] = zeros_at(w.zeros, first + b * 16 + at(v, f.per_panel, L));
    for (int64_t l = 0; l < lines; ++l, codes += 64) {
      vi32 line[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) {
        line[v] = *reinterpret_cast<const vi32u*>(codes + at(v, f.panel, kVectorBytes));
        __builtin_prefetch(codes + at(v, f.panel, kVectorBytes) + at(NV, f.panel, 0));
      }
      const int64_t k = b * f.block + l * 4 * kGroups;
      if (k >= f.k) continue;
      float last[4 * kGroups];
      const bool whole = k + 4 * kGroups <= f.k;
#pragma GCC unroll 4
      for (int r = 0; r < MR; ++r) {
        const float* x = a + r * a_row + k;
        if (!whole) {
          for (int64_t i = 0; i < 4 * kGroups; ++i) last[i] = k + i < f.k ? x[i] : 0.0f;
          x = last;
        }
#pragma GCC unroll 16
        for (int i = 0; i < 4 * kGroups; ++i) {
          const vf32 av = splat_f32(x[i]);
#pragma GCC unroll 8
          for (int v = 0; v < NV; ++v) {
            vf32 q = widened(line[v], i % 4 * 8 + i / 4 * kBits);
            if (kZeros) q -= z[v];
            sum[r][v] += q * av;
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const float* scales = w.scales + first + b * 16 + at(v, f.per_panel, L);
      const vf32 scale = load_f32(scales);
      __builtin_prefetch(scales + at(NV, f.per_panel, 0));
#pragma GCC unroll 4
      for (int r = 0; r < MR; ++r) total[r][v] += sum[r][v] * scale;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) store_f32(out + r * out_row + (v0 + v) * L, total[r][v]);
}

template <int kBits, bool kZeros>
void few_rows(const BlockForm& f, const BlockWeights& w, const float* a, int64_t row, int64_t rows, int64_t panels,
              float* out, int64_t out_row) {
  constexpr int NV = kParts > 4 ? kParts : 4;
  const int64_t vectors = panels * kParts;
  const auto run = [&](auto height, int64_t r) {
    constexpr int MR = decltype(height)::value;
    int64_t v = 0;
    for (; v + NV <= vectors; v += NV)
      float_tile<kBits, kZeros, MR, NV>(f, w, a + r * row, row, v, out + r * out_row, out_row);
    for (; v < vectors; v += kParts)
      float_tile<kBits, kZeros, MR, kParts>(f, w, a + r * row, row, v, out + r * out_row, out_row);
  };
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2) run(Fixed<2>{}, r);
  if (r < rows) run(Fixed<1>{}, r);
}

template <int kBits, bool kZeros>
void expand(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels, float* dst) {
  constexpr int kGroups = 8 / kBits, kLine = 4 * kGroups;
  const Widened<kBits> widened(kZeros ? 0 : w.zero);
  for (int64_t v = 0; v < panels * kParts; ++v) {
    const int64_t p = v / kParts, part = v % kParts;
    const uint8_t* codes = w.codes + p * f.panel + from / kLine * 64 + part * kVectorBytes;
    float* to = dst + v * depth * L;
    for (int64_t k = 0; k < depth; k += kLine, codes += 64) {
      const int64_t at = p * f.per_panel + (from + k) / f.block * 16 + part * L;
      const vi32 line = *reinterpret_cast<const vi32u*>(codes);
      const vf32 scale = load_f32(w.scales + at), zero = kZeros ? zeros_at(w.zeros, at) : vf32{};
      const auto one = [&](int i) {
        vf32 q = widened(line, i % 4 * 8 + i / 4 * kBits);
        if (kZeros) q -= zero;
        store_f32(to + (k + i) * L, q * scale);
      };
      if (k + kLine <= depth) {
#pragma GCC unroll 16
        for (int i = 0; i < kLine; ++i) one(i);
      } else {
        for (int i = 0; k + i < depth; ++i) one(i);
      }
    }
  }
}

// Codes less their zero points; kRounded: times their scales, to the nearest bfloat16, ties away from zero.
template <int kBits, bool kZeros, bool kRounded>
void expand_halves(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels,
                   uint16_t* dst) {
  typedef vi32 vi32u2 __attribute__((aligned(2), may_alias));
  constexpr int kGroups = 8 / kBits, kLine = 4 * kGroups;
  const Widened<kBits> widened(kZeros ? 0 : w.zero);
  for (int64_t v = 0; v < panels * kParts; ++v) {
    const int64_t p = v / kParts, part = v % kParts;
    const uint8_t* codes = w.codes + p * f.panel + from / kLine * 64 + part * kVectorBytes;
    uint16_t* to = dst + p * depth * 16 + part * 2 * L;
    for (int64_t k = 0; k < depth; k += kLine, codes += 64) {
      const vi32 line = *reinterpret_cast<const vi32u*>(codes);
      const int64_t at = p * f.per_panel + (from + k) / f.block * 16 + part * L;
      const vf32 zero = kZeros ? zeros_at(w.zeros, at) : vf32{};
      vf32 scale{};
      if constexpr (kRounded) {  // all that is not a number has a payload that rounding leaves one
        const vf32 given = load_f32(w.scales + at);
        scale = given == given ? given : splat_f32(__builtin_nanf(""));
      }
#pragma GCC unroll 8
      for (int i = 0; i < kLine; i += 2, to += 32) {
        vf32 even = widened(line, i % 4 * 8 + i / 4 * kBits), odd = widened(line, i % 4 * 8 + 8 + i / 4 * kBits);
        if (kZeros) {
          even -= zero;
          odd -= zero;
        }
        if constexpr (kRounded) {
          even = (vf32)((vi32)(even * scale) + 0x8000);
          odd = (vf32)((vi32)(odd * scale) + 0x8000);
        }
        const vi32 low = (vi32)even >> 16 & 0xffff, high = (vi32)odd & static_cast<int32_t>(0xffff0000);
        *reinterpret_cast<vi32u2*>(to) = low | high;
      }
    }
  }
}

template <int kBits, bool kZeros>
void pairs(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels, uint16_t* dst) {
  expand_halves<kBits, kZeros, false>(f, w, from, depth, panels, dst);
}
template <int kBits, bool kZeros>
void rounded(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels, uint16_t* dst) {
  expand_halves<kBits, kZeros, true>(f, w, from, depth, panels, dst);
}

}  // namespace

#define ARN_BY_BITS(fn, ...)                                                              \
  do {                                                                                    \
    const bool zeros = w.zeros != nullptr;                                                \
    if (f.bits == 2) return zeros ? fn<2, true>(__VA_ARGS__) : fn<2, false>(__VA_ARGS__); \
    if (f.bits == 4) return zeros ? fn<4, true>(__VA_ARGS__) : fn<4, false>(__VA_ARGS__); \
    return zeros ? fn<8, true>(__VA_ARGS__) : fn<8, false>(__VA_ARGS__);                  \
  } while (0)

void multiply_floats(const BlockForm& f, const BlockWeights& w, const float* a, int64_t row, int64_t rows,
                     int64_t panels, float* out, int64_t out_row) {
  ARN_BY_BITS(few_rows, f, w, a, row, rows, panels, out, out_row);
}

void expand_panels(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels, float* dst) {
  ARN_BY_BITS(expand, f, w, from, depth, panels, dst);
}

void expand_pairs(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels,
                  uint16_t* dst) {
  ARN_BY_BITS(pairs, f, w, from, depth, panels, dst);
}

void expand_rounded(const BlockForm& f, const BlockWeights& w, int64_t from, int64_t depth, int64_t panels,
                    uint16_t* dst) {
  ARN_BY_BITS(rounded, f, w, from, depth, panels, dst);
}

}  // namespace ARN_NS
