// Conversions between compute types. Float to integer truncates; what does not fit (ONNX leaves it open) becomes what
// the processor's conversion to i32 or i64 gives. Anything to bool is x != 0, so NaN is true.
#include "kernels/tile/functions.h"

namespace ARN_NS {
namespace {

template <typename F>
inline uint64_t to_u64(F x) {  // by way of i64, so that every path gives the same bytes
  constexpr F kHalf = static_cast<F>(9223372036854775808.0);
  if (x != x) return uint64_t(1) << 63;
  return x < kHalf ? static_cast<uint64_t>(static_cast<int64_t>(x))
                   : static_cast<uint64_t>(static_cast<int64_t>(x - kHalf)) ^ (uint64_t(1) << 63);
}

// Toward zero, the last bit set when anything was lost: no later rounding to at most 22 bits can see a false tie.
inline float round_to_odd(double x) {
  float f = static_cast<float>(x);
  if (!(f - f == 0.0f)) {  // overflow of a finite value must stay finite here, NaN and Inf pass
    if (x - x == 0.0) return x < 0 ? -3.40282346638528859812e38f : 3.40282346638528859812e38f;
    return f;
  }
  const double back = static_cast<double>(f);
  uint32_t bits;
  __builtin_memcpy(&bits, &f, 4);
  if (__builtin_fabs(back) > __builtin_fabs(x)) --bits;  // one step toward zero; f is not zero here
  if (back != x) bits |= 1;
  __builtin_memcpy(&f, &bits, 4);
  return f;
}

}  // namespace

#define ARN_CAST(from, to, expr)                                                               \
  void cast_##from##_##to(int64_t n, void* dst, const void* pa, const void*, const void*) {    \
    loop1<t_##to, t_##from>(n, dst, pa, [](t_##from a) { return static_cast<t_##to>(expr); }); \
  }

ARN_CAST(f32, f64, a)
ARN_CAST(f32, i32, a)
ARN_CAST(f32, i64, a)
ARN_CAST(f32, u64, to_u64(a))
ARN_CAST(f32, bool, a != 0)
ARN_CAST(f64, f32, a)
ARN_CAST(f64, i32, a)
ARN_CAST(f64, i64, a)
ARN_CAST(f64, u64, to_u64(a))
ARN_CAST(f64, bool, a != 0)
ARN_CAST(i32, f32, a)
ARN_CAST(i32, f64, a)
ARN_CAST(i32, i64, a)
ARN_CAST(i32, u64, static_cast<int64_t>(a))
ARN_CAST(i32, bool, a != 0)
ARN_CAST(i64, f32, a)
ARN_CAST(i64, f64, a)
ARN_CAST(i64, i32, a)
ARN_CAST(i64, u64, a)
ARN_CAST(i64, bool, a != 0)
ARN_CAST(u64, f32, a)
ARN_CAST(u64, f64, a)
ARN_CAST(u64, i32, a)
ARN_CAST(u64, i64, a)
ARN_CAST(u64, bool, a != 0)
ARN_CAST(bool, f32, a != 0)
ARN_CAST(bool, f64, a != 0)
ARN_CAST(bool, i32, a != 0)
ARN_CAST(bool, i64, a != 0)
ARN_CAST(bool, u64, a != 0)

void cast_odd_f64(int64_t n, void* dst, const void* pa, const void*, const void*) {
  loop1<float, double>(n, dst, pa, round_to_odd);
}

}  // namespace ARN_NS
