// The HalfConv row: X, W, B?, epilogue operands; any strides, best with channels innermost. A constant W is packed.
//
// A unit is a run of output pixels of one image (and one depth) by a block of output channels of one group. The inner
// index of the product is k = tap * cg + channel, taps in row-major order. Where padding surrounds X, or its channels
// do not lie next to each other, or windows have more than one tap, the input lines of a unit are made ready once, with
// their padding, and rows are put together of stretches of them; else rows are read in place.
//
// Tiles can read rows of the product where the input lines were made ready: at equal steps from pixel to pixel also
// from a line to the next, as if outputs went on over the columns that padding adds. What comes out for those is
// dropped.
#include "kernels/conv/direct/conv.h"

#include "kernels/copy/plane.h"
#include "kernels/half/block.h"
#include "kernels/half/finish.h"

namespace ARN_NS {
namespace {

constexpr double kHalfTaskWork = 1 << 22, kHalfUnitWork = 1 << 24;

struct HalfConvBound {
  ConvShape s;
  RawWeights w;
  HalfGemm gemm;
  HalfScratch at;
  int64_t k, packed_group;     // elements of the packed weights of a group
  int64_t pixel, line, slice;  // elements between neighbours of what is read, in place or copied
  int64_t stretches, stretch;  // of consecutive elements, that a row of the product is; their length
  int64_t line_elements;       // of the copied lines, of one plane
  int64_t run;                 // rows of the product from a line of outputs to the next; 0: rows are put together
  int64_t p_block, o_block, p_blocks, o_blocks, block_count, units, units_per_task;
  int64_t at_lines, at_raw, at_taps, at_steps, at_bias, at_filters,
      epilogue_scratch;  // offsets in thread scratch, in bytes
  int64_t bias_stride;
  int64_t add_n, add[3];  // strides of what a register form adds
  int32_t has_bias, bias_dtype, copied, packed;
  int32_t direct, add_operand, added_dtype, out_dtype, out_operand;  // direct: rows are finished where they are stored
  BlockActivation activation;
  Epilogue epilogue;
};

inline int64_t inner_length(const RawWeights& w) { return w.kernel[0] * w.kernel[1] * w.kernel[2] * w.cg; }

// Panels of n output channels of a group, the first at `from`.
void pack_filters(const RawWeights& w, int32_t dtype, int32_t packed, const char* from, int64_t n, uint16_t* to) {
  const int64_t k = inner_length(w);
  __builtin_memset(to, 0, static_cast<size_t>(half_packed_elements(k, n)) * 2);
  for (int64_t z = 0, tap = 0; z < w.kernel[0]; ++z)
    for (int64_t y = 0; y < w.kernel[1]; ++y)
      for (int64_t x = 0; x < w.kernel[2]; ++x, ++tap)
        half_pack(to, half_depth(k) * ARN_HALF_LANES, packed,
                  from + (z * w.at[0] + y * w.at[1] + x * w.at[2]) * element_bytes(dtype), dtype, tap * w.cg, w.cg, n,
                  w.in, w.out);
}

// Input elements that n outputs along an axis span.
inline int64_t spanned(const ConvShape& s, int axis, int64_t n) {
  return (n - 1) * s.step[axis] + (s.taps[axis] - 1) * s.tap_step[axis] + 1;
}

// Rows of the product: output pixels from p0 on.
class PixelRows {
 public:
  PixelRows(const HalfConvBound& b, char* scratch)
      : b_(b),
        s_(b.s),
        size_(element_bytes(b.gemm.a_dtype)),
        lines_(scratch + b.at_lines),
        raw_(scratch + b.at_raw),
        tap_(reinterpret_cast<int64_t*>(scratch + b.at_taps)),
        step_(reinterpret_cast<int64_t*>(scratch + b.at_steps)),
        split_(half_split(b.gemm)),
        widen_(half_widen(b.gemm.a_dtype, b.gemm.rounded != 0)) {
    const int64_t columns = b.stretches / (s_.taps[0] * s_.taps[1]);
    int64_t at = 0;
    for (int64_t z = 0; z < s_.taps[0]; ++z)
      for (int64_t y = 0; y < s_.taps[1]; ++y)
        for (int64_t x = 0; x < columns; ++x)
          tap_[at++] = z * b.slice + y * s_.tap_step[1] * b.line + x * s_.tap_step[2] * b.pixel;
    for (int64_t k = 0; k < b.k && b.run != 0; k += ARN_HALF_STEP)
      step_[k / ARN_HALF_STEP] = tap_[k / b.stretch] + k % b.stretch;
  }

