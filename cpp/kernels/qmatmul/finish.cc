#include "kernels/qmatmul/finish.h"

#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer of |x| < 2^22 in the low bits

typedef uint32_t v_u32 __attribute__((vector_size(ARN_VECTOR_BYTES)));

vi32 load_i32(const int32_t* p) { return *reinterpret_cast<const vi32u*>(p); }
void store_i32(int32_t* p, vi32 v) { *reinterpret_cast<vi32u*>(p) = v; }
vf32 to_float(vi32 x) { return __builtin_convertvector(x, vf32); }

inline vf32 limit(vf32 x, vf32 low, vf32 high) {
  const vf32 up = x < low ? low : x;
  return up > high ? high : up;
}

// `kAdded`: ARN_NONE, or the residual's type. One row, whole vectors; `added` and `out` have unit strides.
struct Row {
  const int32_t* sums;
  const void* added;
  void* out;
  int64_t n;
};

template <int kAdded>
inline vf32 plus_added(vf32 v, const void* added, int64_t i, vf32 scale, vf32 zero) {
  if constexpr (kAdded == ARN_F32) return v + load_f32(static_cast<const float*>(added) + i) * scale;
  if constexpr (kAdded == ARN_U8) return v + (to_float(load_u8(static_cast<const uint8_t*>(added) + i)) - zero) * scale;
  if constexpr (kAdded == ARN_I8) return v + (to_float(load_i8(static_cast<const int8_t*>(added) + i)) - zero) * scale;
  return v;
}

template <int kAdded>
void finish_real(const QFinish& f, const QColumns& c, const Row& r) {
  float* out = static_cast<float*>(r.out);
  const vf32 scale = splat_f32(f.added_scale), zero = splat_f32(static_cast<float>(f.added_zero));
  const vf32 low = splat_f32(f.activation.low), high = splat_f32(f.activation.high);
  const bool limited = f.activation.limited != 0;
  const int32_t *sums = r.sums, *add = c.add;
  const float *scales = c.scale, *offset = c.offset;
  const void* added = r.added;
  const int64_t n = r.n;
  for (int64_t i = 0; i < n; i += L) {
    vf32 v = to_float(load_i32(sums + i) + load_i32(add + i)) * load_f32(scales + i);
    if (offset != nullptr) v += load_f32(offset + i);
    v = plus_added<kAdded>(v, added, i, scale, zero);
    if (limited) v = limit(v, low, high);
    store_f32(out + i, v);
  }
}

// Clamps to the range of the type and rounds: the integer that stands for x quanta. NaN gives the lowest one.
struct Quantum {
  vf32 low, high;
  vi32 zero;
  Quantum(int32_t dtype, int32_t z, const BlockActivation* also) : zero(z - vi32{}) {
    const float least = dtype == ARN_U8 ? 0.0f : -128.0f, shift = static_cast<float>(z);
    float from = least - shift, to = least + 255.0f - shift;
    if (also != nullptr && also->limited != 0) {
      const float a = also->low, b = also->high;
      to = b < to ? (b < from ? from : b) : to;
      from = a > from ? (a > to ? to : a) : from;
    }
    low = splat_f32(from);
    high = splat_f32(to);
  }
  vi32 of(vf32 x) const {
    const vf32 up = x > low ? x : low;
    return (vi32)((up < high ? up : high) + kWhole) - (vi32)splat_f32(kWhole) + zero;
  }
};

template <int kAdded>
void finish_bytes(const QFinish& f, const QColumns& c, const Row& r) {
  uint8_t* out = static_cast<uint8_t*>(r.out);
  const vf32 scale = splat_f32(f.added_scale), zero = splat_f32(static_cast<float>(f.added_zero));
  const Quantum quantum(f.out_dtype, f.out_zero, &f.activation);
  const int32_t *sums = r.sums, *add = c.add;
  const float *scales = c.scale, *offset = c.offset;
  const void* added = r.added;
  const int64_t n = r.n;
  for (int64_t i = 0; i < n; i += L) {
    vf32 v = to_float(load_i32(sums + i) + load_i32(add + i)) * load_f32(scales + i);
    if (offset != nullptr) v += load_f32(offset + i);
    v = plus_added<kAdded>(v, added, i, scale, zero);
    store_bytes(out + i, quantum.of(v));
  }
}

// Real numbers that an activation left, in place of the sums.
void quantize_row(const QFinish& f, const Row& r) {
  const float* from = reinterpret_cast<const float*>(r.sums);
  uint8_t* out = static_cast<uint8_t*>(r.out);
  const Quantum quantum(f.out_dtype, f.out_zero, nullptr);
  const vf32 scale = splat_f32(f.out_scale);
  for (int64_t i = 0; i < r.n; i += L) store_bytes(out + i, quantum.of(load_f32(from + i) / scale));
}

