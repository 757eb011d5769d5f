#include "kernels/blocks/form.h"
#include "kernels/tile/convert.h"
#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int64_t kLanes = 16;
constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer of |x| < 2^22 in the low bits

// Code i of a row of bits, the lowest first.
inline uint8_t code_at(const uint8_t* row, int64_t i, int64_t bits) {
  const int64_t at = i * bits, shift = at % 8;
  uint32_t two = row[at / 8];
  if (shift + bits > 8) two |= static_cast<uint32_t>(row[at / 8 + 1]) << 8;
  return static_cast<uint8_t>(two >> shift & ((1u << bits) - 1));
}

}  // namespace

bool block_form(const arn_block_matmul_params& p, BlockForm* f) {
  const bool power = p.block >= 16 && (p.block & (p.block - 1)) == 0 && p.block <= (1 << 20);
  if ((p.bits != 2 && p.bits != 3 && p.bits != 4 && p.bits != 8) || !power || p.k < 1 || p.n < 1) return false;
  if (p.k > ARN_MAX_BYTES || p.n > ARN_MAX_BYTES / round_up(p.k, p.block)) return false;
  f->stored_bits = p.bits;
  f->bits = p.bits == 3 ? 4 : p.bits;
  f->block = p.block;
  f->k = p.k;
  f->n = p.n;
  f->blocks = ceil_div(p.k, p.block);
  f->panels = ceil_div(p.n, kLanes);
  f->panel = f->blocks * f->block * f->bits / 8 * kLanes;
  f->per_panel = f->blocks * kLanes;
  return true;
}

int64_t stored_zero_bytes(const BlockForm& f) { return ceil_div(f.blocks * f.stored_bits, 8); }

void pack_codes(const BlockForm& f, const uint8_t* stored, uint8_t* dst) {
  const int64_t block_bytes = f.block * f.stored_bits / 8, groups = 8 / f.bits, per_line = 4 * groups;
  const int64_t lines = f.block / per_line;
  __builtin_memset(dst, 0, static_cast<size_t>(f.panels * f.panel));
  for (int64_t j = 0; j < f.n; ++j) {
    uint8_t* to = dst + j / kLanes * f.panel + j % kLanes * 4;
    const uint8_t* from = stored + j * f.blocks * block_bytes;
    for (int64_t b = 0; b < f.blocks; ++b, from += block_bytes)
      for (int64_t l = 0; l < lines; ++l, to += 64)
        for (int64_t x = 0; x < per_line; ++x) {
          const uint8_t code = code_at(from, l * per_line + x, f.stored_bits);
          to[x % 4] = static_cast<uint8_t>(to[x % 4] | code << (x / 4 * f.bits));
        }
  }
}

void pack_scales(const BlockForm& f, const void* stored, int32_t dtype, float* dst) {
  const int64_t size = element_bytes(dtype);
  __builtin_memset(dst, 0, static_cast<size_t>(f.panels * f.per_panel) * 4);
  for (int64_t j = 0; j < f.n; ++j) {
    float* to = dst + j / kLanes * f.per_panel + j % kLanes;
    const char* from = static_cast<const char*>(stored) + j * f.blocks * size;
    for (int64_t b = 0; b < f.blocks; ++b) {
      if (dtype == ARN_F32)
        __builtin_memcpy(to + b * kLanes, from + b * size, 4);
      else
        widen(dtype, 1, to + b * kLanes, from + b * size);
    }
  }
}

void pack_zeros(const BlockForm& f, const uint8_t* stored, uint8_t* dst) {
  const int64_t bytes = stored_zero_bytes(f);
  __builtin_memset(dst, 0, static_cast<size_t>(f.panels * f.per_panel));
  for (int64_t j = 0; j < f.n; ++j)
    for (int64_t b = 0; b < f.blocks; ++b)
      dst[j / kLanes * f.per_panel + b * kLanes + j % kLanes] = code_at(stored + j * bytes, b, f.stored_bits);
}

void quantize_rows(const BlockForm& f, const float* a, int64_t row, int64_t rows, int64_t tall, int32_t zero,
                   int8_t* bytes, float* scales, float* sums, int32_t* shifts) {
  constexpr int64_t L = kLanesF32;
  const int64_t tiles = ceil_div(rows, tall);
  for (int64_t t = 0; t < tiles; ++t)
    for (int64_t b = 0; b < f.blocks; ++b)
      for (int64_t r = 0; r < tall; ++r) {
        const int64_t at = (t * f.blocks + b) * tall + r, i = t * tall + r;
        int8_t* to = bytes + at * f.block;
        if (i >= rows) {
          __builtin_memset(to, 0, static_cast<size_t>(f.block));
          scales[at] = sums[at] = 0;
          shifts[at] = 0;
          continue;
        }
        const float* from = a + i * row + b * f.block;
        const int64_t n = min64(f.block, f.k - b * f.block), whole = n / L * L;
        vf32 high{};
        float most = 0;
        for (int64_t k = 0; k < whole; k += L) {
          const vf32 x = (vf32)((vi32)load_f32(from + k) & INT32_MAX);
          high = x > high ? x : high;
        }
        for (int64_t l = 0; l < L; ++l) most = high[l] > most ? high[l] : most;
        for (int64_t k = whole; k < n; ++k) {
          const float x = __builtin_fabsf(from[k]);
          most = x > most ? x : most;
        }
        const float scale = most / 127.0f, inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        vi32 total{};
        for (int64_t k = 0; k < f.block; k += L) {
          vf32 x{};
          if (k < whole)
            x = load_f32(from + k);
          else if (k < n)
            __builtin_memcpy(&x, from + k, static_cast<size_t>(n - k) * 4);
          vf32 q = x * inverse;
          q = q < 127.0f ? q : splat_f32(127.0f);
          q = q > -127.0f ? q : splat_f32(-127.0f);
          const vi32 whole_q = (vi32)(q + kWhole) - (vi32)splat_f32(kWhole);
          store_bytes(to + k, whole_q);
          total += whole_q;
        }
        int32_t sum = 0;
        for (int64_t l = 0; l < L; ++l) sum += total[l];
        scales[at] = scale;
        sums[at] = static_cast<float>(sum);
        shifts[at] = -zero * sum;
      }
}

}  // namespace ARN_NS
