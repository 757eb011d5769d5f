// Packs B, and makes what a block of columns needs beside its panels.
#include "kernels/qmatmul/qgemm.h"
#include "simd/vector.h"

namespace ARN_NS {
namespace {

constexpr int64_t kLanes = ARN_DOT_LANES, kGroup = ARN_DOT_GROUP, kStep = ARN_DOT_PANEL_STEP;

int64_t groups_of(int64_t k) { return ceil_div(k, kGroup); }

typedef uint8_t v16 __attribute__((vector_size(16)));
typedef uint8_t v16u __attribute__((vector_size(16), aligned(1), may_alias));

v16 load16(const uint8_t* p) { return *reinterpret_cast<const v16u*>(p); }
void store16(uint8_t* p, v16 v) { *reinterpret_cast<v16u*>(p) = v; }

#if defined(__clang__)
#define ARN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ARN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, v16{__VA_ARGS__})
#endif
v16 low(v16 a, v16 b) { return ARN_SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
v16 high(v16 a, v16 b) { return ARN_SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); }
#undef ARN_SHUFFLE

// Four rows of 16 columns, interleaved.
void weave(uint8_t* to, v16 r0, v16 r1, v16 r2, v16 r3, uint8_t flip) {
  const v16 x = v16{} + flip;
  const v16 even_low = low(r0, r2), odd_low = low(r1, r3), even_high = high(r0, r2), odd_high = high(r1, r3);
  store16(to, low(even_low, odd_low) ^ x);
  store16(to + 16, high(even_low, odd_low) ^ x);
  store16(to + 32, low(even_high, odd_high) ^ x);
  store16(to + 48, high(even_high, odd_high) ^ x);
}

// One group of k of a panel; `ks` of its rows and `cols` of its columns exist, the others are zero.
void pack_group(uint8_t* to, const uint8_t* src, int64_t ks, int64_t cols, int64_t k_stride, int64_t n_stride,
                uint8_t flip) {
  for (int64_t j = 0; j < kLanes; ++j)
    for (int64_t k = 0; k < kGroup; ++k)
      to[j * kGroup + k] =
          j < cols && k < ks ? static_cast<uint8_t>(src[k * k_stride + j * n_stride] ^ flip) : uint8_t(0);
}

// Sums of the 16 columns of a panel.
void sum_panel(int32_t* sums, const uint8_t* panel, int64_t groups) {
  int32_t total[kLanes] = {};
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t j = 0; j < kLanes; ++j) {
      const int8_t* x = reinterpret_cast<const int8_t*>(panel + g * kStep + j * kGroup);
      total[j] += x[0] + x[1] + x[2] + x[3];
    }
  for (int64_t j = 0; j < kLanes; ++j) sums[j] = total[j];
}

int32_t byte_at(const QPerColumn& p, int64_t j, bool is_signed) {
  if (p.count == 0) return 0;
  const int64_t at = p.count == 1 ? 0 : j * p.step;
  return is_signed ? static_cast<const int8_t*>(p.at)[at] : static_cast<const uint8_t*>(p.at)[at];
}
template <typename T>
T value_at(const QPerColumn& p, int64_t j) {
  return static_cast<const T*>(p.at)[p.count == 1 ? 0 : p.step == 1 ? j : j * p.step];
}

// to[j] = value(j), which is the same for all when there is at most one.
template <typename T, typename Value>
void each_column(const QPerColumn& p, T* to, int64_t n, Value&& value) {
  if (p.count <= 1) {
    const T same = n > 0 ? value(0) : T{};
    for (int64_t j = 0; j < n; ++j) to[j] = same;
    return;
  }
  for (int64_t j = 0; j < n; ++j) to[j] = value(j);
}

}  // namespace

int64_t qgemm_sums(int64_t k, int64_t n) { return ceil_div(n, kLanes) * groups_of(k) * kStep; }

int64_t qgemm_packed_bytes(int64_t k, int64_t n) {
  // Kernels may read 15 groups past the last panel: the sums lie there, and are at least one group.
  const int64_t sums = ceil_div(n, kLanes) * kLanes * 4, beyond = groups_of(k) % 16 == 0 ? 0 : 15 * kStep;
  return qgemm_sums(k, n) + max64(sums, beyond);
}

