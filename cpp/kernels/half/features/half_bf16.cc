// Products of bfloat16 numbers by AVX512-BF16: each lane adds the products of a pair.
#include <immintrin.h>

#include "kernels/half/dots.h"
#include "kernels/kernel.h"

namespace ARN_NS {
namespace {

constexpr int kRows = 8, kPanels = 3;

template <int MR, int NP>
void tile(const arn_half_dots& d, int64_t row, int64_t first) {
  float* out = d.out + row * d.out_row + first * ARN_HALF_LANES;
  const uint16_t *a = d.a[0] + row * d.a_row, *b = d.b[0] + first * d.panel;
  __m512 sum[MR][NP];
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 3
    for (int p = 0; p < NP; ++p)
      sum[r][p] = d.add != 0 ? _mm512_loadu_ps(out + r * d.out_row + p * ARN_HALF_LANES) : _mm512_setzero_ps();
  for (int64_t pair = d.steps * (ARN_HALF_STEP / 2); pair > 0; --pair, a += 2, b += 2 * ARN_HALF_LANES) {
    __m512bh bv[NP];
#pragma GCC unroll 3
    for (int p = 0; p < NP; ++p) bv[p] = (__m512bh)_mm512_loadu_si512(b + p * d.panel);
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r) {
      int32_t two;
      __builtin_memcpy(&two, a + r * d.a_row, 4);
      const __m512bh av = (__m512bh)_mm512_set1_epi32(two);
#pragma GCC unroll 3
      for (int p = 0; p < NP; ++p) sum[r][p] = _mm512_dpbf16_ps(sum[r][p], av, bv[p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r)
#pragma GCC unroll 3
    for (int p = 0; p < NP; ++p) _mm512_storeu_ps(out + r * d.out_row + p * ARN_HALF_LANES, sum[r][p]);
}

template <int NP>
void rows_of(const arn_half_dots& d, int64_t row, int64_t rows, int64_t first) {
  switch (rows) {
    case 1:
      return tile<1, NP>(d, row, first);
    case 2:
      return tile<2, NP>(d, row, first);
    case 3:
      return tile<3, NP>(d, row, first);
    case 4:
      return tile<4, NP>(d, row, first);
    case 5:
      return tile<5, NP>(d, row, first);
    case 6:
      return tile<6, NP>(d, row, first);
    case 7:
      return tile<7, NP>(d, row, first);
    default:
      return tile<8, NP>(d, row, first);
  }
}

void run(const arn_half_dots* d) {
  for (int64_t p = 0; p < d->panels;) {
    const int64_t wide = min64(kPanels, d->panels - p);
    const int64_t tiles = ceil_div(d->rows, kRows);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = d->rows * t / tiles, rows = d->rows * (t + 1) / tiles - from;
      if (wide == 3)
        rows_of<3>(*d, from, rows, p);
      else if (wide == 2)
        rows_of<2>(*d, from, rows, p);
      else
        rows_of<1>(*d, from, rows, p);
    }
    p += wide;
  }
}

const arn_half_kernel kKernel = {"bf16", nullptr, nullptr, nullptr, run, nullptr, 0};

}  // namespace
}  // namespace ARN_NS

extern "C" const arn_half_kernel* ARN_CONCAT(arn_half_, ARN_TIER_NAME, )() { return &ARN_NS::kKernel; }
