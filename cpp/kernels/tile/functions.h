// What the tile function sources share: declarations of the whole table, element types by name, the flat loops.
#pragma once

#include "simd/vector.h"

namespace ARN_NS {

#define ARN_TILE_FN(name, result, a, b, c) void name(int64_t, void*, const void*, const void*, const void*);
#include "kernels/tile/functions.inc"
#undef ARN_TILE_FN

typedef float t_f32;
typedef double t_f64;
typedef int32_t t_i32;
typedef int64_t t_i64;
typedef uint64_t t_u64;
typedef uint8_t t_bool;  // 0 or 1

// The next loop's iterations are independent: dst equals a source exactly or does not overlap it.
#ifdef __clang__
#define ARN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define ARN_INDEPENDENT _Pragma("GCC ivdep")
#endif

template <typename R, typename A, typename F>
static inline void loop1(int64_t n, void* dst, const void* pa, F f) {
  R* d = static_cast<R*>(dst);
  const A* a = static_cast<const A*>(pa);
  ARN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) d[i] = f(a[i]);
}

template <typename R, typename A, typename B, typename F>
static inline void loop2(int64_t n, void* dst, const void* pa, const void* pb, F f) {
  R* d = static_cast<R*>(dst);
  const A* a = static_cast<const A*>(pa);
  const B* b = static_cast<const B*>(pb);
  ARN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) d[i] = f(a[i], b[i]);
}

template <typename R, typename A, typename B, typename C, typename F>
static inline void loop3(int64_t n, void* dst, const void* pa, const void* pb, const void* pc, F f) {
  R* d = static_cast<R*>(dst);
  const A* a = static_cast<const A*>(pa);
  const B* b = static_cast<const B*>(pb);
  const C* c = static_cast<const C*>(pc);
  ARN_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) d[i] = f(a[i], b[i], c[i]);
}

// Define tile function <op>_<type> from an expression in a (b, c), of that type; T is the type, R the result type.
#define ARN_UNARY_TO(R_, op, type, expr)                                             \
  void op##_##type(int64_t n, void* dst, const void* pa, const void*, const void*) { \
    using T = t_##type;                                                              \
    using R = R_;                                                                    \
    loop1<R, T>(n, dst, pa, [](T a) -> R { return static_cast<R>(expr); });          \
  }
#define ARN_BINARY_TO(R_, op, type, expr)                                               \
  void op##_##type(int64_t n, void* dst, const void* pa, const void* pb, const void*) { \
    using T = t_##type;                                                                 \
    using R = R_;                                                                       \
    loop2<R, T, T>(n, dst, pa, pb, [](T a, T b) -> R { return static_cast<R>(expr); }); \
  }
#define ARN_TERNARY(op, type, expr)                                                                 \
  void op##_##type(int64_t n, void* dst, const void* pa, const void* pb, const void* pc) {          \
    using T = t_##type;                                                                             \
    loop3<T, T, T, T>(n, dst, pa, pb, pc, [](T a, T b, T c) -> T { return static_cast<T>(expr); }); \
  }
#define ARN_UNARY(op, type, expr) ARN_UNARY_TO(T, op, type, expr)
#define ARN_BINARY(op, type, expr) ARN_BINARY_TO(T, op, type, expr)

}  // namespace ARN_NS