  // Pixels [p0, p1) at depth z; x is at the first channel of the group in the image.
  void begin(const char* x, int64_t z, int64_t p0, int64_t p1) {
    x_ = x;
    z_ = z;
    p0_ = p0;
    y0_ = p0 / s_.out[2];
    y1_ = (p1 - 1) / s_.out[2] + 1;
    const bool one = y1_ == y0_ + 1;
    x0_ = one ? p0 % s_.out[2] : 0;
    x1_ = one ? (p1 - 1) % s_.out[2] + 1 : s_.out[2];
    copied_ = kNothing;
    rows_before_ = b_.run == 0 ? 0 : run_place(p0);
    rows_ = b_.run == 0 ? p1 - p0 : run_place(p1 - 1) - rows_before_ + 1;
  }

  // Rows of the product.
  int64_t count() const { return rows_; }
  // Calls f(first of them, pixel, n) for the stretches of output pixels among rows [row, row + n).
  template <typename F>
  void pixels(int64_t row, int64_t n, F&& f) const {
    if (b_.run == 0) return f(0, p0_ + row, n);
    for (int64_t i = 0; i < n;) {
      const int64_t at = rows_before_ + row + i, y = at / b_.run, x = at % b_.run;
      const int64_t used = min64(n - i, x1_ - x0_ - x);
      if (used > 0) f(i, (y0_ + y) * s_.out[2] + x0_ + x, used);
      i += min64(n - i, b_.run - x);
    }
  }

  bool lie(int64_t k0, arn_half_dots* d) const {
    if (b_.run == 0) return false;
    d->a_row = s_.step[2] * b_.pixel;
    d->a_at = step_ + k0 / ARN_HALF_STEP;
    return true;
  }
  bool lie_finite() {
    make_planes();
    return finite_;
  }
  const uint16_t* plane(int32_t i, int64_t row) const {
    return reinterpret_cast<const uint16_t*>(lines_) + i * b_.line_elements + run_offset(row);
  }

  bool planes(int64_t row, int64_t rows, int64_t k0, int64_t depth, uint16_t* const* plane, int64_t plane_row) {
    const int32_t count = b_.gemm.a_planes;
    uint16_t* to[ARN_HALF_PLANES] = {};
    if (b_.copied == 0) {
      bool finite = true;
      Pixel at(s_, p0_ + row);
      for (int64_t i = 0; i < rows; ++i, at.next()) {
        for (int j = 0; j < count; ++j) to[j] = plane[j] + i * plane_row;
        finite &= split_(x_ + (input_place(at) + k0) * size_, depth, to) != 0;
      }
      return finite;
    }
    make_planes();
    if (!finite_) return false;
    const size_t rest = static_cast<size_t>(half_depth(depth) - depth) * 2;
    Pixel at(s_, p0_ + row);
    for (int64_t i = 0; i < rows; ++i, at.next()) {
      const uint16_t* from = reinterpret_cast<const uint16_t*>(lines_) + copied_place(at);
      for (int j = 0; j < count; ++j) {
        uint16_t* row_of_plane = plane[j] + i * plane_row;
        gather(from + j * b_.line_elements, k0, depth, row_of_plane);
        if (rest != 0) __builtin_memset(row_of_plane + depth, 0, rest);
      }
    }
    return true;
  }

  void floats(int64_t row, int64_t rows, int64_t k0, int64_t depth, float* to, int64_t to_row) {
    Pixel at(s_, p0_ + row);
    if (b_.copied == 0) {
      for (int64_t i = 0; i < rows; ++i, at.next()) widen_(x_ + (input_place(at) + k0) * size_, depth, to + i * to_row);
      return;
    }
    if (copied_ != kFloats) copy_lines<float>(1);
    copied_ = kFloats;
    for (int64_t i = 0; i < rows; ++i, at.next())
      gather(reinterpret_cast<const float*>(lines_) + (b_.run == 0 ? copied_place(at) : run_offset(row + i)), k0, depth,
             to + i * to_row);
  }

