#include "kernels/tile/lookup.h"

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

namespace ARN_NS {
namespace {

constexpr int64_t kPart = 64;  // bytes of one run of the program
constexpr int64_t kScratch = ARN_TILE_MAX_REGS * (kPart * 8 + ARN_ALIGN) + kPart * 8;  // registers, raw elements

}  // namespace

bool tabulate(const arn_bind_args* args, uint8_t* table) {
  const arn_tile& t = *args->tile;
  if (t.n_in != 1 || t.n_out != 1 || args->n_in != 1 || args->n_out != 1) return false;
  const arn_desc& x = args->operand[0];
  if (x.dtype == ARN_NONE || element_bytes(x.dtype) != 1 || element_bytes(args->operand[1].dtype) != 1) return false;
  arn_desc part[2];
  for (int i = 0; i < 2; ++i) {
    part[i].dtype = args->operand[i].dtype;
    part[i].rank = 1;
    part[i].dims[0] = kPart;
    part[i].strides[0] = 1;
  }
  arn_bind_args all = *args;
  all.operand = part;
  TileCore core;
  TileWalk walk;
  if (tile_bind_program(&all, false, &core, &walk) != ARN_OK) return false;
  walk.n_row = 0;
  walk.n_col = 1;
  tile_set_walk(walk, &core);
  bool needs[ARN_TILE_MAX_REGS];
  for (bool& n : needs) n = true;
  tile_set_registers(&core, needs, kPart);
  alignas(ARN_ALIGN) char scratch[kScratch];
  if (core.scratch_bytes > kScratch) return false;
  for (int64_t first = 0; first < 256; first += kPart) {
    uint8_t bytes[kPart];
    for (int64_t i = 0; i < kPart; ++i) bytes[i] = static_cast<uint8_t>(first + i);
    void* operand[2] = {bytes, table + first};
    tile_begin(core, operand, scratch);
    if (tile_run(core, operand, 0, 1, 0, kPart, nullptr, 0, scratch) != ARN_OK) return false;
  }
  return true;
}

void look_up(int64_t n, uint8_t* dst, const uint8_t* src, const uint8_t* table) {
  int64_t i = 0;
#if defined(__AVX512BW__)
  // The table as 128 words, of which the index without its lowest bit picks one and that bit the byte.
  const __m512i a = _mm512_loadu_si512(table), b = _mm512_loadu_si512(table + 64);
  const __m512i c = _mm512_loadu_si512(table + 128), d = _mm512_loadu_si512(table + 192);
  const __m512i low_byte = _mm512_set1_epi16(0xff), odd = _mm512_set1_epi16(1), top = _mm512_set1_epi16(0x80);
  const auto pick = [&](__m512i index) {
    const __m512i word = _mm512_srli_epi16(index, 1);
    const __m512i low = _mm512_permutex2var_epi16(a, word, b), high = _mm512_permutex2var_epi16(c, word, d);
    const __m512i both = _mm512_mask_blend_epi16(_mm512_test_epi16_mask(index, top), low, high);
    return _mm512_srlv_epi16(both, _mm512_slli_epi16(_mm512_and_si512(index, odd), 3));
  };
  const auto results = [&](__m512i x) {
    const __m512i even = _mm512_and_si512(pick(_mm512_and_si512(x, low_byte)), low_byte);
    const __m512i other = _mm512_slli_epi16(pick(_mm512_srli_epi16(x, 8)), 8);
    return _mm512_or_si512(even, other);
  };
  for (; i + 64 <= n; i += 64) _mm512_storeu_si512(dst + i, results(_mm512_loadu_si512(src + i)));
  if (i == n) return;
  const __mmask64 rest = ~__mmask64{0} >> (64 - (n - i));
  _mm512_mask_storeu_epi8(dst + i, rest, results(_mm512_maskz_loadu_epi8(rest, src + i)));
#else
  for (; i + 8 <= n; i += 8) {
    uint64_t x, y = 0;
    __builtin_memcpy(&x, src + i, 8);
    for (int k = 0; k < 64; k += 8) y |= static_cast<uint64_t>(table[x >> k & 0xff]) << k;
    __builtin_memcpy(dst + i, &y, 8);
  }
  for (; i < n; ++i) dst[i] = table[src[i]];
#endif
}

}  // namespace ARN_NS
