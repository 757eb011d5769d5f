#include "exec/registry.h"

#include <iterator>

#include "exec/program.h"
#include "kernels/families.inc"  // the families' parameter structs

// Declarations of every row's entry points. A row's tier list says where they are defined.
#define ARN_DECLARE_(name, tier)                                                               \
  int32_t arn_##name##_bind_##tier(const arn_bind_args*, arn_bound*, void*);                   \
  __attribute__((weak)) int64_t arn_##name##_pack_bytes_##tier(const arn_bind_args*, int32_t); \
  __attribute__((weak)) void arn_##name##_pack_##tier(const arn_bind_args*, int32_t, void*);

#ifdef ARN_HAS_X86_TIERS
#if ARN_HAS_X86_TIERS >= 2
#define ARN_TIERS_ALL(X, ...) \
  X(baseline, ARN_TIER_BASELINE, __VA_ARGS__) X(v3, ARN_TIER_V3, __VA_ARGS__) X(v4, ARN_TIER_V4, __VA_ARGS__)
#else
#define ARN_TIERS_ALL(X, ...) ARN_TIERS_V3(X, __VA_ARGS__)
#endif
#define ARN_TIERS_V3(X, ...) X(baseline, ARN_TIER_BASELINE, __VA_ARGS__) X(v3, ARN_TIER_V3, __VA_ARGS__)
#else
#define ARN_TIERS_ALL(X, ...) X(baseline, ARN_TIER_BASELINE, __VA_ARGS__)
#define ARN_TIERS_V3(X, ...) X(baseline, ARN_TIER_BASELINE, __VA_ARGS__)
#endif
#define ARN_TIERS_BASE(X, ...) X(baseline, ARN_TIER_BASELINE, __VA_ARGS__)

extern "C" {
#define ARN_DECLARE_ONE(tier, level, name) ARN_DECLARE_(name, tier)
#define ARN_ROW(tiers, name, family, features, signature, access, inplace, flags) tiers(ARN_DECLARE_ONE, name)
#include "kernels/families.inc"
#define ARN_DECLARE_TABLE(tier, level, unused) const arn_tile_fn* arn_tile_table_##tier();
ARN_TIERS_ALL(ARN_DECLARE_TABLE, )
}

namespace arenaut {

const std::vector<arn_row>& rows() {
  static const std::vector<arn_row> all = {
#define ARN_LIST_ONE(tier, level, name, family, features, signature, access, inplace, flags) \
  arn_row{#name,                                                                             \
          family,                                                                            \
          level,                                                                             \
          features,                                                                          \
          signature,                                                                         \
          access,                                                                            \
          inplace,                                                                           \
          flags,                                                                             \
          arn_##name##_bind_##tier,                                                          \
          ((flags) & ARN_ROW_PACK) != 0 ? arn_##name##_pack_bytes_##tier : nullptr,          \
          ((flags) & ARN_ROW_PACK) != 0 ? arn_##name##_pack_##tier : nullptr},
#define ARN_ROW(tiers, name, family, features, signature, access, inplace, flags) \
  tiers(ARN_LIST_ONE, name, family, features, signature, access, inplace, flags)
#include "kernels/families.inc"
  };
  return all;
}

const std::vector<arn_params_table>& params_tables() {
  static const std::vector<arn_params_table> all = {
#define ARN_FAMILY(family, params) \
  {family, sizeof(params), static_cast<int32_t>(std::size(ArnFields<params>::list)), ArnFields<params>::list},
#include "kernels/families.inc"
  };
  return all;
}

const std::vector<Enumeration>& enumerations() {
  static const std::vector<Enumeration> all = {
      {"DType", arn_dtype_text}, {"Status", arn_status_text}, {"Tier", arn_tier_text}, {"Feature", arn_feature_text},
      {"Segment", SegmentText},  {"StepKind", StepKindText},  {"ExprOp", ExprOpText},
#define ARN_CODES(name, enumeration) {name, enumeration##_text},
#include "kernels/families.inc"
  };
  return all;
}

const std::vector<TileFunction>& tile_functions() {
  static const std::vector<TileFunction> all = {
#define ARN_TILE_FN(name, result, a, b, c) {#name, result, a, b, c},
#include "kernels/tile/functions.inc"
#undef ARN_TILE_FN
  };
  return all;
}

const std::vector<Feature>& features() {
  static const std::vector<Feature> all = {
#define ARN_FEATURE(name, bit, least_tier) {name, bit, least_tier},
#include "kernels/features.inc"
#undef ARN_FEATURE
  };
  return all;
}

const arn_tile_fn* tile_table(int32_t tier) {
#ifdef ARN_HAS_X86_TIERS
#if ARN_HAS_X86_TIERS >= 2
  if (tier == ARN_TIER_V4) return arn_tile_table_v4();
#endif
  if (tier == ARN_TIER_V3) return arn_tile_table_v3();
#endif
  (void)tier;
  return arn_tile_table_baseline();
}

}  // namespace arenaut