 private:
  enum Copied { kNothing, kPlanes, kFloats };

  // An output pixel, and those after it.
  struct Pixel {
    Pixel(const ConvShape& s, int64_t p) : width(s.out[2]), y(p / s.out[2]), x(p % s.out[2]) {}
    void next() {
      if (++x < width) return;
      x = 0;
      ++y;
    }
    int64_t width, y, x;
  };
  void make_planes() {
    if (copied_ == kPlanes) return;
    finite_ = copy_lines<uint16_t>(b_.gemm.a_planes);
    copied_ = kPlanes;
  }
  // The row of the product that an output pixel is, counted from the first copied line; where a row reads first.
  int64_t run_place(int64_t p) const { return (p / s_.out[2] - y0_) * b_.run + p % s_.out[2] - x0_; }
  int64_t run_offset(int64_t row) const { return (rows_before_ + row) * s_.step[2] * b_.pixel; }
  // Elements from the copied lines, or from x_, to what a pixel reads first.
  int64_t copied_place(const Pixel& p) const {
    return (p.y - y0_) * s_.step[1] * b_.line + (p.x - x0_) * s_.step[2] * b_.pixel;
  }
  int64_t input_place(const Pixel& p) const {
    return z_ * s_.step[0] * s_.x[0] + p.y * s_.step[1] * s_.x[1] + p.x * s_.step[2] * s_.x[2];
  }

  // In whole vectors: up to 64 bytes past the end are read and written, which rows of a product and what follows the
  // copied lines have room for.
  static void copy_over(void* to, const void* from, int64_t bytes) {
    char* dst = static_cast<char*>(to);
    const char* src = static_cast<const char*>(from);
    for (int64_t i = 0; i < bytes; i += kVectorBytes) {
      vf32 v;
      __builtin_memcpy(&v, src + i, sizeof(v));
      __builtin_memcpy(dst + i, &v, sizeof(v));
    }
  }

  // Inner indices [k0, k0 + depth) of the pixel whose stretches begin at `from`.
  template <typename T>
  void gather(const T* from, int64_t k0, int64_t depth, T* to) const {
    int64_t t = k0 / b_.stretch, skip = k0 % b_.stretch;
    while (depth > 0) {
      const int64_t n = min64(depth, b_.stretch - skip);
      copy_over(to, from + tap_[t++] + skip, n * static_cast<int64_t>(sizeof(T)));
      to += n;
      depth -= n;
      skip = 0;
    }
  }

  // Lines in rising order, so that what splitting writes past the end of one is overwritten by the next.
  template <typename T>
  bool copy_lines(int32_t planes) {
    bool finite = true;
    const int64_t count = spanned(s_, 1, y1_ - y0_);
    for (int64_t tz = 0; tz < s_.taps[0]; ++tz) {
      const int64_t z = z_ * s_.step[0] + s_.first[0] + tz * s_.tap_step[0];
      for (int64_t i = 0; i < count; ++i) {
        const int64_t y = y0_ * s_.step[1] + s_.first[1] + i;
        const bool inside = z >= 0 && z < s_.in[0] && y >= 0 && y < s_.in[1];
        const char* from = inside ? x_ + (z * s_.x[0] + y * s_.x[1]) * size_ : nullptr;
        T* to[ARN_HALF_PLANES] = {};
        for (int j = 0; j < planes; ++j)
          to[j] = reinterpret_cast<T*>(lines_) + j * b_.line_elements + tz * b_.slice + i * b_.line;
        finite &= copy_line(to, planes, from, x0_ * s_.step[2] + s_.first[2], spanned(s_, 2, x1_ - x0_));
      }
    }
    return finite;
  }

  bool convert(const char* from, int64_t n, uint16_t* const* to) const { return split_(from, n, to) != 0; }
  bool convert(const char* from, int64_t n, float* const* to) const {
    widen_(from, n, to[0]);
    return true;
  }

