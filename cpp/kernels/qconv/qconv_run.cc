// Running of the integer convolutions.
#include "kernels/conv/depthwise/channels.h"
#include "kernels/copy/plane.h"
#include "kernels/qconv/floats.h"
#include "kernels/qconv/qconv.h"
#include "kernels/qmatmul/finish.h"
#include "kernels/qmatmul/quanta.h"

namespace ARN_NS {
namespace {

class Run {
 public:
  Run(const QConvBound& b, void* const* operand, void* scratch)
      : b_(b),
        s_(b.s),
        operand_(operand),
        scratch_(static_cast<char*>(scratch)),
        after_(scratch_ + b.epilogue_scratch),
        kernel_(depthwise_kernel(b.features).run),
        activation_(b.form.activation),
        rows_(filter_rows(b.w)) {
    if (b.use_epilogue != 0) epilogue_begin(b.epilogue, operand, after_);
    if (b.a_zero >= 0) zero_ = *static_cast<const uint8_t*>(operand[b.a_zero]);
    list_taps();
  }

  void unit(int64_t u) {
    p0_ = u % b_.p_blocks * b_.p_block;
    u /= b_.p_blocks;
    const int64_t block = u % b_.block_count;
    u /= b_.block_count;
    z_ = u % s_.out[0];
    n_ = u / s_.out[0];
    group_ = block / b_.o_blocks;
    first_ = block % b_.o_blocks * b_.o_block;
    const bool depthwise = b_.depthwise != 0;
    count_ = min64(b_.o_block, (depthwise ? s_.groups : s_.og) - first_);
    wide_ = round_up(count_, ARN_DOT_LANES);
    channel_ = depthwise ? first_ : group_ * s_.og + first_;
    const int64_t p1 = min64(p0_ + b_.p_block, s_.out[1] * s_.out[2]);
    QFinish f{};
    apply_form(b_.form, b_.use_epilogue != 0 ? b_.block_dtype : b_.out_dtype, &f);
    take_filters(block, f.in_quanta != 0 ? b_.form.out_scale : 1.0f);
    f.columns = columns_;
    take_input(p1);
    if (tiled_) return tiles(p1, &f);
    if (!depthwise && b_.straight == 0) list_pointers(p1);
    const bool by_line = b_.one_run == 0 || depthwise;
    for (int64_t p = p0_; p < p1;) {
      const int64_t line_end = (p / s_.out[2] + 1) * s_.out[2];
      const int64_t end = by_line ? min64(line_end, p1) : p1;
      segment(p, end, &f);
      p = end;
    }
  }

 private:
  // Offsets of the stretches that a row of the product is, or of the kernel rows of a depthwise convolution.
  void list_taps() {
    const bool depthwise = b_.depthwise != 0;
    const int64_t columns = depthwise ? 1 : b_.stretches / (s_.taps[0] * s_.taps[1]);
    int64_t* tap = reinterpret_cast<int64_t*>(scratch_ + b_.at_taps);
    int64_t at = 0;
    for (int64_t z = 0; z < s_.taps[0]; ++z)
      for (int64_t y = 0; y < s_.taps[1]; ++y)
        for (int64_t x = 0; x < columns; ++x)
          tap[at++] = z * b_.slice + y * s_.tap_step[1] * b_.line + x * s_.tap_step[2] * b_.pixel;
    if (!depthwise) return;
    for (; at < rows_.groups * ARN_DOT_GROUP; ++at) tap[at] = tap[0];
    if (b_.copied == 0) __builtin_memset(scratch_ + b_.at_outside, zero_, static_cast<size_t>(outside_bytes(b_)));
  }
  const int64_t* taps() const { return reinterpret_cast<const int64_t*>(scratch_ + b_.at_taps); }

