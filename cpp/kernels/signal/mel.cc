// MelWeightMatrix: triangles over the bins of a one-sided spectrum, as the standard's reference places them.
#include "kernels/signal/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

struct MelBound {
  int64_t bins, bands, y_step[2];
  int32_t dtype;
};

// The bins at which triangles begin and end; false where they are no bins.
struct Edges {
  double low, step, length, rate;

  bool at(int64_t i, int64_t* bin) const {
    const double hertz = 700.0 * (__builtin_pow(10.0, (low + static_cast<double>(i) * step) / 2595.0) - 1.0);
    const double found = __builtin_floor(length * hertz / rate);
    if (!(__builtin_fabs(found) < 0x1p53)) return false;
    *bin = static_cast<int64_t>(found);
    return true;
  }
};

inline double mel_of(float hertz) { return 2595.0 * __builtin_log10(1.0 + static_cast<double>(hertz) / 700.0); }

template <typename T>
int32_t place_triangles(const MelBound& b, const Edges& edges, T* y) {
  int64_t left = 0, center = 0, right = 0;
  if (!edges.at(0, &left) || !edges.at(1, &center)) return ARN_BAD_VALUE;
  for (int64_t band = 0; band < b.bands; ++band, left = center, center = right) {
    if (!edges.at(band + 2, &right)) return ARN_BAD_VALUE;
    const int64_t end = max64(right, center + 1);
    if (left < 0 || end > b.bins || center < left) return ARN_INDEX_OUT_OF_RANGE;
    T* at = y + band * b.y_step[1];
    const double rise = static_cast<double>(max64(center - left, 1)),
                 fall = static_cast<double>(max64(right - center, 1));
    for (int64_t i = left; i < center; ++i) at[i * b.y_step[0]] = static_cast<T>(static_cast<double>(i - left) / rise);
    at[center * b.y_step[0]] = 1;
    for (int64_t i = center + 1; i < end; ++i)
      at[i * b.y_step[0]] = static_cast<T>(static_cast<double>(right - i) / fall);
  }
  return ARN_OK;
}

int32_t mel_task(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                 const arn_state* state) {
  const MelBound& b = *static_cast<const MelBound*>(bound);
  const auto integer = [&](int i) { return static_cast<double>(*static_cast<const int64_t*>(operand[i])); };
  const double low = mel_of(*static_cast<const float*>(operand[3])),
               high = mel_of(*static_cast<const float*>(operand[4]));
  const Edges edges{low, (high - low) / (integer(0) + 2.0), integer(1) + 1.0, integer(2)};
  return for_tasks(begin, end, 1, 1, state, [&](int64_t, int64_t) -> int32_t {
    const size_t bytes = static_cast<size_t>(b.bins * b.bands * element_bytes(b.dtype));
    __builtin_memset(operand[5], 0, bytes);
    return b.dtype == ARN_F64 ? place_triangles(b, edges, static_cast<double*>(operand[5]))
                              : place_triangles(b, edges, static_cast<float*>(operand[5]));
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(mel_weights) {
  using namespace ARN_NS;
  const arn_desc& y = args->operand[5];
  if (y.rank != 2) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < 5; ++i)
    if (element_count(args->operand[i]) != 1) return ARN_SHAPE_MISMATCH;
  MelBound* b = static_cast<MelBound*>(bound);
  b->bins = y.dims[0];
  b->bands = y.dims[1];
  for (int i = 0; i < 2; ++i) b->y_step[i] = y.strides[i];
  b->dtype = y.dtype;
  return bind_done(out, mel_task, element_count(y) > 0 ? 1 : 0, sizeof(MelBound), "triangles");
}
#endif
