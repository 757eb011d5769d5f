// Integer products by AMX tiles: 16 x 16 sums, 64 bytes of k a step. Also the rate of its dot products.
#include <immintrin.h>

#include "kernels/kernel.h"
#include "kernels/qmatmul/dots.h"

namespace ARN_NS {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t column_bytes[16];
  uint8_t rows[16];
};

// Tiles 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 columns of B. Up to 16 rows the sums lie side by side; above, 0
// and 1 have the first 16 rows, 2 and 3 the rest.
void configure(int64_t rows) {
  TileConfig c{};
  c.palette = 1;
  for (int t = 0; t < 8; ++t) c.column_bytes[t] = 64;
  const uint8_t upper = static_cast<uint8_t>(rows > 16 ? 16 : rows);
  const uint8_t lower = rows > 16 ? static_cast<uint8_t>(rows - 16) : upper;
  const uint8_t height[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
  for (int t = 0; t < 8; ++t) c.rows[t] = height[t];
  __asm__ volatile("ldtilecfg %0" : : "m"(c));
}

void release() { _tile_release(); }

#define ARN_DOT(sum, a, b)     \
  do {                         \
    if constexpr (kSigned)     \
      _tile_dpbssd(sum, a, b); \
    else                       \
      _tile_dpbusd(sum, a, b); \
  } while (0)

// Calls step(a, b, left) for every 64 bytes of k; `left` are those that follow in the tap.
template <typename Step>
inline void walk(const arn_dots& d, const int8_t* b, Step&& step) {
  for (int64_t t = 0; t < d.taps; ++t) {
    const uint8_t* a = d.a + (d.tap != nullptr ? d.tap[t] : 0);
    for (int64_t g = 0; g < d.groups; g += 16) {
      step(a, b);
      a += 64;
      b += 1024;
    }
  }
}

template <bool kSigned, int N>
void low(const arn_dots& d, const int8_t* b, int32_t* out) {
  _tile_zero(0);
  if constexpr (N > 1) _tile_zero(1);
  if constexpr (N > 2) _tile_zero(2);
  if constexpr (N > 3) _tile_zero(3);
  const int64_t panel = d.panel;
  walk(d, b, [&](const uint8_t* a, const int8_t* at) __attribute__((always_inline)) {
    _tile_loadd(4, a, d.a_row);
    _tile_loadd(6, at, 64);
    ARN_DOT(0, 4, 6);
    if constexpr (N > 1) {
      _tile_loadd(7, at + panel, 64);
      ARN_DOT(1, 4, 7);
    }
    if constexpr (N > 2) {
      _tile_loadd(6, at + 2 * panel, 64);
      ARN_DOT(2, 4, 6);
    }
    if constexpr (N > 3) {
      _tile_loadd(7, at + 3 * panel, 64);
      ARN_DOT(3, 4, 7);
    }
  });
  const int64_t row = 4 * d.out_row;
  _tile_stored(0, out, row);
  if constexpr (N > 1) _tile_stored(1, out + 16, row);
  if constexpr (N > 2) _tile_stored(2, out + 32, row);
  if constexpr (N > 3) _tile_stored(3, out + 48, row);
}

template <bool kSigned, int N>
void high(const arn_dots& d, const int8_t* b, int32_t* out) {
  _tile_zero(0);
  _tile_zero(2);
  if constexpr (N > 1) {
    _tile_zero(1);
    _tile_zero(3);
  }
  const int64_t panel = d.panel, lower = 16 * d.a_row;
  walk(d, b, [&](const uint8_t* a, const int8_t* at) __attribute__((always_inline)) {
    _tile_loadd(6, at, 64);
    _tile_loadd(4, a, d.a_row);
    ARN_DOT(0, 4, 6);
    _tile_loadd(5, a + lower, d.a_row);
    ARN_DOT(2, 5, 6);
    if constexpr (N > 1) {
      _tile_loadd(7, at + panel, 64);
      ARN_DOT(1, 4, 7);
      ARN_DOT(3, 5, 7);
    }
  });
  const int64_t row = 4 * d.out_row;
  int32_t* under = out + 16 * d.out_row;
  _tile_stored(0, out, row);
  _tile_stored(2, under, row);
  if constexpr (N > 1) {
    _tile_stored(1, out + 16, row);
    _tile_stored(3, under + 16, row);
  }
}

template <bool kSigned>
void run_signed(const arn_dots& d) {
  int64_t p = 0;
  if (d.rows > 16) {
    for (; p + 2 <= d.panels; p += 2) high<kSigned, 2>(d, d.b + p * d.panel, d.out + p * 16);
    if (p < d.panels) high<kSigned, 1>(d, d.b + p * d.panel, d.out + p * 16);
    return;
  }
  for (; p + 4 <= d.panels; p += 4) low<kSigned, 4>(d, d.b + p * d.panel, d.out + p * 16);
  if (p + 2 <= d.panels) {
    low<kSigned, 2>(d, d.b + p * d.panel, d.out + p * 16);
    p += 2;
  }
  if (p < d.panels) low<kSigned, 1>(d, d.b + p * d.panel, d.out + p * 16);
}

void run(const arn_dots* d) {
  if (d->a_signed != 0)
    run_signed<true>(*d);
  else
    run_signed<false>(*d);
}

const arn_dots_kernel kKernel = {"amx", 32, 4, 64, ARN_DOT_EITHER, 0, configure, run, release};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_dots_kernel* ARN_CONCAT(arn_dots_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }

// Four chains of tile products, `rounds` times; returns the operations done: two a product of bytes.
extern "C" double ARN_CONCAT(arn_peak_dots_, ARN_TIER_NAME, )(int64_t rounds, int32_t* sink) {
  using namespace ARN_NS;
  configure(32);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t r = 0; r < rounds; ++r) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  alignas(64) int32_t sums[16 * 16];
  _tile_stored(0, sums, 64);
  release();
  sink[0] = sums[0];
  return static_cast<double>(rounds) * 4 * 2 * 16 * 16 * 64;
}
