#include "kernels/qmatmul/qgemm.h"

#include "kernels/qmatmul/finish.h"
#include "kernels/qmatmul/pairs.h"

extern "C" {
#ifdef ARN_HAS_VNNI
const arn_dots_kernel* arn_dots_v4_vnni();
#endif
#ifdef ARN_HAS_AVX_VNNI
const arn_dots_kernel* arn_dots_v3_avx_vnni();
#endif
#ifdef ARN_HAS_AMX_INT8
const arn_dots_kernel* arn_dots_v4_amx_int8();
#endif
#ifdef ARN_HAS_DOT
const arn_dots_kernel* arn_dots_baseline_dot();
#endif
}

namespace ARN_NS {
namespace {

constexpr int kTallest = Pairs::rows_for(2);
const arn_dots_kernel kPairs = {"pairs", kTallest, 8, 4, ARN_DOT_UNSIGNED, 1, 0, nullptr, run_tiles<Pairs>, nullptr};
const arn_dots_kernel kWords = {"pairs", Words::rows_for(2), 8,      4, ARN_DOT_UNSIGNED, 1, 0,
                                nullptr, run_tiles<Words>,   nullptr};
constexpr int64_t kRowsForWords = 8;  // from so many on widened panels are paid back

enum : int32_t { kPairsKernel, kVnniKernel, kAmxKernel };
[[maybe_unused]] constexpr int64_t kRowsForTiles = 4;  // from so many on AMX is worth it
constexpr int kShort = 16;                             // bytes of a stretch that is copied whole
constexpr int64_t kMostRows = 32, kMostPanels = 12;

const arn_dots_kernel& kernel_of(int32_t kernel) {
#ifdef ARN_HAS_AMX_INT8
  if (kernel == kAmxKernel) return *arn_dots_v4_amx_int8();
#endif
#if defined(ARN_HAS_VNNI)
  if (kernel == kVnniKernel) return *arn_dots_v4_vnni();
#elif defined(ARN_HAS_AVX_VNNI)
  if (kernel == kVnniKernel) return *arn_dots_v3_avx_vnni();
#elif defined(ARN_HAS_DOT)
  if (kernel == kVnniKernel) return *arn_dots_baseline_dot();
#endif
  (void)kernel;
  return kPairs;
}

// Copies n bytes, each with `flip` toggled, in vectors of kBytes, the last one over those before; no if there are
// fewer.
template <int kBytes>
inline bool copy_vectors(uint8_t* to, const uint8_t* from, int64_t n, uint8_t flip) {
  typedef uint8_t V __attribute__((vector_size(kBytes)));
  typedef uint8_t VU __attribute__((vector_size(kBytes), aligned(1), may_alias));
  if (n < kBytes) return false;
  const V flips = V{} + flip;
  const auto copy = [&](int64_t i) { *reinterpret_cast<VU*>(to + i) = *reinterpret_cast<const VU*>(from + i) ^ flips; };
  int64_t i = 0;
  for (; i + kBytes <= n; i += kBytes) copy(i);
  if (i < n) copy(n - kBytes);
  return true;
}

inline void copy_flipped(uint8_t* to, const uint8_t* from, int64_t n, uint8_t flip) {
  typedef uint64_t u64u __attribute__((aligned(1), may_alias));
  if (copy_vectors<ARN_VECTOR_BYTES>(to, from, n, flip) || copy_vectors<16>(to, from, n, flip)) return;
  const uint64_t eight = flip * UINT64_C(0x0101010101010101);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) *reinterpret_cast<u64u*>(to + i) = *reinterpret_cast<const u64u*>(from + i) ^ eight;
  for (; i < n; ++i) to[i] = from[i] ^ flip;
}

// The rows of a pass as the kernel reads them.
class Strip {
 public:
  Strip(const QGemm& g, const arn_dots_kernel& kernel, bool words, const QRows& a, int64_t rows, void* memory)
      : g_(g), kernel_(kernel), words_(words), a_(a), flip_(g.flips != 0 ? 0x80 : 0) {
    gathered_ = static_cast<uint8_t*>(memory);
    gathered_row_ = padded_row(g);
    widened_ = gathered_ + kMostRows * gathered_row_;
    bytes_ = kernel.depth;
    const bool shallow = kernel.shallow != 0 && a.taps == 1 && a.tap_bytes < kernel.depth && a.tap_bytes > 0 &&
                         a.tap_bytes % ARN_DOT_GROUP == 0;
    in_place_ = flip_ == 0 && a.step == 1 && a.pointer == nullptr && (a.tap_bytes % kernel.depth == 0 || shallow);
    if (in_place_ && shallow) bytes_ = a.tap_bytes;
    if (in_place_) return;
    const int64_t pad = gathered_row_ - g.k;
    for (int64_t i = 0; pad > 0 && i < min64(rows, kernel.rows); ++i)
      __builtin_memset(gathered_ + i * gathered_row_ + g.k, 0, static_cast<size_t>(pad));
  }
  // Of a tap, as a kernel's `begin` asks.
  int64_t bytes() const { return bytes_; }
  static int64_t padded_row(const QGemm& g) { return round_up(max64(g.k, 1), 64); }

