#include "kernels/qmatmul/finish.h"

#include "kernels/copy/plane.h"
#include "kernels/qmatmul/quanta.h"

namespace ARN_NS {
namespace {

// `rows` rows of n columns; `added` and `out` have unit strides along them. Sums and columns may be read up to a whole
// vector.
struct Rows {
  const int32_t* sums;
  int64_t sums_row;
  const char* added;
  int64_t added_row;  // bytes
  char* out;
  int64_t out_row;  // bytes
  int64_t rows, n;
};

// The first `lanes` elements of `added`, after which no more may be read.
template <int kAdded>
inline const void* some_added(const char* added, int64_t lanes, char* memory) {
  if constexpr (kAdded == ARN_NONE) return nullptr;
  copy_some(memory, added, lanes * Added<kAdded>::kBytes);
  return memory;
}

template <int kAdded>
void finish_real(const QFinish& f, const QColumns& c, const Rows& r) {
  constexpr int64_t kBytes = Added<kAdded>::kBytes;
  const Added<kAdded> add(f);
  const vf32 low = splat_f32(f.activation.low), high = splat_f32(f.activation.high);
  const bool limited = f.activation.limited != 0;
  const int64_t whole = r.n / L * L;
  for (int64_t row = 0; row < r.rows; ++row) {
    const int32_t* sums = r.sums + row * r.sums_row;
    const char* added = r.added + row * r.added_row;
    float* out = reinterpret_cast<float*>(r.out + row * r.out_row);
    const auto value = [&](int64_t i, const void* with) __attribute__((always_inline)) {
      const vf32 v = add.to(scaled(sums + i, c, i), with);
      return limited ? limit(v, low, high) : v;
    };
    for (int64_t i = 0; i < whole; i += L) store_f32(out + i, value(i, added + i * kBytes));
    if (whole == r.n) continue;
    alignas(64) char some[kVectorBytes], result[kVectorBytes];
    const vf32 v = value(whole, some_added<kAdded>(added + whole * kBytes, r.n - whole, some));
    __builtin_memcpy(result, &v, sizeof(v));
    copy_some(reinterpret_cast<char*>(out + whole), result, (r.n - whole) * 4);
  }
}

template <int kAdded>
void finish_bytes(const QFinish& f, const QColumns& c, const Rows& r) {
  constexpr int64_t kBytes = Added<kAdded>::kBytes;
  const Added<kAdded> add(f);
  const Quanta quanta = quanta_of(f);
  const int64_t wide = r.n / (4 * L) * (4 * L), whole = r.n / L * L;
  for (int64_t row = 0; row < r.rows; ++row) {
    const int32_t* sums = r.sums + row * r.sums_row;
    const char* added = r.added + row * r.added_row;
    char* out = r.out + row * r.out_row;
    const auto value = [&](int64_t i, const void* with)
                           __attribute__((always_inline)) { return add.to(scaled(sums + i, c, i), with); };
    for (int64_t i = 0; i < wide; i += 4 * L) {
      const char* with = added + i * kBytes;
      quanta.store(out + i, value(i, with), value(i + L, with + L * kBytes), value(i + 2 * L, with + 2 * L * kBytes),
                   value(i + 3 * L, with + 3 * L * kBytes));
    }
    for (int64_t i = wide; i < whole; i += L) quanta.store(out + i, value(i, added + i * kBytes));
    if (whole == r.n) continue;
    alignas(64) char some[kVectorBytes];
    quanta.store_some(out + whole, value(whole, some_added<kAdded>(added + whole * kBytes, r.n - whole, some)),
                      r.n - whole);
  }
}

// Real numbers that an activation left, in place of the sums.
void quantize_row(const QFinish& f, const int32_t* sums, char* to, int64_t n) {
  const float* from = reinterpret_cast<const float*>(sums);
  const float inf = __builtin_inff();
  const Quanta quanta(f.out_dtype, f.out_zero, -inf, inf);
  const vf32 scale = splat_f32(f.out_scale);
  for (int64_t i = 0; i < n; i += L) quanta.store(to + i, load_f32(from + i) / scale);
}

void finish_sums(const QFinish&, const QColumns& c, const Rows& r) {
  const int64_t whole = r.n / L * L;
  for (int64_t row = 0; row < r.rows; ++row) {
    const int32_t* sums = r.sums + row * r.sums_row;
    int32_t* out = reinterpret_cast<int32_t*>(r.out + row * r.out_row);
    for (int64_t i = 0; i < whole; i += L) store_i32(out + i, load_i32(sums + i) + load_i32(c.add + i));
    for (int64_t i = whole; i < r.n; ++i)
      out[i] = static_cast<int32_t>(static_cast<uint32_t>(sums[i]) + static_cast<uint32_t>(c.add[i]));
  }
}

typedef void (*RowFn)(const QFinish&, const QColumns&, const Rows&);

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

// Zero points of columns times the sums of rows of A.
void take_zeros_off(const int32_t* zeros, const QBlock& b) {
  for (int64_t i = 0; i < b.rows; ++i) {
    int32_t* sums = b.sums + i * b.sums_row;
    const v_u32 row = static_cast<uint32_t>(b.row_sums[i]) - v_u32{};
    for (int64_t j = 0; j < b.cols; j += L)
      store_i32(sums + j, (vi32)((v_u32)load_i32(sums + j) - row * (v_u32)load_i32(zeros + j)));
  }
}

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

constexpr int64_t kStagedBytes = 64;  // times kWidest: of all rows that are at hand

// Rows that are `line` bytes apart to where the result has them; columns that lie apart are written along the rows.
void place(const QFinish& f, const char* staged, int64_t line, int64_t rows, int64_t cols, int64_t size, char* out) {
  if (f.out_row == 1 && f.out_col != 1 && rows > 1) {
    const Plane p = {cols, rows, size, line, f.out_col * size, size};
    return size == 1 ? transpose_plane<uint8_t>(staged, out, p) : transpose_plane<uint32_t>(staged, out, p);
  }
  for (int64_t i = 0; i < rows; ++i) move(out + i * f.out_row * size, f.out_col, staged + i * line, 1, cols, size);
}

}  // namespace

void qgemm_finish(const QFinish& f, const ActivationRows& activation, const QBlock& b) {
  const bool bytes = f.out_dtype == ARN_U8 || f.out_dtype == ARN_I8, real = f.out_dtype == ARN_F32;
  const bool between = activation.any();  // real numbers are made in place of the sums first
  const QColumns c{f.columns.add + b.col, nullptr, f.columns.scale == nullptr ? nullptr : f.columns.scale + b.col,
                   f.columns.offset == nullptr ? nullptr : f.columns.offset + b.col};
  const int32_t added = f.added == nullptr ? int32_t(ARN_NONE) : f.added_dtype;
  const RowFn fn = bytes || real ? row_fn(added, bytes && !between) : finish_sums;
  const int64_t size = element_bytes(f.out_dtype), added_size = element_bytes(f.added_dtype);
  if (b.row_sums != nullptr) take_zeros_off(f.columns.b_zero + b.col, b);
  char* out = static_cast<char*>(f.out) + (b.row * f.out_row + b.col * f.out_col) * size;
  const char* with = nullptr;
  if (added != ARN_NONE)
    with = static_cast<const char*>(f.added) + (b.row * f.added_row + b.col * f.added_col) * added_size;
  const int64_t out_row = f.out_row * size, with_row = with == nullptr ? 0 : f.added_row * added_size;
  const bool straight = f.out_col == 1 && (with == nullptr || f.added_col == 1);
  if (straight && !between) return fn(f, c, {b.sums, b.sums_row, with, with_row, out, out_row, b.rows, b.cols});
  // Rows one by one, in place of their sums and by way of the stack, which holds as many as fit.
  alignas(64) char staged[kWidest * kStagedBytes];
  alignas(64) char gathered[kWidest * 4];
  const int64_t line = kWidest * size, most = kStagedBytes / size;
  for (int64_t first = 0; first < b.rows; first += most) {
    const int64_t rows = min64(most, b.rows - first);
    for (int64_t i = 0; i < rows; ++i) {
      int32_t* sums = b.sums + (first + i) * b.sums_row;
      char* to = staged + i * line;
      const char* from = with == nullptr ? nullptr : with + (first + i) * with_row;
      if (from != nullptr) {
        move(gathered, 1, from, f.added_col, b.cols, added_size);
        from = gathered;
      }
      fn(f, c, {sums, 0, from, 0, between ? reinterpret_cast<char*>(sums) : to, 0, 1, b.cols});
      if (!between) continue;
      float* values = reinterpret_cast<float*>(sums);
      activation.run(values, values, b.cols);
      if (bytes)
        quantize_row(f, sums, to, b.cols);
      else
        __builtin_memcpy(to, values, static_cast<size_t>(b.cols) * 4);
    }
    place(f, staged, line, rows, b.cols, size, out + first * out_row);
  }
}

}  // namespace ARN_NS
