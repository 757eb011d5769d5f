// Columns of B: packed, and made ready for a block.
#include "kernels/half/half.h"
#include "kernels/half/vectors.h"
#include "kernels/matmul/gemm.h"

namespace ARN_NS {
namespace {

constexpr int64_t kLanesHalf = ARN_HALF_LANES;
constexpr int kParts = static_cast<int>(kLanesHalf / L);  // vectors of a row of a panel

// Two rows of a part of a packed panel, k even.
template <int kPacked>
inline void load_two(const uint16_t* panel, int64_t k, int part, vf32* even, vf32* odd) {
  if (kPacked == ARN_BF16) {
    const hu32 pairs = load_pairs(panel + k * kLanesHalf + part * 2 * L);
    *even = (vf32)(pairs << 16);
    *odd = (vf32)(pairs & 0xffff0000u);
  } else {
    *even = load_as_float<ARN_F16>(panel + k * kLanesHalf + part * L);
    *odd = load_as_float<ARN_F16>(panel + (k + 1) * kLanesHalf + part * L);
  }
}

// Writes two rows of a part of a panel as pairs of every plane.
template <int kPlanes>
inline void store_two(uint16_t* const* plane, int64_t k, int part, vf32 even, vf32 odd, Greatest* met) {
  hu32 low[kPlanes], high[kPlanes];
  met->meet(even);
  met->meet(odd);
  split<kPlanes>(even, low);
  split<kPlanes>(odd, high);
  for (int i = 0; i < kPlanes; ++i) store_pairs(plane[i] + k * kLanesHalf + part * 2 * L, low[i] >> 16 | high[i]);
}

template <int kPacked, int kPlanes>
bool planes_of_packed(const uint16_t* panel, int64_t depth, uint16_t* const* plane) {
  Greatest met;
  for (int64_t k = 0; k < depth; k += 2)
    for (int part = 0; part < kParts; ++part) {
      vf32 even, odd;
      load_two<kPacked>(panel, k, part, &even, &odd);
      store_two<kPlanes>(plane, k, part, even, odd, &met);
    }
  return met.splits();
}

// From a panel of float32, [depth][16].
template <int kPlanes>
bool planes_of_floats(const float* panel, int64_t depth, uint16_t* const* plane) {
  Greatest met;
  for (int64_t k = 0; k < half_depth(depth); k += 2)
    for (int part = 0; part < kParts; ++part) {
      const vf32 even = k < depth ? load_f32(panel + k * kLanesHalf + part * L) : vf32{};
      const vf32 odd = k + 1 < depth ? load_f32(panel + (k + 1) * kLanesHalf + part * L) : vf32{};
      store_two<kPlanes>(plane, k, part, even, odd, &met);
    }
  return met.splits();
}

// A panel of n <= 16 columns as float32, [depth][16], zeros past n.
template <int kType>
void float_panel(float* to, const void* src, int64_t depth, int64_t n, int64_t k_stride, int64_t n_stride) {
  constexpr int64_t size = kType == ARN_F32 ? 4 : 2;
  const char* from = static_cast<const char*>(src);
  const auto one = [&](const char* at) {
    alignas(64) char some[kVectorBytes] = {};
    __builtin_memcpy(some, at, size);
    return load_as_float<kType>(some)[0];
  };
  if (n_stride == 1 && n == kLanesHalf) {
    for (int64_t k = 0; k < depth; ++k)
      for (int part = 0; part < kParts; ++part)
        store_f32(to + k * kLanesHalf + part * L, load_as_float<kType>(from + (k * k_stride + part * L) * size));
    return;
  }
  if (k_stride == 1) {  // whole vectors along k, turned
    int64_t k = 0;
    for (; k + L <= depth; k += L) {
      alignas(64) float block[kLanesHalf][L];
      for (int64_t j = 0; j < kLanesHalf; ++j)
        store_f32(block[j], j < n ? load_as_float<kType>(from + (k + j * n_stride) * size) : vf32{});
      if constexpr (kParts == 1) {
        pack_panels(to + k * kLanesHalf, L * L, block[0], L, kLanesHalf, 1, L);
        continue;
      }
      // Panels of a part each, one behind the other, become rows of all parts.
      alignas(64) float parts[kLanesHalf * L];
      pack_panels(parts, L * L, block[0], L, kLanesHalf, 1, L);
      for (int64_t i = 0; i < L; ++i)
        for (int part = 0; part < kParts; ++part)
          store_f32(to + (k + i) * kLanesHalf + part * L, load_f32(parts + (part * L + i) * L));
    }
    for (; k < depth; ++k)
      for (int64_t j = 0; j < kLanesHalf; ++j)
        to[k * kLanesHalf + j] = j < n ? one(from + (k + j * n_stride) * size) : 0.0f;
    return;
  }
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t j = 0; j < kLanesHalf; ++j)
      to[k * kLanesHalf + j] = j < n ? one(from + (k * k_stride + j * n_stride) * size) : 0.0f;
}

void float_panel(int32_t dtype, float* to, const void* src, int64_t depth, int64_t n, int64_t k_stride,
                 int64_t n_stride) {
  const auto fn = dtype == ARN_F32   ? float_panel<ARN_F32>
                  : dtype == ARN_F16 ? float_panel<ARN_F16>
                                     : float_panel<ARN_BF16>;
  fn(to, src, depth, n, k_stride, n_stride);
}

template <int kPlanes>
bool slab_planes(const HalfGemm& g, const HalfColumns& b, int64_t k0, int64_t depth, int64_t c, int64_t n,
                 uint16_t* slab, float* turned) {
  const int64_t panels = half_panels(n), panel = half_depth(depth) * kLanesHalf;
  bool whole = true;
  for (int64_t p = 0; p < panels; ++p) {
    uint16_t* plane[kPlanes];
    for (int i = 0; i < kPlanes; ++i) plane[i] = slab + (i * panels + p) * panel;
    if (g.packed != ARN_NONE) {
      const uint16_t* from = b.packed + (c / kLanesHalf + p) * g.panel + k0 * kLanesHalf;
      const auto fn = g.packed == ARN_BF16 ? planes_of_packed<ARN_BF16, kPlanes> : planes_of_packed<ARN_F16, kPlanes>;
      whole &= fn(from, half_depth(depth), plane);
      continue;
    }
    const int64_t size = g.b_dtype == ARN_F32 ? 4 : 2, at = k0 * b.k_stride + (c + p * kLanesHalf) * b.n_stride;
    float_panel(g.b_dtype, turned, static_cast<const char*>(b.at) + at * size, depth,
                min64(kLanesHalf, n - p * kLanesHalf), b.k_stride, b.n_stride);
    whole &= planes_of_floats<kPlanes>(turned, depth, plane);
  }
  return whole;
}

template <int kPacked>
void floats_of_packed(const uint16_t* panel, int64_t depth, float* to) {
  for (int64_t k = 0; k < depth; k += 2)
    for (int part = 0; part < kParts; ++part) {
      vf32 even, odd;
      load_two<kPacked>(panel, k, part, &even, &odd);
      store_f32(to + (part * depth + k) * L, even);
      if (k + 1 < depth) store_f32(to + (part * depth + k + 1) * L, odd);
    }
}

constexpr int64_t kAhead = 1024;  // elements of a panel that a single row, which waits for memory, is ahead of itself

template <int kPacked, int MR, int NP>
void few_tile(const HalfGemm& g, const float* a, int64_t a_row, const uint16_t* panels, float* sums, int64_t sums_row) {
  constexpr int NV = NP * kParts;
  vf32 even[MR][NV] = {}, odd[MR][NV] = {};
  int64_t k = 0;
  const auto both = [&](bool has_odd) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int v = 0; v < NV; ++v) {
      vf32 x, y;
      const uint16_t* panel = panels + v / kParts * g.panel;
      if (MR == 1 && v % kParts == 0) __builtin_prefetch(panel + k * kLanesHalf + kAhead);
      load_two<kPacked>(panel, k, v % kParts, &x, &y);
#pragma GCC unroll 4
      for (int r = 0; r < MR; ++r) {
        even[r][v] += splat_f32(a[r * a_row + k]) * x;
        if (has_odd) odd[r][v] += splat_f32(a[r * a_row + k + 1]) * y;
      }
    }
  };
  for (; k + 2 <= g.k; k += 2) both(true);
  if (k < g.k) both(false);
  for (int r = 0; r < MR; ++r)
    for (int v = 0; v < NV; ++v) store_f32(sums + r * sums_row + v * L, even[r][v] + odd[r][v]);
}