  // Panels and columns of the unit's filters. `block` names them.
  void take_filters(int64_t block, float per_quantum) {
    if (block == held_) return;
    held_ = block;
    const int64_t panel = b_.gemm.panel;
    const char* packed = static_cast<const char*>(operand_[1]) + group_ * b_.packed_group;
    int64_t from = first_, n = b_.depthwise != 0 ? s_.groups : s_.og;
    if (b_.packed == 0) {
      char* slab = scratch_ + b_.at_slab;
      pack_filters(b_.w, operand_[1], group_, first_, count_, b_.b_dtype == ARN_I8, slab);
      packed = slab;
      from = 0;
      n = count_;
    }
    panels_ = reinterpret_cast<const int8_t*>(packed) + from / ARN_DOT_LANES * panel;
    QColumnSource source = column_source(b_, operand_);
    source.sums = reinterpret_cast<const int32_t*>(packed + qgemm_sums(padded_depth(b_.w), n)) + from;
    source.per_quantum = per_quantum;
    if (b_.floats.pixel != 0) source.a_zero = 0;  // taken off the bytes
    columns_ = qgemm_columns(b_.gemm, source, channel_, count_, scratch_ + b_.at_columns);
    if (b_.floats.pixel != 0) return widen_filters();
    tiled_ = b_.tiles.rows != 0 && columns_.b_zero == nullptr;  // zero points of filters ask for sums of what they met
    if (tiled_) {
      QGemm of_signed = b_.gemm;
      of_signed.flips = of_signed.a_signed == 0;
      columns_ = qgemm_columns(of_signed, source, channel_, count_, scratch_ + b_.at_columns);
      transform_filters(panels_, panel, wide_ / ARN_DOT_LANES, s_.cg, b_.tiles.filter, scratch_ + b_.tiles.at_filters);
    }
    if (b_.depthwise != 0) weave_filters();
  }

  // Sets origin_: tap 0 of output pixel (y, x) is at origin_ + y * step * line + x * step * pixel.
  void take_input(int64_t p1) {
    const int64_t channel = b_.depthwise != 0 ? first_ : group_ * s_.cg;
    const char* x = static_cast<const char*>(operand_[0]) + n_ * s_.xn + channel * s_.xc;
    if (b_.floats.pixel != 0) return widen_input(p1, x);
    if (b_.copied == 0 && b_.depthwise != 0) return;
    if (b_.copied == 0) {
      origin_ = x + (z_ * s_.step[0] + s_.first[0]) * s_.x[0] + s_.first[1] * s_.x[1] + s_.first[2] * s_.x[2];
      return;
    }
    const PixelBox box = box_of(s_, p0_, p1);
    char* lines = scratch_ + b_.at_lines;
    origin_ = lines - box.y0 * s_.step[1] * b_.line - box.x0 * s_.step[2] * b_.pixel;
    const int64_t whole = tiled_ ? kTileSide : 1;
    const int64_t count = span(s_, 1, round_up(box.y1 - box.y0, whole));
    const int64_t columns = span(s_, 2, round_up(box.x1 - box.x0, whole));
    for (int64_t tz = 0; tz < s_.taps[0]; ++tz) {
      const int64_t z = z_ * s_.step[0] + s_.first[0] + tz * s_.tap_step[0];
      for (int64_t i = 0; i < count; ++i) {
        const int64_t y = box.y0 * s_.step[1] + s_.first[1] + i;
        const bool inside = z >= 0 && z < s_.in[0] && y >= 0 && y < s_.in[1];
        copy_line(lines + tz * b_.slice + i * b_.line, inside ? x + z * s_.x[0] + y * s_.x[1] : nullptr,
                  box.x0 * s_.step[2] + s_.first[2], columns);
      }
    }
  }

  // Columns [first, first + n) of an input line, or (from null) nothing but padding.
  void copy_line(char* to, const char* from, int64_t first, int64_t n) const {
    const int64_t pixel = b_.pixel, channels = b_.depthwise != 0 ? count_ : s_.cg;
    const int64_t low = from == nullptr ? n : max64(0, min64(n, -first));
    const int64_t high = max64(low, min64(n, s_.in[2] - first));
    __builtin_memset(to, zero_, static_cast<size_t>(low * pixel));
    __builtin_memset(to + high * pixel, zero_, static_cast<size_t>((n - high) * pixel));
    if (high <= low) return;
    to += low * pixel;
    from += (first + low) * s_.x[2];
    const int64_t count = high - low;
    if (s_.xc == 1 && s_.x[2] == pixel && pixel == channels) {
      __builtin_memcpy(to, from, static_cast<size_t>(count * pixel));
    } else if (s_.xc == 1 || channels == 1) {
      for (int64_t i = 0; i < count; ++i)
        __builtin_memcpy(to + i * pixel, from + i * s_.x[2], static_cast<size_t>(channels));
    } else if (s_.x[2] == 1) {
      transpose_plane<uint8_t>(from, to, {count, channels, 1, s_.xc, pixel, 1});
    } else {
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t i = 0; i < count; ++i) to[i * pixel + c] = from[c * s_.xc + i * s_.x[2]];
    }
  }