  // Columns [first, first + n) of an input line, or (from null) nothing but padding.
  template <typename T>
  bool copy_line(T** to, int32_t planes, const char* from, int64_t first, int64_t n) {
    const int64_t pixel = b_.pixel;
    const int64_t low = from == nullptr ? n : max64(0, min64(n, -first));
    const int64_t high = max64(low, min64(n, s_.in[2] - first)), count = high - low;
    bool finite = true;
    for (int j = 0; j < planes; ++j) {
      __builtin_memset(to[j], 0, static_cast<size_t>(low * pixel) * sizeof(T));
      to[j] += low * pixel;
    }
    if (count > 0) {
      from += (first + low) * s_.x[2] * size_;
      if (!(s_.xc == 1 && s_.x[2] == pixel)) from = collect(from, count);
      finite = convert(from, count * pixel, to);
    }
    for (int j = 0; j < planes; ++j)
      __builtin_memset(to[j] + count * pixel, 0, static_cast<size_t>((n - high) * pixel) * sizeof(T));
    return finite;
  }

  // `count` pixels next to each other.
  const char* collect(const char* from, int64_t count) {
    const int64_t pixel = b_.pixel;
    if (s_.xc == 1) {
      for (int64_t i = 0; i < count; ++i)
        __builtin_memcpy(raw_ + i * pixel * size_, from + i * s_.x[2] * size_, static_cast<size_t>(pixel * size_));
    } else if (size_ == 2) {
      weave<uint16_t>(from, count);
    } else {
      weave<uint32_t>(from, count);
    }
    return raw_;
  }
  template <typename T>
  void weave(const char* from, int64_t count) {
    const int64_t pixel = b_.pixel;
    T* to = reinterpret_cast<T*>(raw_);
    if (s_.x[2] == 1) {
      const int64_t size = sizeof(T);
      return transpose_plane<T>(from, raw_, {count, pixel, size, s_.xc * size, pixel * size, size});
    }
    for (int64_t c = 0; c < pixel; ++c) {
      const T* plane = reinterpret_cast<const T*>(from) + c * s_.xc;
      for (int64_t i = 0; i < count; ++i) to[i * pixel + c] = plane[i * s_.x[2]];
    }
  }

  const HalfConvBound& b_;
  const ConvShape& s_;
  int64_t size_;
  char *lines_, *raw_;
  int64_t *tap_, *step_;
  arn_half_split split_;
  HalfWiden widen_;
  const char* x_ = nullptr;
  int64_t z_ = 0, p0_ = 0, y0_ = 0, y1_ = 0, x0_ = 0, x1_ = 0, rows_before_ = 0, rows_ = 0;
  Copied copied_ = kNothing;
  bool finite_ = true;
};

class Run {
 public:
  Run(const HalfConvBound& b, void* const* operand, void* scratch)
      : b_(b),
        operand_(operand),
        scratch_(static_cast<char*>(scratch)),
        bias_(reinterpret_cast<float*>(scratch_ + b.at_bias)),
        after_(scratch_ + b.epilogue_scratch),
        activation_(b.activation),
        rows_(b, scratch_) {
    if (b.direct == 0) epilogue_begin(b.epilogue, operand, after_);
  }

  void unit(int64_t u) {
    const ConvShape& s = b_.s;
    const int64_t p0 = u % b_.p_blocks * b_.p_block, p1 = min64(p0 + b_.p_block, s.out[1] * s.out[2]);
    u /= b_.p_blocks;
    const int64_t block = u % b_.block_count;
    u /= b_.block_count;
    const int64_t z = u % s.out[0], n = u / s.out[0], group = block / b_.o_blocks;
    const int64_t first = block % b_.o_blocks * b_.o_block, count = min64(b_.o_block, s.og - first);
    const int64_t channel = group * s.og + first;
    HalfColumns columns{};
    columns.packed = b_.packed != 0 ? static_cast<const uint16_t*>(operand_[1]) + group * b_.packed_group +
                                          first / ARN_HALF_LANES * b_.gemm.panel
                                    : filters(block, group, first, count);
    if (b_.has_bias != 0)
      read_floats(b_.bias_dtype,
                  static_cast<const char*>(operand_[2]) + channel * b_.bias_stride * element_bytes(b_.bias_dtype),
                  b_.bias_stride, count, 1.0f, bias_);
    const char* x = static_cast<const char*>(operand_[0]);
    rows_.begin(x + (n * s.xn + group * s.cg * s.xc) * element_bytes(b_.gemm.a_dtype), z, p0, p1);
    const auto finish_pixels = [&](int64_t p, int64_t rows, int64_t col, int64_t cols, float* sums, int64_t sums_row) {
      if (b_.direct != 0)
        return store_rows(n, z, p, rows, channel + col, cols, b_.has_bias != 0 ? bias_ + col : nullptr, sums, sums_row);
      for (int64_t i = 0; i < rows && b_.has_bias != 0; ++i) add_terms(sums + i * sums_row, bias_ + col, cols, 1.0f);
      epilogue_run(b_.epilogue, operand_, (n * s.out[0] + z) * s.out[1] * s.out[2] + p, rows, channel + col, cols, sums,
                   sums_row, after_);
    };
    const auto finish = [&](int64_t row, int64_t rows, int64_t col, int64_t cols, float* sums, int64_t sums_row) {
      rows_.pixels(row, rows, [&](int64_t i, int64_t p, int64_t some) {
        finish_pixels(p, some, col, cols, sums + i * sums_row, sums_row);
      });
    };
    half_block(b_.gemm, b_.at, scratch_, rows_, rows_.count(), columns, count, finish);
  }

