// Sums and means of bytes that stand for real numbers: of the bytes, in integers, and scaled at the end.
#include "kernels/reduce/params.h"
#include "kernels/reduce/space.h"
#include "simd/bytes.h"

namespace ARN_NS {
namespace {

constexpr int64_t L = kLanesF32;
constexpr int64_t kPanel = 64;       // columns that are summed together
constexpr int64_t kShort = 1 << 22;  // bytes of which sums of 32 bits hold as many

struct QuantaBound {
  ReduceSpace space;
  int64_t panels, units, tasks;
  int32_t is_mean, is_signed, zero;  // zero: operand, -1 for none
  int32_t out;
};

template <bool kSigned>
vi32 load(const uint8_t* p) {
  return kSigned ? load_i8(p) : load_u8(p);
}
template <bool kSigned>
int64_t byte(const uint8_t* p) {
  return kSigned ? static_cast<int8_t>(*p) : *p;
}

// Of n columns from x on, n <= kPanel.
template <bool kSigned>
void sum_columns(const ReduceSpace& s, const uint8_t* x, int64_t n, int64_t* total) {
  for (int64_t i = 0; i < n; ++i) total[i] = 0;
  const int64_t whole = s.inner_in == 1 ? n / L * L : 0;
  Cursor<1> c;
  walk_seek(s.reduced, 0, &c);
  for (int64_t done = 0; done < s.folds;) {
    const int64_t end = min64(s.folds, done + kShort);
    vi32 sums[kPanel / L] = {};
    for (; done < end; ++done) {
      const uint8_t* from = x + c.offset[0];
      if (whole == kPanel) {
#pragma GCC unroll 16
        for (int64_t v = 0; v < kPanel / L; ++v) sums[v] += load<kSigned>(from + v * L);
      } else {
        for (int64_t v = 0; v < whole / L; ++v) sums[v] += load<kSigned>(from + v * L);
        for (int64_t i = whole; i < n; ++i) total[i] += byte<kSigned>(from + i * s.inner_in);
      }
      walk_next(s.reduced, &c);
    }
    for (int64_t v = 0; v < whole / L; ++v)
      for (int64_t i = 0; i < L; ++i) total[v * L + i] += sums[v][i];
  }
}

template <bool kSigned>
int64_t sum_rows(const ReduceSpace& s, const uint8_t* x) {
  Cursor<1> c;
  walk_seek(s.reduced, 0, &c);
  int64_t total = 0;
  for (int64_t fold = 0; fold < s.folds; ++fold) {
    const uint8_t* from = x + c.offset[0];
    int64_t i = 0;
    while (s.inner_in == 1 && i + L <= s.inner) {
      const int64_t end = min64(s.inner, i + kShort) - L;
      vi32 sums{};
      for (; i <= end; i += L) sums += load<kSigned>(from + i);
      for (int64_t v = 0; v < L; ++v) total += sums[v];
    }
    for (; i < s.inner; ++i) total += byte<kSigned>(from + i * s.inner_in);
    walk_next(s.reduced, &c);
  }
  return total;
}

template <bool kSigned>
int32_t reduce_units(const QuantaBound& b, void* const* operand, int64_t from, int64_t to) {
  const ReduceSpace& s = b.space;
  const double scale = static_cast<double>(*static_cast<const float*>(operand[1])),
               count = static_cast<double>(s.count);
  const int64_t zero = b.zero < 0 ? 0 : byte<kSigned>(static_cast<const uint8_t*>(operand[b.zero]));
  const auto real = [&](int64_t sum) {
    const double x = static_cast<double>(sum - zero * s.count) * scale;
    return static_cast<float>(b.is_mean != 0 ? x / count : x);
  };
  Cursor<2> c;
  walk_seek(s.kept, from / b.panels, &c);
  int64_t panel = from % b.panels;
  for (int64_t unit = from; unit < to; ++unit) {
    const uint8_t* x = static_cast<const uint8_t*>(operand[0]) + c.offset[0];
    float* y = static_cast<float*>(operand[b.out]) + c.offset[1];
    if (s.columns) {
      int64_t total[kPanel];
      const int64_t first = panel * kPanel, n = min64(kPanel, s.inner - first);
      sum_columns<kSigned>(s, x + first * s.inner_in, n, total);
      for (int64_t i = 0; i < n; ++i) y[(first + i) * s.inner_out] = real(total[i]);
    } else {
      *y = real(sum_rows<kSigned>(s, x));
    }
    if (++panel < b.panels) continue;
    panel = 0;
    walk_next(s.kept, &c);
  }
  return ARN_OK;
}

int32_t run_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                  const arn_state* state) {
  const QuantaBound& b = *static_cast<const QuantaBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    if (from == to) return static_cast<int32_t>(ARN_OK);
    return b.is_signed != 0 ? reduce_units<true>(b, operand, from, to) : reduce_units<false>(b, operand, from, to);
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(reduce_quanta) {
  using namespace ARN_NS;
  auto* b = static_cast<QuantaBound*>(bound);
  const arn_reduce_params& p = *static_cast<const arn_reduce_params*>(args->params);
  if (args->n_in < 2 || (p.kind != ARN_REDUCE_MEAN && p.kind != ARN_REDUCE_SUM)) return ARN_UNSUPPORTED;
  const arn_desc &x = args->operand[0], &y = args->operand[args->n_in];
  const bool zero = args->n_in > 2 && args->operand[2].dtype != ARN_NONE;
  if (element_count(args->operand[1]) != 1 || (zero && element_count(args->operand[2]) != 1)) return ARN_SHAPE_MISMATCH;
  if (zero && args->operand[2].dtype != x.dtype) return ARN_UNSUPPORTED;
  const int32_t status = plan_space(x, y, p.axes, &b->space);
  if (status != ARN_OK) return status;
  const ReduceSpace& s = b->space;
  b->is_mean = p.kind == ARN_REDUCE_MEAN;
  b->is_signed = x.dtype == ARN_I8;
  b->zero = zero ? 2 : -1;
  b->out = args->n_in;
  b->panels = s.columns ? ceil_div(s.inner, kPanel) : 1;
  b->units = walk_count(s.kept) * b->panels;
  b->tasks = tasks_for(b->units, element_count(y) * max64(1, s.count));
  return bind_done(out, run_tasks, b->tasks, sizeof(QuantaBound), s.columns ? "columns" : "rows");
}