  const char* place(int64_t p) const {
    return origin_ + p / s_.out[2] * s_.step[1] * b_.line + p % s_.out[2] * s_.step[2] * b_.pixel;
  }

  void list_pointers(int64_t p1) {
    const void** to = reinterpret_cast<const void**>(scratch_ + b_.at_pointers);
    const int64_t* tap = taps();
    const int64_t hop = s_.step[2] * b_.pixel;
    for (int64_t p = p0_; p < p1;) {
      const char* at = place(p);
      const int64_t n = min64(p1 - p, s_.out[2] - p % s_.out[2]);
      for (int64_t t = 0; t < b_.stretches; ++t) {
        const void** row = to + t * b_.p_block + p - p0_;
        const char* from = at + tap[t];
        for (int64_t i = 0; i < n; ++i) row[i] = from + i * hop;
      }
      p += n;
    }
  }

  // Pixels [p, end), which one stride walks.
  void segment(int64_t p, int64_t end, QFinish* f) {
    const int64_t y = p / s_.out[2], x = p % s_.out[2];
    if (b_.form.add >= 0) {
      const int64_t at = n_ * b_.add_n + channel_ * b_.add_c + z_ * b_.add[0] + y * b_.add[1] + x * b_.add[2];
      f->added = static_cast<const char*>(operand_[b_.form.add]) + at * element_bytes(b_.form.add_dtype);
      f->added_row = b_.add_pixel;
      f->added_col = b_.add_c;
    }
    if (b_.use_epilogue == 0) {
      const int64_t at = n_ * s_.yn + channel_ * s_.yc + z_ * s_.y[0] + y * s_.y[1] + x * s_.y[2];
      f->out = static_cast<char*>(operand_[b_.out_operand]) + at * element_bytes(b_.out_dtype);
      f->out_row = b_.out_pixel;
      f->out_col = s_.yc;
      return sum(p, end, *f);
    }
    f->out = scratch_ + b_.at_block;
    f->out_row = b_.o_block;
    f->out_col = 1;
    for (int64_t at = p; at < end; at += kEpilogueRows) {
      const int64_t rows = min64(kEpilogueRows, end - at);
      sum(at, at + rows, *f);
      epilogue_run(b_.epilogue, operand_, (n_ * s_.out[0] + z_) * s_.out[1] * s_.out[2] + at, rows, channel_, count_,
                   f->out, b_.o_block, after_);
    }
  }

  // All pixels before p1, in batches of tiles, whose sums lie in lines of a batch then.
  void tiles(int64_t p1, QFinish* f) {
    const QTiles& t = b_.tiles;
    const uint8_t flip = b_.gemm.a_signed != 0 ? 0 : 0x80;
    const int64_t y1 = p1 / s_.out[2];
    int32_t* sums = reinterpret_cast<int32_t*>(scratch_ + t.at_sums);
    for (int64_t y = p0_ / s_.out[2]; y < y1; y += t.rows * kTileSide)
      for (int64_t x = 0; x < s_.out[2]; x += t.columns * kTileSide) {
        const int64_t lines = min64(t.rows * kTileSide, y1 - y), pixels = min64(t.columns * kTileSide, s_.out[2] - x);
        const int64_t rows = ceil_div(lines, kTileSide), columns = ceil_div(pixels, kTileSide);
        for (int64_t i = 0; i < rows * columns; ++i)
          transform_patch(place((y + i / columns * kTileSide) * s_.out[2] + x + i % columns * kTileSide), b_.line,
                          s_.cg, flip, t.patch, scratch_ + t.at_patches + i * s_.cg * 2);
        multiply_tiles(t, s_.cg, rows * columns, wide_ / ARN_DOT_LANES, scratch_);
        const int64_t line = columns * kTileSide * wide_;
        for (int64_t i = 0; i < rows * columns; ++i)
          transform_sums(scratch_ + t.at_products + i * wide_ * 4, t.product, wide_,
                         sums + i / columns * kTileSide * line + i % columns * kTileSide * wide_, line, wide_);
        for (int64_t i = 0; i < lines; ++i) {
          staged_ = sums + i * line;
          staged_from_ = (y + i) * s_.out[2] + x;
          segment(staged_from_, staged_from_ + pixels, f);
        }
      }
  }