 private:
  // Output pixels [p, p + rows) of a register form, channels [c, c + cols).
  void store_rows(int64_t n, int64_t z, int64_t p, int64_t rows, int64_t c, int64_t cols, const float* bias,
                  float* sums, int64_t sums_row) const {
    const ConvShape& s = b_.s;
    const int64_t size = element_bytes(b_.out_dtype), added_size = element_bytes(b_.added_dtype);
    char* out = static_cast<char*>(operand_[b_.out_operand]) + (n * s.yn + z * s.y[0] + c) * size;
    const char* added = nullptr;
    if (b_.add_operand >= 0)
      added = static_cast<const char*>(operand_[b_.add_operand]) + (n * b_.add_n + z * b_.add[0] + c) * added_size;
    int64_t y = p / s.out[2], x = p % s.out[2];
    for (int64_t i = 0; i < rows; ++i) {
      const void* with = added == nullptr ? nullptr : added + (y * b_.add[1] + x * b_.add[2]) * added_size;
      finish_row({sums + i * sums_row, cols, 1.0f, bias, with, b_.added_dtype, b_.out_dtype,
                  out + (y * s.y[1] + x * s.y[2]) * size},
                 b_.activation, activation_);
      if (++x == s.out[2]) {
        x = 0;
        ++y;
      }
    }
  }

  // Filters that only running knows, packed for a block of output channels.
  const uint16_t* filters(int64_t block, int64_t group, int64_t first, int64_t count) {
    uint16_t* to = reinterpret_cast<uint16_t*>(scratch_ + b_.at_filters);
    if (block != packed_)
      pack_filters(b_.w, b_.gemm.b_dtype, b_.gemm.packed,
                   static_cast<const char*>(operand_[1]) +
                       (group * b_.w.group + first * b_.w.out) * element_bytes(b_.gemm.b_dtype),
                   count, to);
    packed_ = block;
    return to;
  }

  const HalfConvBound& b_;
  void* const* operand_;
  char* scratch_;
  float* bias_;
  char* after_;
  const ActivationRows activation_;
  PixelRows rows_;
  int64_t packed_ = -1;
};

int32_t half_conv_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                      const arn_state* state) {
  const HalfConvBound& b = *static_cast<const HalfConvBound*>(bound);
  if (begin >= end) return ARN_OK;
  Run run(b, operand, thread_scratch);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { run.unit(u); });
}

// Rows of the product that n output pixels are at most.
int64_t rows_of_pixels(const HalfConvBound& b, int64_t n) {
  const int64_t width = b.s.out[2], crossed = n < 2 ? 0 : (n - 2) / width + 1;
  return b.run == 0 ? n : n + min64(crossed, b.s.out[1] - 1) * (b.run - width);
}

