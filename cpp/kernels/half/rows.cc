// Rows of A made ready, and how a product is computed.
#include "kernels/half/half.h"
#include "kernels/half/vectors.h"

extern "C" {
#ifdef ARN_HAS_BF16
const arn_half_kernel* arn_half_v4_bf16();
#endif
#ifdef ARN_HAS_AMX_BF16
const arn_half_kernel* arn_half_v4_amx_bf16();
#endif
}

namespace ARN_NS {
namespace {

[[maybe_unused]] constexpr int64_t kRowsForTiles = 5;  // from so many on planes are worth being made

template <int kType, int kPlanes>
int32_t split_row(const void* from, int64_t n, uint16_t* const* plane) {
  constexpr int64_t size = kType == ARN_F32 ? 4 : 2;
  const char* at = static_cast<const char*>(from);
  const int64_t padded = half_depth(n);
  Greatest met;
  hu32 part[kPlanes];
  int64_t k = 0;
  for (; k + L <= n; k += L) {
    const vf32 x = load_as_float<kType>(at + k * size);
    if (kPlanes > 1) met.meet(x);
    split<kPlanes>(x, part);
    for (int i = 0; i < kPlanes; ++i) store_bits(plane[i] + k, part[i] >> 16);
  }
  if (k < n) {
    alignas(64) char some[kVectorBytes] = {};
    __builtin_memcpy(some, at + k * size, static_cast<size_t>((n - k) * size));
    const vf32 x = load_as_float<kType>(some);
    if (kPlanes > 1) met.meet(x);
    split<kPlanes>(x, part);
    for (int i = 0; i < kPlanes; ++i) store_bits(plane[i] + k, part[i] >> 16);
    k += L;
  }
  for (; k < padded; k += L)
    for (int i = 0; i < kPlanes; ++i) store_bits(plane[i] + k, hu32{});
  return kPlanes == 1 || met.splits();
}

template <int kType, bool kRounded>
void widen_row(const void* from, int64_t n, float* to) {
  constexpr int64_t size = kType == ARN_F32 ? 4 : kType == ARN_I8 ? 1 : 2;
  const char* at = static_cast<const char*>(from);
  const auto value = [](const void* p) __attribute__((always_inline)) {
    const vf32 x = load_as_float<kType>(p);
    return kRounded ? (vf32)nearest_bf16(x) : x;
  };
  int64_t k = 0;
  for (; k + L <= n; k += L) store_f32(to + k, value(at + k * size));
  if (k == n) return;
  alignas(64) char some[kVectorBytes] = {};
  __builtin_memcpy(some, at + k * size, static_cast<size_t>((n - k) * size));
  const vf32 x = value(some);
  __builtin_memcpy(to + k, &x, static_cast<size_t>(n - k) * sizeof(float));
}

template <int kType>
arn_half_split split_of(int32_t planes) {
  return planes == 1 ? split_row<kType, 1> : planes == 2 ? split_row<kType, 2> : split_row<kType, 3>;
}
template <int kType>
HalfWiden widen_of(bool rounded) {
  return rounded ? widen_row<kType, true> : widen_row<kType, false>;
}

int32_t planes_of(int32_t dtype) { return dtype == ARN_F32 ? 3 : dtype == ARN_F16 ? 2 : 1; }

}  // namespace

arn_half_split half_split(const HalfGemm& g) {
  const arn_half_kernel* kernel = half_kernel(g);
  const int32_t dtype = g.a_dtype, planes = g.a_planes;
  if (kernel != nullptr && kernel->nearest_f32 != nullptr && dtype == ARN_F32 && planes == 1)
    return kernel->nearest_f32;
  if (kernel != nullptr && kernel->split_f16 != nullptr && dtype == ARN_F16 && planes == 2) return kernel->split_f16;
  return dtype == ARN_F32   ? split_of<ARN_F32>(planes)
         : dtype == ARN_F16 ? split_of<ARN_F16>(planes)
                            : split_of<ARN_BF16>(planes);
}

HalfWiden half_widen(int32_t dtype, bool rounded) {
  return dtype == ARN_F32   ? widen_of<ARN_F32>(rounded)
         : dtype == ARN_F16 ? widen_of<ARN_F16>(rounded)
         : dtype == ARN_I8  ? widen_of<ARN_I8>(rounded)
                            : widen_of<ARN_BF16>(rounded);
}

const arn_half_kernel* half_kernel(const HalfGemm& g) {
#ifdef ARN_HAS_AMX_BF16
  if (g.kernel == kHalfTiles) return arn_half_v4_amx_bf16();
#endif
#ifdef ARN_HAS_BF16
  if (g.kernel == kHalfVectors) return arn_half_v4_bf16();
#endif
  (void)g;
  return nullptr;
}

const char* half_kernel_name(const HalfGemm& g) {
  if (g.few != 0) return "few rows";
  const arn_half_kernel* kernel = half_kernel(g);
  return kernel != nullptr ? kernel->name : "floats";
}

HalfGemm half_choose(int64_t k, int64_t rows, int32_t a_dtype, int32_t b_dtype, bool rounded, bool packed,
                     const arn_target& target) {
  HalfGemm g{};
  g.k = k;
  g.panel = half_depth(k) * ARN_HALF_LANES;
  g.a_dtype = a_dtype;
  g.b_dtype = b_dtype;
  g.rounded = rounded ? 1 : 0;
  g.packed = packed ? half_packed_type(b_dtype, rounded) : int32_t(ARN_NONE);
  g.a_planes = rounded ? 1 : planes_of(a_dtype);
  g.b_planes = rounded ? 1 : planes_of(b_dtype);
  g.order = static_cast<int32_t>(max64(g.a_planes, g.b_planes)) - 1;
  g.kernel = kHalfFloats;
  g.few = packed && ARN_CHOICE("half/few rows", rows <= kHalfFew) ? 1 : 0;
#ifdef ARN_HAS_BF16
  if ((target.features & ARN_FEATURE_BF16) != 0 && g.a_planes + g.b_planes == 2 && ARN_CHOICE("half/bf16", true))
    g.kernel = kHalfVectors;
#endif
#ifdef ARN_HAS_AMX_BF16
  if ((target.features & ARN_FEATURE_AMX_BF16) != 0 && ARN_CHOICE("half/amx", rows >= kRowsForTiles))
    g.kernel = kHalfTiles;
#endif
  (void)target;
  // Even blocks, so short that a strip of rows stays in L1 while it meets all columns.
  const int64_t longest = g.kernel == kHalfFloats || g.a_planes == 1 ? 512 : 256;
  g.depth = half_depth(ceil_div(max64(k, 1), ceil_div(max64(k, 1), longest)));
  if (g.few != 0) g.depth = half_depth(max64(k, 1));
  return g;
}

HalfScratch half_scratch(const HalfGemm& g, int64_t rows, int64_t columns) {
  HalfScratch s{};
  const int64_t depth = half_depth(min64(g.depth, max64(g.k, 1))), most = min64(columns, kHalfColumns);
  const int64_t wide = half_panels(most) * ARN_HALF_LANES, strip = min64(kHalfStrip, max64(rows, 1));
  const bool floats = g.kernel == kHalfFloats || g.few != 0, kept = g.k > g.depth;
  const bool in_place = g.few != 0 || (half_in_place(g) && !floats);
  int64_t at = 0;
  const auto take = [&](int64_t bytes) {
    const int64_t here = at;
    at += round_up(bytes, ARN_ALIGN);
    return here;
  };
  s.row = depth + ARN_HALF_STEP;  // rows do not lie a power of two apart
  s.plane = round_up(max64(rows, 1), strip) * s.row;
  s.sums_row = g.few != 0 ? kHalfColumns : half_panels(kept ? columns : most) * ARN_HALF_LANES;
  s.rows = take(floats ? s.plane * 4 : s.plane * g.a_planes * 2);
  // As floats also where planes are usual: some numbers have none that are finite.
  s.strip = take(floats || g.a_planes + g.b_planes == 2 ? 0 : strip * s.row * 4);
  s.slab = take(in_place ? 0 : wide * depth * max64(2 * g.b_planes, 4));
  s.turned = take(g.packed != ARN_NONE ? 0 : ARN_HALF_LANES * depth * 4);
  s.sums = take((kept || floats ? rows : strip) * s.sums_row * 4);
  s.bytes = at;
  return s;
}

}  // namespace ARN_NS
