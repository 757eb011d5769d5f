// Integer products by AMX tiles: 16 x 16 sums, 64 bytes of k a step. Also the rate of its dot products.
#include "simd/amx.h"

#include "kernels/kernel.h"
#include "kernels/qmatmul/dots.h"

namespace ARN_NS {
namespace {

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
  zero_low<N>();
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
  store_low<N>(out, row);
}

template <bool kSigned, int N>
void high(const arn_dots& d, const int8_t* b, int32_t* out) {
  zero_high<N>();
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
  store_high<N>(out, under, row);
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

const arn_dots_kernel kKernel = {"amx", 32, 4, 64, ARN_DOT_EITHER, 0, 1, configure_product_of, run, release_tiles};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_dots_kernel* ARN_CONCAT(arn_dots_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }

// Four chains of tile products, `rounds` times; returns the operations done: two a product of bytes.
extern "C" double ARN_CONCAT(arn_peak_dots_, ARN_TIER_NAME, )(int64_t rounds, int32_t* sink) {
  using namespace ARN_NS;
  return peak_of_tiles(rounds, 2 * 64, sink, []() __attribute__((always_inline)) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  });
}