  // Prepares rows [row, row + rows), the part of d that describes them, and their sums when asked.
  void take(int64_t row, int64_t rows, arn_dots* d, int32_t* row_sums) {
    const uint8_t* from = static_cast<const uint8_t*>(a_.at) + row * a_.row;
    int64_t from_row = a_.row;
    d->tap = a_.tap;
    d->taps = a_.taps;
    d->groups = a_.tap_bytes / ARN_DOT_GROUP;
    if (!in_place_) {
      gather(row, rows);
      from = gathered_;
      from_row = gathered_row_;
      d->tap = nullptr;
      d->taps = 1;
      d->groups = g_.groups;
    }
    if (row_sums != nullptr) sum(from, from_row, rows, *d, row_sums);
    if (kernel_.widened != 0) {
      widen(from, from_row, rows, *d);
      from = widened_;
      from_row = 2 * gathered_row_;
      d->tap = nullptr;
      d->taps = 1;
      d->groups = words_ ? 2 * g_.groups : g_.groups;
    }
    d->a = from;
    d->a_row = from_row;
  }

 private:
  void gather(int64_t row, int64_t rows) {
    if (a_.pointer == nullptr && a_.step != 1) return gather_strided(row, rows);
    if (a_.pointer != nullptr && a_.step == 1 && a_.tap_bytes < kShort && a_.tap_bytes + a_.beyond >= kShort)
      return gather_short(row, rows);
    for (int64_t i = 0; i < rows; ++i) {
      uint8_t* to = gathered_ + i * gathered_row_;
      for (int64_t t = 0; t < a_.taps; ++t) {
        const uint8_t* from = a_.pointer != nullptr ? static_cast<const uint8_t*>(a_.pointer[t * a_.pointers + row + i])
                                                    : static_cast<const uint8_t*>(a_.at) + (row + i) * a_.row + tap(t);
        if (a_.step == 1) {
          copy_flipped(to, from, a_.tap_bytes, flip_);
        } else {
          for (int64_t k = 0; k < a_.tap_bytes; ++k) to[k] = from[k * a_.step] ^ flip_;
        }
        to += a_.tap_bytes;
      }
    }
  }

  // Short stretches, a vector each: what is too much is written over by what follows.
  void gather_short(int64_t row, int64_t rows) {
    for (int64_t i = 0; i < rows; ++i) {
      uint8_t* to = gathered_ + i * gathered_row_;
      const void* const* pointer = a_.pointer + row + i;
      for (int64_t t = 0; t < a_.taps; ++t, to += a_.tap_bytes, pointer += a_.pointers)
        copy_vectors<kShort>(to, static_cast<const uint8_t*>(*pointer), kShort, flip_);
      __builtin_memset(to, 0, kShort);
    }
  }

  // Rows next to each other in memory: read along them.
  void gather_strided(int64_t row, int64_t rows) {
    int64_t at = 0;
    for (int64_t t = 0; t < a_.taps; ++t)
      for (int64_t k = 0; k < a_.tap_bytes; ++k, ++at) {
        const uint8_t* from = static_cast<const uint8_t*>(a_.at) + row * a_.row + tap(t) + k * a_.step;
        for (int64_t i = 0; i < rows; ++i) gathered_[i * gathered_row_ + at] = from[i * a_.row] ^ flip_;
      }
  }