// How rows of the product are made; for at most so many of them returns the output pixels that a unit may have.
int64_t choose_rows(int64_t most, HalfConvBound* b) {
  const ConvShape& s = b->s;
  const int64_t pixels = s.out[1] * s.out[2];
  b->copied = s.xc == 1 || s.cg == 1 ? 0 : 1;
  for (int i = 0; i < 3; ++i)
    if (s.taps[i] != 1 || s.first[i] != 0 || (s.out[i] - 1) * s.step[i] >= s.in[i]) b->copied = 1;
  b->stretches = 1;
  b->stretch = s.cg;
  b->run = 0;
  if (b->copied == 0) return most;
  b->pixel = s.cg;
  b->line = spanned(s, 2, s.out[2]) * b->pixel;
  const bool whole = s.taps[2] == 1 || s.tap_step[2] == 1;
  b->stretches = s.taps[0] * s.taps[1] * (whole ? 1 : s.taps[2]);
  b->stretch = (whole ? s.taps[2] : 1) * s.cg;
  const arn_half_kernel* kernel = half_kernel(b->gemm);
  const int64_t to_next = s.step[1] * b->line, each = s.step[2] * b->pixel;
  const bool finds = kernel != nullptr && kernel->finds != 0 && b->gemm.few == 0;
  if (!finds || b->stretch % ARN_HALF_STEP != 0 || to_next % each != 0) return most;
  b->run = to_next / each;
  int64_t n = pixels;
  while (n > kHalfStrip && rows_of_pixels(*b, n) > most) n = (n - 1) / kHalfStrip * kHalfStrip;
  const bool fits = rows_of_pixels(*b, n) <= most && rows_of_pixels(*b, pixels) <= pixels + pixels / 2;
  if (ARN_CHOICE("half/lines", fits)) return n;
  b->run = 0;
  return most;
}

void choose_lines(HalfConvBound* b) {
  const ConvShape& s = b->s;
  if (b->copied == 0) return;
  const int64_t lines = min64(s.out[1], ceil_div(b->p_block - 1, max64(s.out[2], 1)) + 1);
  b->slice = spanned(s, 1, lines) * b->line;
  b->line_elements = round_up(s.taps[0] * b->slice + ARN_HALF_STEP, ARN_HALF_STEP);
}

void choose_grid(int64_t most_pixels, HalfConvBound* b) {
  const ConvShape& s = b->s;
  const int64_t pixels = s.out[1] * s.out[2];
  int64_t o_block = min64(1024, round_up(max64(s.og, 1), ARN_HALF_LANES));
  int64_t p_block = most_pixels;
  const double outer = static_cast<double>(s.batch * s.out[0] * s.groups);
  const double work = outer * static_cast<double>(b->k) * static_cast<double>(s.og) * static_cast<double>(pixels);
  const auto units = [&] { return outer * static_cast<double>(ceil_div(pixels, p_block) * ceil_div(s.og, o_block)); };
  while (units() < 8 && work / units() > 2 * kHalfUnitWork) {
    if (o_block >= kHalfColumns)
      o_block = round_up(o_block / 2, 2 * ARN_HALF_LANES);
    else if (p_block >= 128)
      p_block = round_up(p_block / 2, kHalfStrip);
    else
      break;
  }
  const int64_t blocks = max64(1, ceil_div(pixels, p_block));
  b->p_block = max64(1, min64(pixels, round_up(ceil_div(pixels, blocks), kHalfStrip)));
  b->o_block = o_block;
  b->p_blocks = ceil_div(pixels, b->p_block);
  b->o_blocks = ceil_div(s.og, o_block);
  b->block_count = s.groups * b->o_blocks;
  b->units = s.batch * s.out[0] * b->block_count * b->p_blocks;
  b->units_per_task = units_for_task(work, b->units, kHalfTaskWork);
}