void qgemm_pack(void* dst, const void* src, int64_t k, int64_t n, int64_t k_stride, int64_t n_stride, bool b_signed) {
  const uint8_t flip = b_signed ? 0 : 0x80, *from = static_cast<const uint8_t*>(src);
  uint8_t* to = static_cast<uint8_t*>(dst);
  const int64_t groups = groups_of(k), whole = k / kGroup;
  int32_t* sums = reinterpret_cast<int32_t*>(to + qgemm_sums(k, n));
  const int64_t packed = qgemm_sums(k, n) + ceil_div(n, kLanes) * kLanes * 4;
  __builtin_memset(to + packed, 0, static_cast<size_t>(qgemm_packed_bytes(k, n) - packed));
  for (int64_t p = 0; p * kLanes < n; ++p) {
    const int64_t cols = min64(kLanes, n - p * kLanes);
    const uint8_t* columns = from + p * kLanes * n_stride;
    uint8_t* panel = to + p * groups * kStep;
    int64_t g = 0;
    if (cols == kLanes && n_stride == 1) {
      for (; g < whole; ++g) {
        const uint8_t* at = columns + g * kGroup * k_stride;
        weave(panel + g * kStep, load16(at), load16(at + k_stride), load16(at + 2 * k_stride),
              load16(at + 3 * k_stride), flip);
      }
    } else if (k_stride == 1) {
      const uint32_t flips = flip * 0x01010101u;
      for (int64_t j = 0; j < kLanes; ++j) {
        const uint8_t* column = columns + j * n_stride;
        for (g = 0; g < whole; ++g) {
          uint32_t four = 0;
          if (j < cols) {
            __builtin_memcpy(&four, column + g * kGroup, 4);
            four ^= flips;
          }
          __builtin_memcpy(panel + g * kStep + j * kGroup, &four, 4);
        }
      }
      g = whole;
    }
    for (; g < groups; ++g)
      pack_group(panel + g * kStep, columns + g * kGroup * k_stride, min64(kGroup, k - g * kGroup), cols, k_stride,
                 n_stride, flip);
    sum_panel(sums + p * kLanes, panel, groups);
  }
}

int64_t qgemm_column_bytes(int64_t n) { return 4 * round_up(max64(n, 1), kLanes) * 4; }

QColumns qgemm_columns(const QGemm& g, const QColumnSource& s, int64_t first, int64_t n, void* memory) {
  const int64_t wide = round_up(max64(n, 1), kLanes);
  int32_t *add = static_cast<int32_t*>(memory), *zeros = add + wide;
  float *scale = reinterpret_cast<float*>(zeros + wide), *offset = scale + wide;
  const int32_t shift = g.flips == 0 ? 0 : g.a_signed != 0 ? 128 : -128;
  const uint32_t a_zero = static_cast<uint32_t>(s.a_zero + shift), k = static_cast<uint32_t>(g.k);
  const int32_t b_shift = s.b_signed != 0 ? 0 : 128;
  const bool sums_bias = s.bias.count > 0 && s.bias_dtype == ARN_I32, real_bias = s.bias.count > 0 && !sums_bias;
  int32_t any_zero = 0;
  each_column(s.b_zero, zeros, n, [&](int64_t j) { return byte_at(s.b_zero, first + j, s.b_signed != 0) - b_shift; });
  for (int64_t j = 0; j < n; ++j) any_zero |= zeros[j];
  if (sums_bias)
    each_column(s.bias, add, n, [&](int64_t j) { return value_at<int32_t>(s.bias, first + j); });
  else
    __builtin_memset(add, 0, static_cast<size_t>(n) * 4);
  for (int64_t j = 0; j < n; ++j) {
    const uint32_t sum = static_cast<uint32_t>(s.sums[j]) - k * static_cast<uint32_t>(zeros[j]);
    add[j] = static_cast<int32_t>(static_cast<uint32_t>(add[j]) - a_zero * sum);
  }
  each_column(s.b_scale, scale, n, [&](int64_t j) {
    return (s.b_scale.count > 0 ? s.a_scale * value_at<float>(s.b_scale, first + j) : s.a_scale) / s.per_quantum;
  });
  if (real_bias)
    each_column(s.bias, offset, n, [&](int64_t j) { return value_at<float>(s.bias, first + j) / s.per_quantum; });
  for (int64_t j = n; j < wide; ++j) {
    add[j] = zeros[j] = 0;
    scale[j] = offset[j] = 0;
  }
  return {add, any_zero != 0 ? zeros : nullptr, scale, real_bias ? offset : nullptr};
}

}  // namespace ARN_NS