  void sum(const uint8_t* from, int64_t from_row, int64_t rows, const arn_dots& d, int32_t* row_sums) const {
    const bool is_signed = (g_.a_signed != 0) != (g_.flips != 0);
    for (int64_t i = 0; i < rows; ++i) {
      int32_t total = 0;
      for (int64_t t = 0; t < d.taps; ++t) {
        const uint8_t* x = from + i * from_row + (d.tap != nullptr ? d.tap[t] : 0);
        const int64_t n = min64(d.groups * ARN_DOT_GROUP, g_.k);
        if (is_signed)
          for (int64_t k = 0; k < n; ++k) total += static_cast<int8_t>(x[k]);
        else
          for (int64_t k = 0; k < n; ++k) total += x[k];
      }
      row_sums[i] = total;
    }
  }

  void widen(const uint8_t* from, int64_t from_row, int64_t rows, const arn_dots& d) {
    if (words_) return widen_words(from, from_row, rows, d);
    for (int64_t i = 0; i < rows; ++i) {
      uint8_t* to = widened_ + i * 2 * gathered_row_;
      for (int64_t t = 0; t < d.taps; ++t) {
        const uint8_t* x = from + i * from_row + (d.tap != nullptr ? d.tap[t] : 0);
        for (int64_t g = 0; g < d.groups; ++g, to += 8) {
          uint32_t four;
          __builtin_memcpy(&four, x + 4 * g, 4);
          const uint32_t pair[2] = {four & 0x00ff00ffu, four >> 8 & 0x00ff00ffu};
          __builtin_memcpy(to, pair, 8);
        }
      }
    }
  }

  void widen_words(const uint8_t* from, int64_t from_row, int64_t rows, const arn_dots& d) {
    const int64_t bytes = d.groups * ARN_DOT_GROUP, second = g_.groups * ARN_DOT_GROUP;
    for (int64_t i = 0; i < rows; ++i) {
      uint8_t* to = widened_ + i * 2 * gathered_row_;
      for (int64_t t = 0; t < d.taps; ++t, to += bytes)
        widen_unsigned(from + i * from_row + (d.tap != nullptr ? d.tap[t] : 0), bytes, to, to + second);
    }
  }

  int64_t tap(int64_t t) const { return a_.tap != nullptr ? a_.tap[t] : 0; }

  const QGemm& g_;
  const arn_dots_kernel& kernel_;
  const bool words_;
  const QRows& a_;
  const uint8_t flip_;
  uint8_t *gathered_, *widened_;
  int64_t gathered_row_, bytes_;
  bool in_place_;
};

int64_t strip_bytes(const QGemm& g) {
  const int64_t row = Strip::padded_row(g);
  return kMostRows * row * (kernel_of(g.kernel).widened != 0 ? 3 : 1) + kShort;
}

// Asks for the lines that a block of the output will be written to: its short rows are far apart.
void foresee(const QFinish& f, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  if (f.out_col != 1) return;
  const int64_t size = element_bytes(f.out_dtype);
  const char* out = static_cast<const char*>(f.out) + (row * f.out_row + col) * size;
  for (int64_t i = 0; i < rows; ++i, out += f.out_row * size)
    for (int64_t b = 0; b < cols * size; b += 64) __builtin_prefetch(out + b, 1);
}

constexpr int64_t kSumsRow = kMostPanels * ARN_DOT_LANES;
constexpr int64_t kSumsBytes = kMostRows * kSumsRow * 4 + kMostRows * 4;

void widen_panels(const QGemm& g, const int8_t* b, int64_t panels, int8_t* to) {
  for (int64_t p = 0; p < panels; ++p, b += g.panel, to += 2 * g.panel) widen_signed(b, g.panel, to, to + g.panel);
}

}  // namespace

