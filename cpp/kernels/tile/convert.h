// Storage types at load and store: flat conversions between a storage type and its compute type, and 2-D moves of raw
// elements between strides.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

// The compute type that holds elements of a storage type, or ARN_NONE when no tile program takes that type.
int32_t compute_type(int32_t storage);

// dst[i] = src[i] converted, i < n; no overlap. A type that is its own compute type is not converted: see is_narrow.
void widen(int32_t storage, int64_t n, void* dst, const void* src);
// Integers are truncated to their low bits; floats round to nearest even and overflow as the format does without
// saturation (to infinity, or to NaN where it has no infinity; F4E2M1 has neither: it saturates, and NaN becomes zero
// of the other sign, as in ml_dtypes and so in ONNX's own results).
void narrow(int32_t storage, int64_t n, void* dst, const void* src);
// Storage types that narrow() does not do.
static inline bool is_load_only(int32_t storage) { return storage == ARN_F8E8M0; }
static inline bool is_narrow(int32_t storage) { return compute_type(storage) != storage; }

// dst[r * dst_row + c * dst_col] = src[r * src_row + c * src_col], strides in elements of `bytes` (1, 2, 4, 8). dst may
// equal src with the same strides; otherwise they do not overlap.
void move_block(int64_t bytes, int64_t rows, int64_t cols, void* dst, int64_t dst_row, int64_t dst_col, const void* src,
                int64_t src_row, int64_t src_col);

// dst[i] = the element at value, i < n.
void fill_register(int64_t bytes, int64_t n, void* dst, const void* value);

}  // namespace ARN_NS