template <int kPacked, int MR>
void few_rows(const HalfGemm& g, const float* a, int64_t a_row, const uint16_t* panels, int64_t n, float* sums,
              int64_t sums_row) {
  // Panels side by side: as many streams as registers hold sums of.
  constexpr int NP = ARN_TIER_LEVEL >= 2 ? (MR <= 2 ? 4 : 2) : ARN_TIER_LEVEL == 1 ? (MR == 1 ? 2 : 1) : 1;
  const int64_t count = half_panels(n);
  int64_t p = 0;
  for (; p + NP <= count; p += NP)
    few_tile<kPacked, MR, NP>(g, a, a_row, panels + p * g.panel, sums + p * kLanesHalf, sums_row);
  if constexpr (NP > 1)
    for (; p < count; ++p) few_tile<kPacked, MR, 1>(g, a, a_row, panels + p * g.panel, sums + p * kLanesHalf, sums_row);
}

template <int kPacked>
void few(const HalfGemm& g, const float* a, int64_t a_row, int64_t rows, const uint16_t* panels, int64_t n, float* sums,
         int64_t sums_row) {
  const auto fn = rows == 1   ? few_rows<kPacked, 1>
                  : rows == 2 ? few_rows<kPacked, 2>
                  : rows == 3 ? few_rows<kPacked, 3>
                              : few_rows<kPacked, 4>;
  fn(g, a, a_row, panels, n, sums, sums_row);
}

}  // namespace