QGemm qgemm_choose(int64_t k, int64_t rows, bool a_signed, const arn_target& target) {
  QGemm g{};
  g.k = k;
  g.groups = ceil_div(k, ARN_DOT_GROUP);
  g.panel = g.groups * ARN_DOT_PANEL_STEP;
  g.a_signed = a_signed ? 1 : 0;
  g.kernel = kPairsKernel;
#ifdef ARN_HAS_VNNI
  if ((target.features & ARN_FEATURE_VNNI) != 0 && ARN_CHOICE("qmatmul/vnni", true)) g.kernel = kVnniKernel;
#elif defined(ARN_HAS_AVX_VNNI)
  if ((target.features & ARN_FEATURE_AVX_VNNI) != 0 && ARN_CHOICE("qmatmul/vnni", true)) g.kernel = kVnniKernel;
#elif defined(ARN_HAS_DOT)
  if ((target.features & ARN_FEATURE_DOT) != 0 && ARN_CHOICE("qmatmul/dot", true)) g.kernel = kVnniKernel;
#endif
#ifdef ARN_HAS_AMX_INT8
  if ((target.features & ARN_FEATURE_AMX_INT8) != 0 && ARN_CHOICE("qmatmul/amx", rows >= kRowsForTiles))
    g.kernel = kAmxKernel;
#endif
  (void)rows;
  const int64_t fit = target.l2_bytes / 4 / (2 * max64(1, g.panel));
  g.widened_panels = kernel_of(g.kernel).widened != 0 ? max64(2, min64(kWords.panels, fit / 2 * 2)) : 0;
  const int32_t form = kernel_of(g.kernel).form;
  g.flips = (form & (a_signed ? ARN_DOT_SIGNED : ARN_DOT_UNSIGNED)) == 0 ? 1 : 0;
  return g;
}

const char* qgemm_kernel_name(const QGemm& g) { return kernel_of(g.kernel).name; }

const arn_dots_kernel& qgemm_words_kernel() { return kWords; }

int64_t qgemm_scratch(const QGemm& g) {
  return round_up(strip_bytes(g), ARN_ALIGN) + round_up(kSumsBytes, ARN_ALIGN) + g.widened_panels * 2 * g.panel;
}

void qgemm_pass(const QGemm& g, const QRows& a, int64_t m, const int8_t* b, int64_t n, const QFinish& finish,
                void* scratch) {
  const bool words = g.widened_panels != 0 && m >= kRowsForWords;
  const arn_dots_kernel& kernel = words ? kWords : kernel_of(g.kernel);
  char* memory = static_cast<char*>(scratch);
  int32_t* sums = reinterpret_cast<int32_t*>(memory + round_up(strip_bytes(g), ARN_ALIGN));
  int32_t* row_sums = sums + kMostRows * kSumsRow;
  int8_t* widened = reinterpret_cast<int8_t*>(sums) + round_up(kSumsBytes, ARN_ALIGN);
  int32_t* wanted = finish.columns.b_zero != nullptr ? row_sums : nullptr;
  Strip strip(g, kernel, words, a, m, memory);
  const ActivationRows activation(finish.activation);
  const int64_t panels = ceil_div(n, ARN_DOT_LANES), strips = ceil_div(m, kernel.rows);
  const int64_t sums_row = min64(panels, kernel.panels) * ARN_DOT_LANES;
  const int64_t chunk = words ? g.widened_panels : panels;
  arn_dots d{};
  d.panel = words ? 2 * g.panel : g.panel;
  d.a_signed = (g.a_signed != 0) != (g.flips != 0) ? 1 : 0;
  d.out = sums;
  d.out_row = sums_row;
  int64_t begun = -1;
  // Tiles of 16 rows are filled; other kernels share the rows out evenly.
  const bool even = kernel.begin == nullptr;
  for (int64_t first = 0; first < panels; first += chunk) {
    const int64_t last = min64(panels, first + chunk);
    const int8_t* from_b = b + first * g.panel;
    if (words) widen_panels(g, from_b, last - first, widened);
    if (words) from_b = widened;
    for (int64_t s = 0; s < strips; ++s) {
      const int64_t from = even ? m * s / strips : s * kernel.rows;
      const int64_t to = even ? m * (s + 1) / strips : min64(m, from + kernel.rows);
      d.rows = to - from;
      strip.take(from, d.rows, &d, wanted);
      if (!even && d.rows != begun) kernel.begin(begun = d.rows, strip.bytes());
      for (int64_t p = first; p < last; p += kernel.panels) {
        d.panels = min64(kernel.panels, last - p);
        d.b = from_b + (p - first) * d.panel;
        const int64_t col = p * ARN_DOT_LANES, cols = min64(d.panels * ARN_DOT_LANES, n - col);
        foresee(finish, from, d.rows, col, cols);
        kernel.run(&d);
        qgemm_finish(finish, activation, {sums, sums_row, from, d.rows, col, cols, wanted});
      }
    }
  }
  if (kernel.end != nullptr && m > 0) kernel.end();
}

}  // namespace ARN_NS