  void sum(int64_t p, int64_t end, const QFinish& f) {
    if (tiled_)
      return qgemm_finish(f, activation_,
                          {staged_ + (p - staged_from_) * wide_, wide_, 0, end - p, 0, count_, nullptr});
    if (b_.floats.pixel != 0) return sum_floats(p, end, f);
    if (b_.depthwise != 0) return sum_taps(p, end, f);
    QRows rows{place(p), b_.walk, 1, nullptr, nullptr, 0, 1, b_.k, 0};
    if (b_.straight == 0) {
      rows.pointer = reinterpret_cast<const void* const*>(scratch_ + b_.at_pointers) + (p - p0_);
      rows.pointers = b_.p_block;
      rows.taps = b_.stretches;
      rows.tap_bytes = b_.stretch;
      rows.beyond = b_.copied != 0 ? kBeyondLines : 0;
    }
    qgemm_pass(b_.gemm, rows, end - p, panels_, count_, f, scratch_);
  }

  // Depthwise in floats: filters without their zero points, tap by tap.
  void widen_filters() {
    float* to = reinterpret_cast<float*>(scratch_ + b_.floats.at_weights);
    for (int64_t row = 0; row < rows_.rows; ++row)
      for (int64_t x = 0; x < rows_.columns; ++x, to += b_.floats.pixel) {
        const int64_t at = x * rows_.groups * ARN_DOT_GROUP + row;
        const int8_t* from = panels_ + at / ARN_DOT_GROUP * ARN_DOT_PANEL_STEP + at % ARN_DOT_GROUP;
        for (int64_t c = 0; c < wide_; ++c) {
          const int64_t lane = c / ARN_DOT_LANES * b_.gemm.panel + c % ARN_DOT_LANES * ARN_DOT_GROUP;
          to[c] = static_cast<float>(from[lane] - (columns_.b_zero != nullptr ? columns_.b_zero[c] : 0));
        }
      }
    columns_.b_zero = nullptr;
  }

  // The unit's input lines with their padding. x: of the unit's image and first channel.
  void widen_input(int64_t p1, const char* x) {
    const PixelBox box = box_of(s_, p0_, p1);
    const int64_t count = span(s_, 1, box.y1 - box.y0), columns = span(s_, 2, box.x1 - box.x0);
    const int64_t first = box.x0 * s_.step[2] + s_.first[2], low = max64(0, min64(columns, -first)),
                  high = max64(low, min64(columns, s_.in[2] - first)), pixel = b_.floats.pixel;
    float* lines = reinterpret_cast<float*>(scratch_ + b_.floats.at_lines);
    ByteLine bytes{nullptr, high - low, b_.pixel, count_, b_.a_dtype == ARN_I8, zero_};
    if (bytes.is_signed != 0) bytes.zero = static_cast<int8_t>(zero_);
    for (int64_t tz = 0; tz < s_.taps[0]; ++tz)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t z = z_ * s_.step[0] + s_.first[0] + tz * s_.tap_step[0];
        const int64_t y = box.y0 * s_.step[1] + s_.first[1] + i;
        float* to = lines + tz * b_.floats.slice + i * b_.floats.line;
        const bool inside = z >= 0 && z < s_.in[0] && y >= 0 && y < s_.in[1] && low < high;
        const auto clear = [&](int64_t from, int64_t end) {
          __builtin_memset(to + from * pixel, 0, static_cast<size_t>((end - from) * pixel * 4));
        };
        clear(0, inside ? low : columns);
        if (!inside) continue;
        clear(high, columns);
        const char* from = x + z * s_.x[0] + y * s_.x[1];
        bytes.at = from + (first + low) * s_.x[2];
        if (b_.copied != 0) {
          copy_line(scratch_ + b_.at_lines, from, first, columns);
          bytes.at = scratch_ + b_.at_lines + low * b_.pixel;
        }
        widen_line(bytes, to + low * pixel, pixel);
      }
  }

