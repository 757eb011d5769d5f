// Filters in the packed form of integer products.
#include "kernels/qconv/qconv.h"

namespace ARN_NS {

int64_t packed_filters_bytes(const RawWeights& w, int64_t n) {
  return round_up(qgemm_packed_bytes(padded_depth(w), n), ARN_ALIGN);
}

void pack_filters(const RawWeights& w, const void* src, int64_t group, int64_t first, int64_t n, bool is_signed,
                  void* dst) {
  const int64_t k = padded_depth(w);
  const FilterRows rows = filter_rows(w);
  const int64_t groups = ceil_div(k, ARN_DOT_GROUP), panel_bytes = groups * ARN_DOT_PANEL_STEP;
  const bool depthwise = is_depthwise(w);
  const uint8_t flip = is_signed ? 0 : 0x80;
  uint8_t* to = static_cast<uint8_t*>(dst);
  __builtin_memset(to, 0, static_cast<size_t>(packed_filters_bytes(w, n)));
  int32_t* sums = reinterpret_cast<int32_t*>(to + qgemm_sums(k, n));
  const uint8_t* base = static_cast<const uint8_t*>(src) + group * w.group;
  for (int64_t j = 0; j < n; ++j) {
    const uint8_t* filter = base + (first + j) * (depthwise ? w.group : w.out);
    uint8_t* column = to + j / ARN_DOT_LANES * panel_bytes + j % ARN_DOT_LANES * ARN_DOT_GROUP;
    int32_t total = 0;
    for (int64_t z = 0; z < w.kernel[0]; ++z)
      for (int64_t y = 0; y < w.kernel[1]; ++y)
        for (int64_t x = 0; x < w.kernel[2]; ++x) {
          const uint8_t* tap = filter + z * w.at[0] + y * w.at[1] + x * w.at[2];
          const int64_t row = z * w.kernel[1] + y;
          int64_t at = depthwise ? x * rows.groups * ARN_DOT_GROUP + row : (row * w.kernel[2] + x) * w.cg;
          for (int64_t c = 0; c < w.cg; ++c, ++at) {
            const uint8_t byte = tap[c * w.in] ^ flip;
            column[at / ARN_DOT_GROUP * ARN_DOT_PANEL_STEP + at % ARN_DOT_GROUP] = byte;
            total += static_cast<int8_t>(byte);
          }
        }
    sums[j] = total;
  }
}

}  // namespace ARN_NS

ARN_DEFINE_PACK_BYTES(qconv) {
  using namespace ARN_NS;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  if (operand != 1 || args->n_in < 2 || args->operand[1].rank != p.spatial + 2) return 0;
  const arn_desc& d = args->operand[1];
  if (!has_groups(d, p)) return 0;
  for (int i = 0; i < d.rank; ++i)
    if (d.dims[i] < 0) return 0;
  if (d.dims[0] % p.group != 0) return 0;
  const RawWeights w = raw_weights(d, p, false);
  return is_depthwise(w) ? packed_filters_bytes(w, w.groups) : w.groups * packed_filters_bytes(w, w.og);
}

ARN_DEFINE_PACK(qconv) {
  using namespace ARN_NS;
  if (operand != 1) return;
  const arn_desc& d = args->operand[1];
  const RawWeights w = raw_weights(d, *static_cast<const arn_conv_params*>(args->params), false);
  const bool is_signed = d.dtype == ARN_I8;
  if (is_depthwise(w)) return pack_filters(w, args->constant[1], 0, 0, w.groups, is_signed, dst);
  for (int64_t g = 0; g < w.groups; ++g)
    pack_filters(w, args->constant[1], g, 0, w.og, is_signed,
                 static_cast<char*>(dst) + g * packed_filters_bytes(w, w.og));
}