// A register form whose operands lie with their channels next to each other, or an epilogue.
int32_t bind_finish(const arn_bind_args* args, HalfConvBound* b) {
  const arn_desc& y = args->operand[args->n_in];
  const RegisterForm form = half_form(args);
  b->out_operand = args->n_in;
  b->out_dtype = y.dtype;
  b->add_operand = -1;
  b->added_dtype = ARN_NONE;
  bool direct = form.known && b->s.yc == 1;
  if (direct && form.add >= 0) {
    const arn_desc& other = args->operand[form.add];
    direct = other.rank == y.rank && (other.strides[1] == 1 || other.dims[1] == 1);
    for (int i = 0; direct && i < y.rank; ++i) direct = other.dims[i] == y.dims[i];
    if (direct) {
      b->add_operand = form.add;
      b->added_dtype = other.dtype;
      b->add_n = other.strides[0];
      for (int i = 2; i < y.rank; ++i) b->add[3 - y.rank + i] = other.strides[i];
    }
  }
  b->direct = direct ? 1 : 0;
  if (direct) b->activation = form.activation;
  return direct ? int32_t(ARN_OK) : epilogue_bind(args, 1, 1, &b->epilogue);
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(half_conv) {
  using namespace ARN_NS;
  auto* b = cleared<HalfConvBound>(bound);
  ConvOperands o;
  int32_t bad = read_conv(args, false, &o);
  if (bad != ARN_OK) return bad;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const int32_t x_dtype = args->operand[0].dtype, w_dtype = args->operand[1].dtype;
  b->packed = (args->packed & 2u) != 0 ? 1 : 0;
  if (args->tile != nullptr && args->tile->reg_dtype[0] != ARN_F32) return ARN_UNSUPPORTED;
  if (!half_multiplies(x_dtype, w_dtype, p.rounded != 0)) return ARN_UNSUPPORTED;
  b->s = o.s;
  b->w = o.w;
  b->has_bias = o.has_bias;
  b->bias_stride = o.bias_stride;
  b->bias_dtype = o.has_bias != 0 ? args->operand[2].dtype : int32_t(ARN_NONE);
  bad = bind_finish(args, b);
  if (bad != ARN_OK) return bad;
  b->k = tap_count(b->s) * b->s.cg;
  const int64_t pixels = b->s.out[1] * b->s.out[2];
  b->gemm = half_choose(b->k, pixels, x_dtype, w_dtype, p.rounded != 0, true, *args->target);
  // Columns are made ready for as many pixels as sums and rows leave room for in L2.
  choose_grid(choose_rows(b->s.og <= kHalfColumns ? kHalfMostStrips * kHalfStrip : half_rows(b->gemm), b), b);
  choose_lines(b);
  b->packed_group = half_packed_elements(b->k, b->s.og);
  b->at = half_scratch(b->gemm, rows_of_pixels(*b, b->p_block), b->o_block);
  int64_t at = b->at.bytes;
  const auto take = [&](int64_t bytes) {
    const int64_t here = round_up(at, ARN_ALIGN);
    at = here + bytes;
    return here;
  };
  b->at_lines = take(b->line_elements * max64(2 * b->gemm.a_planes, 4));
  b->at_raw = take(b->copied != 0 ? b->line * 4 : 0);
  b->at_taps = take(b->stretches * 8);
  b->at_steps = take(b->run == 0 ? 0 : b->k / ARN_HALF_STEP * 8);
  b->at_bias = take((b->o_block + kHalfColumns) * 4);
  b->at_filters = take(b->packed != 0 ? 0 : half_packed_elements(b->k, b->o_block) * 2);
  b->epilogue_scratch = take(0);
  out->run = half_conv_run;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b->epilogue_scratch + (b->direct != 0 ? 0 : b->epilogue.core.scratch_bytes);
  out->bound_bytes = sizeof(HalfConvBound);
  out->variant = b->run != 0 ? "lines" : half_kernel_name(b->gemm);
  return ARN_OK;
}

ARN_DEFINE_PACK_BYTES(half_conv) {
  using namespace ARN_NS;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  if (operand != 1 || args->n_in < 2 || args->operand[1].rank != p.spatial + 2) return 0;
  const arn_desc& d = args->operand[1];
  if (!has_groups(d, p)) return 0;
  if (d.dtype == ARN_F32 && p.rounded == 0) return 0;
  for (int i = 0; i < d.rank; ++i)
    if (d.dims[i] < 0) return 0;
  const RawWeights w = raw_weights(d, p, false);
  return w.groups * half_packed_elements(inner_length(w), w.og) * 2;
}

ARN_DEFINE_PACK(half_conv) {
  using namespace ARN_NS;
  if (operand != 1) return;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const arn_desc& d = args->operand[1];
  const RawWeights w = raw_weights(d, p, false);
  const int64_t each = half_packed_elements(inner_length(w), w.og);
  const char* from = static_cast<const char*>(args->constant[1]);
  for (int64_t g = 0; g < w.groups; ++g)
    pack_filters(w, d.dtype, half_packed_type(d.dtype, p.rounded != 0), from + g * w.group * element_bytes(d.dtype),
                 w.og, static_cast<uint16_t*>(dst) + g * each);
}