  void sum_floats(int64_t p, int64_t end, const QFinish& f) {
    const PixelBox box = box_of(s_, p0_, min64(p0_ + b_.p_block, s_.out[1] * s_.out[2]));
    ConvShape s = s_;
    for (int i = 0; i < 3; ++i) {
      s.first[i] = 0;
      s.in[i] = i == 0 ? s.taps[0] : span(s_, i, i == 1 ? box.y1 - box.y0 : box.x1 - box.x0);
    }
    s.step[0] = s.tap_step[0] = 1;
    s.x[0] = b_.floats.slice;
    s.x[1] = b_.floats.line;
    s.x[2] = b_.floats.pixel;
    const ChannelFilter filter{reinterpret_cast<const float*>(scratch_ + b_.floats.at_weights),
                               nullptr,
                               b_.floats.pixel,
                               nullptr,
                               Finish::kWhole,
                               0,
                               0};
    float* sums = reinterpret_cast<float*>(scratch_ + b_.floats.at_sums);
    for (int64_t at = p; at < end; at += kFloatPixels) {
      const int64_t n = min64(kFloatPixels, end - at);
      depthwise_channels(s, filter, reinterpret_cast<const float*>(scratch_ + b_.floats.at_lines),
                         {0, at / s_.out[2] - box.y0, at % s_.out[2] - box.x0, n, 0, round_up(count_, kLanesF32)}, sums,
                         b_.floats.pixel);
      qgemm_finish(f, activation_, {reinterpret_cast<int32_t*>(sums), b_.floats.pixel, at - p, n, 0, count_, nullptr});
    }
  }

  // Depthwise: weights and columns in the order of woven vectors.
  void weave_filters() {
    const int64_t steps = rows_.columns * rows_.groups, all = woven_channels(b_.o_block);
    char* weights = scratch_ + b_.at_weights;
    int32_t* add = reinterpret_cast<int32_t*>(scratch_ + b_.at_woven_columns);
    float *scale = reinterpret_cast<float*>(add + all), *offset = scale + all;
    for (int64_t j = 0; j < blocks(); ++j) {
      const ChannelBlock at = block(j);
      for (int64_t v = 0; v < steps * 4; ++v)
        for (int64_t l = 0; l < at.n / 16; ++l)
          __builtin_memcpy(weights + j * kVectorBytes * steps * 4 + v * at.n + 16 * l,
                           panels_ + (at.c / 16 + l) * b_.gemm.panel + v / 4 * ARN_DOT_PANEL_STEP + v % 4 * 16, 16);
      for (int64_t v = 0; v < 4; ++v)
        for (int64_t l = 0; l < at.n / 16; ++l) {
          const int64_t to = j * kVectorBytes + v * (at.n / 4) + 4 * l, from = at.c + 16 * l + 4 * v;
          __builtin_memcpy(add + to, columns_.add + from, 16);
          __builtin_memcpy(scale + to, columns_.scale + from, 16);
          if (columns_.offset != nullptr) __builtin_memcpy(offset + to, columns_.offset + from, 16);
        }
    }
    woven_ = {add, nullptr, scale, columns_.offset != nullptr ? offset : nullptr};
  }

  // Channels are done in whole vectors where there are as many; the last of them overlaps the one before, whose
  // channels it leaves alone (`done` of its first ones).
  struct ChannelBlock {
    int64_t c, n, done;
  };
  int64_t blocks() const {
    return wide_ >= kVectorBytes ? ceil_div(wide_, kVectorBytes) : wide_ / 32 + wide_ % 32 / 16;
  }
  ChannelBlock block(int64_t j) const {
    if (wide_ < kVectorBytes) return {32 * j, wide_ - 32 * j >= 32 ? 32 : 16, 0};
    const int64_t c = min64(j * kVectorBytes, wide_ - kVectorBytes);
    return {c, kVectorBytes, j * kVectorBytes - c};
  }

