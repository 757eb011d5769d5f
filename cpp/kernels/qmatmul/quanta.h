// From sums of 32 bits to real numbers, vector by vector.
#pragma once

#include "kernels/qmatmul/qgemm.h"
#include "simd/quanta.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;

typedef uint32_t v_u32 __attribute__((vector_size(ARN_VECTOR_BYTES)));

inline vi32 load_i32(const int32_t* p) { return *reinterpret_cast<const vi32u*>(p); }
inline void store_i32(int32_t* p, vi32 v) { *reinterpret_cast<vi32u*>(p) = v; }
inline vf32 to_float(vi32 x) { return __builtin_convertvector(x, vf32); }

inline vf32 limit(vf32 x, vf32 low, vf32 high) {
  const vf32 up = x < low ? low : x;
  return up > high ? high : up;
}

// A vector of sums as real numbers, or quanta; i: the columns they are of.
inline vf32 scaled(const int32_t* sums, const QColumns& c, int64_t i) {
  const vf32 v = to_float(load_i32(sums) + load_i32(c.add + i)) * load_f32(c.scale + i);
  return c.offset == nullptr ? v : v + load_f32(c.offset + i);
}

// What is added: elements of kAdded, ARN_NONE for nothing.
template <int kAdded>
struct Added {
  static constexpr int64_t kBytes = kAdded == ARN_NONE ? 0 : kAdded == ARN_F32 ? 4 : 1;
  vf32 scale, zero;
  explicit Added(const QFinish& f)
      : scale(splat_f32(f.added_scale)), zero(splat_f32(static_cast<float>(f.added_zero))) {}
  vf32 to(vf32 v, const void* added) const {
    if constexpr (kAdded == ARN_F32) return v + load_f32(static_cast<const float*>(added)) * scale;
    if constexpr (kAdded == ARN_U8) return v + (to_float(load_u8(added)) - zero) * scale;
    if constexpr (kAdded == ARN_I8) return v + (to_float(load_i8(added)) - zero) * scale;
    (void)added;
    return v;
  }
};

inline Quanta quanta_of(const QFinish& f) {
  const float inf = __builtin_inff();
  const bool limited = f.activation.limited != 0;
  return {f.out_dtype, f.out_zero, limited ? f.activation.low : -inf, limited ? f.activation.high : inf};
}

}  // namespace
}  // namespace ARN_NS