void finish_sums(const QColumns& c, const Row& r) {
  int32_t* out = static_cast<int32_t*>(r.out);
  for (int64_t i = 0; i < r.n; i += L) store_i32(out + i, load_i32(r.sums + i) + load_i32(c.add + i));
}

typedef void (*RowFn)(const QFinish&, const QColumns&, const Row&);

template <int kAdded>
RowFn row_fn(bool bytes) {
  return bytes ? finish_bytes<kAdded> : finish_real<kAdded>;
}
RowFn row_fn(int32_t added, bool bytes) {
  switch (added) {
    case ARN_F32:
      return row_fn<ARN_F32>(bytes);
    case ARN_U8:
      return row_fn<ARN_U8>(bytes);
    case ARN_I8:
      return row_fn<ARN_I8>(bytes);
    default:
      return row_fn<ARN_NONE>(bytes);
  }
}

constexpr int64_t kWidest = 256;  // columns of a block

// Moves n elements of `size` bytes, `from_step` and `to_step` elements apart.
void move(void* to, int64_t to_step, const void* from, int64_t from_step, int64_t n, int64_t size) {
  if (to_step == 1 && from_step == 1) {
    __builtin_memcpy(to, from, static_cast<size_t>(n * size));
  } else if (size == 1) {
    for (int64_t i = 0; i < n; ++i)
      static_cast<uint8_t*>(to)[i * to_step] = static_cast<const uint8_t*>(from)[i * from_step];
  } else {
    for (int64_t i = 0; i < n; ++i)
      static_cast<uint32_t*>(to)[i * to_step] = static_cast<const uint32_t*>(from)[i * from_step];
  }
}

}  // namespace

void qgemm_finish(const QFinish& f, const ActivationRows& activation, const QBlock& b) {
  const bool bytes = f.out_dtype == ARN_U8 || f.out_dtype == ARN_I8, real = f.out_dtype == ARN_F32;
  const bool between = activation.any();  // real numbers are made in place of the sums first
  const QColumns c{f.columns.add + b.col, nullptr, f.columns.scale == nullptr ? nullptr : f.columns.scale + b.col,
                   f.columns.offset == nullptr ? nullptr : f.columns.offset + b.col};
  const int32_t added = f.added == nullptr ? int32_t(ARN_NONE) : f.added_dtype;
  const RowFn fn = row_fn(added, bytes && !between);
  const int64_t size = element_bytes(f.out_dtype), added_size = element_bytes(f.added_dtype);
  const int64_t whole = b.cols / L * L;
  alignas(64) uint8_t staged[kWidest * 4];
  alignas(64) uint8_t gathered[kWidest * 4];
  for (int64_t i = 0; i < b.rows; ++i) {
    int32_t* sums = b.sums + i * b.sums_row;
    if (b.row_sums != nullptr) {
      const int32_t* zeros = f.columns.b_zero + b.col;
      const v_u32 row = static_cast<uint32_t>(b.row_sums[i]) - v_u32{};
      for (int64_t j = 0; j < b.cols; j += L)
        store_i32(sums + j, (vi32)((v_u32)load_i32(sums + j) - row * (v_u32)load_i32(zeros + j)));
    }
    const int64_t out_at = (b.row + i) * f.out_row + b.col * f.out_col;
    const int64_t added_at = (b.row + i) * f.added_row + b.col * f.added_col;
    char* out = static_cast<char*>(f.out) + out_at * size;
    const char* from = added == ARN_NONE ? nullptr : static_cast<const char*>(f.added) + added_at * added_size;
    const auto run = [&](int64_t first, int64_t n, const void* with, void* to) {
      const QColumns at{c.add + first, nullptr, c.scale == nullptr ? nullptr : c.scale + first,
                        c.offset == nullptr ? nullptr : c.offset + first};
      const Row row{sums + first, with, between ? static_cast<void*>(sums + first) : to, n};
      if (!bytes && !real) return finish_sums(at, row);
      fn(f, at, row);
      if (!between) return;
      const float* values = reinterpret_cast<const float*>(sums + first);
      activation.run(reinterpret_cast<float*>(sums + first), values, n);
      if (bytes)
        quantize_row(f, {sums + first, nullptr, to, n});
      else
        __builtin_memcpy(to, values, static_cast<size_t>(n) * 4);
    };
    // Whole vectors go straight to the output where its columns follow each other; the rest by way of the stack.
    const bool straight = f.out_col == 1 && (added == ARN_NONE || f.added_col == 1);
    const int64_t direct = straight ? whole : 0;
    if (direct > 0) run(0, direct, from, out);
    if (direct < b.cols) {
      const int64_t n = b.cols - direct;
      if (added != ARN_NONE) move(gathered, 1, from + direct * f.added_col * added_size, f.added_col, n, added_size);
      run(direct, round_up(n, L), gathered, staged);
      move(out + direct * f.out_col * size, f.out_col, staged, 1, n, size);
    }
  }
}

}  // namespace ARN_NS
