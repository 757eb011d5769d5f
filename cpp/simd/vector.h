// Vector types of the tier, on GCC/Clang vector extensions. Their width is a constant of the tier: vectors wider than
// the tier's registers compile to code that is many times slower.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

constexpr int kVectorBytes = ARN_VECTOR_BYTES;
constexpr int kLanesF32 = kVectorBytes / 4;
constexpr int kLanesF64 = kVectorBytes / 8;

typedef float vf32 __attribute__((vector_size(ARN_VECTOR_BYTES)));
typedef double vf64 __attribute__((vector_size(ARN_VECTOR_BYTES)));
typedef int32_t vi32 __attribute__((vector_size(ARN_VECTOR_BYTES)));
typedef int64_t vi64 __attribute__((vector_size(ARN_VECTOR_BYTES)));

// Unaligned forms, for loads and stores through pointers.
typedef float vf32u __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(4), may_alias));
typedef double vf64u __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(8), may_alias));
typedef int32_t vi32u __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(4), may_alias));
typedef int64_t vi64u __attribute__((vector_size(ARN_VECTOR_BYTES), aligned(8), may_alias));

static inline vf32 load_f32(const float* p) { return *reinterpret_cast<const vf32u*>(p); }
static inline void store_f32(float* p, vf32 v) { *reinterpret_cast<vf32u*>(p) = v; }
static inline vf32 splat_f32(float x) { return x - vf32{}; }

}  // namespace ARN_NS