  void sum_taps(int64_t p, int64_t end, const QFinish& f) {
    const int64_t steps = rows_.columns * rows_.groups;
    arn_depthwise d{};
    d.row = taps();
    d.groups = rows_.groups;
    d.next = b_.pixel;
    d.taps = rows_.columns;
    d.tap_hop = s_.tap_step[2];
    d.hop = s_.step[2];
    d.flip = b_.gemm.flips != 0 ? 0x80 : 0;
    d.pad = zero_ ^ d.flip;
    d.woven = reinterpret_cast<uint8_t*>(scratch_ + b_.at_woven);
    d.out = reinterpret_cast<int32_t*>(scratch_ + b_.at_sums);
    const bool bytes = f.out_dtype == ARN_U8 || f.out_dtype == ARN_I8;
    const bool plain =
        bytes && f.added == nullptr && !activation_.any() && f.out_col == 1 && f.columns.b_zero == nullptr;
    for (int64_t at = p; at < end; at += kDepthwisePixels) {
      d.pixels = min64(kDepthwisePixels, end - at);
      const uint8_t* x = take_columns(at, &d);
      for (int64_t j = 0; j < blocks(); ++j) {
        const ChannelBlock part = block(j);
        d.x = x + part.c;  // of lines of padding, too: all their bytes are alike
        d.weights = reinterpret_cast<const int8_t*>(scratch_ + b_.at_weights) + j * kVectorBytes * steps * 4;
        kernel_(&d, part.n);
        if (plain && part.n == kVectorBytes && part.c + part.n <= count_)
          finish_woven(d, part.c, j * kVectorBytes, f, at - p);
        else
          finish_plain(d, part, f, at - p);
      }
    }
  }

  // The input columns of d.pixels outputs from `p` on, and where their kernel rows are: at offsets from what is
  // returned.
  const uint8_t* take_columns(int64_t p, arn_depthwise* d) {
    const int64_t n = span(s_, 2, d->pixels);
    d->left = d->right = 0;
    d->columns = n;
    if (b_.copied != 0) return reinterpret_cast<const uint8_t*>(place(p));
    const int64_t y = p / s_.out[2] * s_.step[1] + s_.first[1], x = p % s_.out[2] * s_.step[2] + s_.first[2];
    d->left = max64(0, min64(n, -x));
    d->columns = max64(0, min64(n, s_.in[2] - x) - d->left);
    d->right = n - d->left - d->columns;
    const char* image = static_cast<const char*>(operand_[0]) + n_ * s_.xn + first_ * s_.xc;
    const char* from = image + (d->columns > 0 ? (x + d->left) * s_.x[2] : 0);
    const char* outside = scratch_ + b_.at_outside - (b_.pixel < 0 ? (n - 1) * b_.pixel : 0);
    int64_t* row = reinterpret_cast<int64_t*>(scratch_ + b_.at_taps);
    int64_t at = 0;
    for (int64_t tz = 0; tz < s_.taps[0]; ++tz)
      for (int64_t ty = 0; ty < s_.taps[1]; ++ty) {
        const int64_t iz = z_ * s_.step[0] + s_.first[0] + tz * s_.tap_step[0], iy = y + ty * s_.tap_step[1];
        const bool inside = iz >= 0 && iz < s_.in[0] && iy >= 0 && iy < s_.in[1];
        row[at++] = inside
                        ? iz * s_.x[0] + iy * s_.x[1]
                        : static_cast<int64_t>(reinterpret_cast<intptr_t>(outside) - reinterpret_cast<intptr_t>(from));
      }
    for (; at < rows_.groups * ARN_DOT_GROUP; ++at) row[at] = row[0];
    return reinterpret_cast<const uint8_t*>(from);
  }