bool half_slab_planes(const HalfGemm& g, const HalfColumns& b, int64_t k0, int64_t depth, int64_t c, int64_t n,
                      uint16_t* slab, float* turned) {
  const auto fn = g.b_planes == 1 ? slab_planes<1> : g.b_planes == 2 ? slab_planes<2> : slab_planes<3>;
  const bool finite = fn(g, b, k0, depth, c, n, slab, turned);
  return finite || g.a_planes + g.b_planes == 2;
}

void half_slab_floats(const HalfGemm& g, const HalfColumns& b, int64_t k0, int64_t depth, int64_t c, int64_t n,
                      float* slab, float* turned) {
  for (int64_t p = 0; p < half_panels(n); ++p) {
    float* to = slab + p * kLanesHalf * depth;
    if (g.packed != ARN_NONE) {
      const auto fn = g.packed == ARN_BF16 ? floats_of_packed<ARN_BF16> : floats_of_packed<ARN_F16>;
      fn(b.packed + (c / kLanesHalf + p) * g.panel + k0 * kLanesHalf, depth, to);
      continue;
    }
    const int64_t size = g.b_dtype == ARN_F32 ? 4 : 2, at = k0 * b.k_stride + (c + p * kLanesHalf) * b.n_stride;
    float_panel(g.b_dtype, turned, static_cast<const char*>(b.at) + at * size, depth,
                min64(kLanesHalf, n - p * kLanesHalf), b.k_stride, b.n_stride);
    for (int64_t k = 0; k < depth; ++k)
      for (int part = 0; part < kParts; ++part) {
        const vf32 x = load_f32(turned + k * kLanesHalf + part * L);
        store_f32(to + (part * depth + k) * L, g.rounded != 0 ? (vf32)nearest_bf16(x) : x);
      }
  }
}

