// Products of bfloat16 planes by AMX tiles: 16 x 16 sums, 32 values of k a step. Also the rate of its dot products.
#include "kernels/half/dots.h"
#include "kernels/kernel.h"
#include "simd/amx.h"

namespace ARN_NS {
namespace {

// Calls step(a, b) for every pair of planes at every 32 values of k. `fresh` is whether a is another one than before.
template <typename Step>
inline void walk(const arn_half_dots& d, int64_t first_panel, Step&& step) {
  for (int64_t s = 0; s < d.steps; ++s)
    for (int32_t i = 0; i < d.a_planes; ++i) {
      const uint16_t* a = d.a[i] + (d.a_at != nullptr ? d.a_at[s] : s * ARN_HALF_STEP);
      const int32_t last = min64(d.b_planes - 1, d.order - i);
      for (int32_t j = 0; j <= last; ++j)
        step(a, d.b[j] + first_panel * d.panel + s * ARN_HALF_STEP * ARN_HALF_LANES, j == 0);
    }
}

template <int N>
void low(const arn_half_dots& d, int64_t first) {
  float* out = d.out + first * ARN_HALF_LANES;
  const int64_t row = 4 * d.out_row, a_row = 2 * d.a_row, panel = d.panel;
  if (d.add != 0) {
    _tile_loadd(0, out, row);
    if constexpr (N > 1) _tile_loadd(1, out + 16, row);
    if constexpr (N > 2) _tile_loadd(2, out + 32, row);
    if constexpr (N > 3) _tile_loadd(3, out + 48, row);
  } else {
    zero_low<N>();
  }
  walk(d, first, [&](const uint16_t* a, const uint16_t* b, bool fresh) __attribute__((always_inline)) {
    if (fresh) _tile_loadd(4, a, a_row);
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (N > 1) {
      _tile_loadd(7, b + panel, 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (N > 2) {
      _tile_loadd(6, b + 2 * panel, 64);
      _tile_dpbf16ps(2, 4, 6);
    }
    if constexpr (N > 3) {
      _tile_loadd(7, b + 3 * panel, 64);
      _tile_dpbf16ps(3, 4, 7);
    }
  });
  store_low<N>(out, row);
}

template <int N>
void high(const arn_half_dots& d, int64_t first) {
  float* out = d.out + first * ARN_HALF_LANES;
  float* under = out + 16 * d.out_row;
  const int64_t row = 4 * d.out_row, a_row = 2 * d.a_row, panel = d.panel, lower = 16 * d.a_row;
  if (d.add != 0) {
    _tile_loadd(0, out, row);
    _tile_loadd(2, under, row);
    if constexpr (N > 1) {
      _tile_loadd(1, out + 16, row);
      _tile_loadd(3, under + 16, row);
    }
  } else {
    zero_high<N>();
  }
  walk(d, first, [&](const uint16_t* a, const uint16_t* b, bool fresh) __attribute__((always_inline)) {
    _tile_loadd(6, b, 64);
    if (fresh) _tile_loadd(4, a, a_row);
    _tile_dpbf16ps(0, 4, 6);
    if (fresh) _tile_loadd(5, a + lower, a_row);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (N > 1) {
      _tile_loadd(7, b + panel, 64);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  });
  store_high<N>(out, under, row);
}

void run(const arn_half_dots* d) {
  int64_t p = 0;
  if (d->rows > 16) {
    for (; p + 2 <= d->panels; p += 2) high<2>(*d, p);
    if (p < d->panels) high<1>(*d, p);
    return;
  }
  for (; p + 4 <= d->panels; p += 4) low<4>(*d, p);
  if (p + 2 <= d->panels) {
    low<2>(*d, p);
    p += 2;
  }
  if (p < d->panels) low<1>(*d, p);
}

inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffff : n <= 0 ? 0 : (1 << n) - 1); }

int32_t nearest_f32(const void* from, int64_t n, uint16_t* const* plane) {
  const float* at = static_cast<const float*>(from);
  uint16_t* to = plane[0];
  int64_t k = 0;
  for (; k + 32 <= n; k += 32)
    _mm512_storeu_si512(to + k, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(at + k + 16), _mm512_loadu_ps(at + k)));
  if (k == n) return 1;
  const __m512 low = _mm512_maskz_loadu_ps(first_lanes(n - k), at + k);
  const __m512 high = _mm512_maskz_loadu_ps(first_lanes(n - k - 16), at + k + 16);
  _mm512_storeu_si512(to + k, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  return 1;
}

inline __m512 widened(__m256i bits) {
  return (__m512)_mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, bits), 16);
}

// 32 numbers. The second plane is what the first leaves, which a bfloat16 holds.
inline void split_two(const uint16_t* at, uint16_t* first, uint16_t* second) {
  const auto load = [](const uint16_t* p) __attribute__((always_inline)) {
    return _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  };
  const __m512 low = load(at), high = load(at + 16);
  const __m512i near = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  _mm512_storeu_si512(first, near);
  const auto stored = [&](int half) __attribute__((always_inline)) {
    return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first + 16 * half)));
  };
  _mm512_storeu_si512(second, (__m512i)_mm512_cvtne2ps_pbh(high - stored(1), low - stored(0)));
}

int32_t split_f16(const void* from, int64_t n, uint16_t* const* plane) {
  const uint16_t* at = static_cast<const uint16_t*>(from);
  const __m512i size = _mm512_set1_epi16(0x7fff);
  __m512i most = _mm512_setzero_si512();
  int64_t k = 0;
  for (; k + 32 <= n; k += 32) {
    const __m512i x = _mm512_loadu_si512(at + k);
    most = _mm512_max_epu16(most, _mm512_and_si512(x, size));
    split_two(at + k, plane[0] + k, plane[1] + k);
  }
  if (k < n) {
    alignas(64) uint16_t some[32] = {};
    __builtin_memcpy(some, at + k, static_cast<size_t>(n - k) * 2);
    most = _mm512_max_epu16(most, _mm512_and_si512(_mm512_load_si512(some), size));
    split_two(some, plane[0] + k, plane[1] + k);
  }
  return _mm512_cmpge_epu16_mask(most, _mm512_set1_epi16(0x7c00)) == 0 ? 1 : 0;
}

const arn_half_kernel kKernel = {"amx", nearest_f32, split_f16, configure_product, run, release_tiles, 1};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_half_kernel* ARN_CONCAT(arn_half_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }

// Four chains of tile products, `rounds` times; returns the operations done: two a product.
extern "C" double ARN_CONCAT(arn_peak_dots_, ARN_TIER_NAME, )(int64_t rounds, int32_t* sink) {
  using namespace ARN_NS;
  return peak_of_tiles(rounds, 2 * 32, sink, []() __attribute__((always_inline)) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  });
}