  // `woven`: where the columns of the block are.
  void finish_woven(const arn_depthwise& d, int64_t c, int64_t woven, const QFinish& f, int64_t row) const {
    const Quanta quanta = quanta_of(f);
    char* out = static_cast<char*>(f.out) + row * f.out_row + c;
    for (int64_t i = 0; i < d.pixels; ++i, out += f.out_row) {
      const int32_t* sums = d.out + i * kVectorBytes;
      quanta.store_woven(out, scaled(sums, woven_, woven), scaled(sums + L, woven_, woven + L),
                         scaled(sums + 2 * L, woven_, woven + 2 * L), scaled(sums + 3 * L, woven_, woven + 3 * L));
    }
  }

  // The sums of a block of channels in their own order, then whatever follows.
  void finish_plain(arn_depthwise d, const ChannelBlock& part, const QFinish& f, int64_t row) const {
    const int64_t n = part.n;
    int32_t *unwoven = d.out + kDepthwisePixels * kVectorBytes, *met = unwoven + kDepthwisePixels * kVectorBytes;
    unweave(d, n, unwoven);
    if (f.columns.b_zero != nullptr) {  // zero points of filters times the sums of what they met
      d.weights = ones(n);
      kernel_(&d, n);
      unweave(d, n, met);
      const uint32_t *zeros = reinterpret_cast<const uint32_t*>(columns_.b_zero) + part.c,
                     *seen = reinterpret_cast<const uint32_t*>(met);
      uint32_t* sums = reinterpret_cast<uint32_t*>(unwoven);
      for (int64_t i = 0; i < d.pixels; ++i, sums += n, seen += n)
        for (int64_t c = 0; c < n; ++c) sums[c] -= seen[c] * zeros[c];
    }
    const int64_t first = part.c + part.done;
    qgemm_finish(f, activation_,
                 {unwoven + part.done, n, row, d.pixels, first, min64(n - part.done, count_ - first), nullptr});
  }

  static void unweave(const arn_depthwise& d, int64_t n, int32_t* to) {
    for (int64_t i = 0; i < d.pixels; ++i)
      for (int64_t v = 0; v < 4; ++v)
        for (int64_t l = 0; l < n / 16; ++l)
          __builtin_memcpy(to + i * n + 16 * l + 4 * v, d.out + i * n + v * (n / 4) + 4 * l, 16);
  }

  // Weights of one for every tap there is.
  const int8_t* ones(int64_t n) const {
    int32_t* to = reinterpret_cast<int32_t*>(scratch_ + b_.at_ones);
    for (int64_t s = 0; s < rows_.columns * rows_.groups; ++s, to += n) {
      int8_t taps[ARN_DOT_GROUP];
      for (int64_t i = 0; i < ARN_DOT_GROUP; ++i) taps[i] = s % rows_.groups * ARN_DOT_GROUP + i < rows_.rows ? 1 : 0;
      int32_t step;
      __builtin_memcpy(&step, taps, sizeof(step));
      for (int64_t i = 0; i < n; ++i) to[i] = step;
    }
    return reinterpret_cast<const int8_t*>(scratch_ + b_.at_ones);
  }

  const QConvBound& b_;
  const ConvShape& s_;
  void* const* operand_;
  char *scratch_, *after_;
  arn_depthwise_fn kernel_;
  const ActivationRows activation_;
  const FilterRows rows_;
  uint8_t zero_ = 0;
  int64_t held_ = -1;  // the block whose filters are at hand
  const int8_t* panels_ = nullptr;
  QColumns columns_{}, woven_{};
  int64_t n_ = 0, z_ = 0, p0_ = 0, group_ = 0;
  int64_t first_ = 0, count_ = 0, channel_ = 0;  // output channels: of the group, how many, of all
  int64_t wide_ = 0;                             // how many, in whole panels
  const char* origin_ = nullptr;
  bool tiled_ = false;
  int32_t* staged_ = nullptr;  // sums of the pixels from staged_from_ on, wide_ elements apart
  int64_t staged_from_ = 0;
};

}  // namespace

int32_t qconv_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                  const arn_state* state) {
  const QConvBound& b = *static_cast<const QConvBound*>(bound);
  if (begin >= end) return ARN_OK;
  Run run(b, operand, thread_scratch);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { run.unit(u); });
}

}  // namespace ARN_NS