void half_few(const HalfGemm& g, const float* a, int64_t a_row, int64_t rows, const uint16_t* panels, int64_t n,
              float* sums, int64_t sums_row) {
  const auto fn = g.packed == ARN_BF16 ? few<ARN_BF16> : few<ARN_F16>;
  fn(g, a, a_row, rows, panels, n, sums, sums_row);
}

namespace {

// Single elements: any strides, any first k.
template <int kType>
void pack_elements(uint16_t* panel, int32_t packed, const char* src, int64_t k_first, int64_t depth, int64_t n,
                   int64_t k_stride, int64_t n_stride) {
  constexpr int64_t size = kType == ARN_F32 ? 4 : 2, kBlock = 64;
  for (int64_t b0 = 0; b0 < depth; b0 += kBlock)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = b0; i < min64(depth, b0 + kBlock); ++i) {
        const int64_t k = k_first + i;
        const char* at = src + (i * k_stride + j * n_stride) * size;
        uint16_t raw;
        if (kType == packed) {
          __builtin_memcpy(&raw, at, 2);
        } else {
          alignas(64) char some[kVectorBytes] = {};
          __builtin_memcpy(some, at, size);
          raw = static_cast<uint16_t>(nearest_bf16(load_as_float<kType>(some))[0] >> 16);
        }
        panel[packed == ARN_BF16 ? k / 2 * 2 * kLanesHalf + 2 * j + k % 2 : k * kLanesHalf + j] = raw;
      }
}

template <int kType>
void pack_panel(uint16_t* panel, int32_t packed, const char* src, int64_t k_first, int64_t depth, int64_t n,
                int64_t k_stride, int64_t n_stride) {
  constexpr int64_t size = kType == ARN_F32 ? 4 : 2, kStep = 128;
  const bool rows = n_stride == 1 && n == kLanesHalf;
  if (packed == ARN_F16 && rows) {
    for (int64_t k = 0; k < depth; ++k)
      __builtin_memcpy(panel + (k_first + k) * kLanesHalf, src + k * k_stride * size, 2 * kLanesHalf);
    return;
  }
  int64_t done = 0;
  if (packed == ARN_BF16 && k_first % ARN_HALF_STEP == 0 && (rows || k_stride == 1)) {
    done = depth / ARN_HALF_STEP * ARN_HALF_STEP;
    alignas(64) float turned[kStep * kLanesHalf];
    for (int64_t k = 0; k < done; k += kStep) {
      const int64_t some = min64(kStep, done - k);
      uint16_t* to = panel + (k_first + k) * kLanesHalf;
      float_panel<kType>(turned, src + k * k_stride * size, some, n, k_stride, n_stride);
      planes_of_floats<1>(turned, some, &to);
    }
  }
  pack_elements<kType>(panel, packed, src + done * k_stride * size, k_first + done, depth - done, n, k_stride,
                       n_stride);
}

}  // namespace

void half_pack(uint16_t* dst, int64_t panel, int32_t packed, const void* src, int32_t from, int64_t k_first,
               int64_t depth, int64_t n, int64_t k_stride, int64_t n_stride) {
  const int64_t size = from == ARN_F32 ? 4 : 2;
  const auto fn = from == ARN_F32 ? pack_panel<ARN_F32> : from == ARN_F16 ? pack_panel<ARN_F16> : pack_panel<ARN_BF16>;
  for (int64_t p = 0; p < half_panels(n); ++p)
    fn(dst + p * panel, packed, static_cast<const char*>(src) + p * kLanesHalf * n_stride * size, k_first, depth,
       min64(kLanesHalf, n - p * kLanesHalf), k_stride, n_stride);
}

}  // namespace ARN_NS
