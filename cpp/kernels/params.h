// Parameter structs of kernel families: each member is written once, and the table that Python fills it by comes with
// it. A member is (type, name) or (type, name, [count]); all are int64_t or double.
//
//   ARN_PARAMS(arn_pad_params,
//     (int64_t, mode),                    // ARN_PAD_*
//     (int64_t, begin, [ARN_MAX_RANK]));  // by dim: elements put before x
//
// declares the struct and ArnFields<arn_pad_params>::list. ARN_FAMILY in kernels.inc says which families take it.
#pragma once

#include <stddef.h>

#include <type_traits>

#include "contract.h"

// ARN_EACH(macro, context, items...) is macro(context, item) for each item, at most 64.
#define ARN_PARENS_ ()
#define ARN_AGAIN_4_(...) __VA_ARGS__
#define ARN_AGAIN_3_(...) ARN_AGAIN_4_(ARN_AGAIN_4_(ARN_AGAIN_4_(ARN_AGAIN_4_(__VA_ARGS__))))
#define ARN_AGAIN_2_(...) ARN_AGAIN_3_(ARN_AGAIN_3_(ARN_AGAIN_3_(ARN_AGAIN_3_(__VA_ARGS__))))
#define ARN_AGAIN_(...) ARN_AGAIN_2_(ARN_AGAIN_2_(ARN_AGAIN_2_(ARN_AGAIN_2_(__VA_ARGS__))))
#define ARN_EACH_NEXT_() ARN_EACH_STEP_
#define ARN_EACH_STEP_(macro, context, item, ...) \
  macro(context, item) __VA_OPT__(ARN_EACH_NEXT_ ARN_PARENS_(macro, context, __VA_ARGS__))
#define ARN_EACH(macro, context, ...) __VA_OPT__(ARN_AGAIN_(ARN_EACH_STEP_(macro, context, __VA_ARGS__)))

template <typename Member>
constexpr arn_field arn_field_of(const char* name, size_t offset) {
  using Element = std::remove_all_extents_t<Member>;
  static_assert(std::is_same_v<Element, int64_t> || std::is_same_v<Element, double>,
                "parameters are int64_t or double, or arrays of them");
  return {name, static_cast<int32_t>(offset), static_cast<int32_t>(sizeof(Member) / sizeof(Element)),
          std::is_same_v<Element, double>};
}

template <typename Params>
struct ArnFields;

#define ARN_MEMBER_OF_(type, name, ...) type name __VA_ARGS__;
#define ARN_MEMBER_(unused, member) ARN_MEMBER_OF_ member
#define ARN_NAME_OF_(type, name, ...) name
#define ARN_FIELD_OF_(owner, name) arn_field_of<decltype(owner::name)>(#name, offsetof(owner, name)),
#define ARN_FIELD_NAMED_(owner, name) ARN_FIELD_OF_(owner, name)
#define ARN_FIELD_(owner, member) ARN_FIELD_NAMED_(owner, ARN_NAME_OF_ member)

#define ARN_PARAMS(owner, ...)                                                      \
  struct owner {                                                                    \
    ARN_EACH(ARN_MEMBER_, , __VA_ARGS__)                                            \
  };                                                                                \
  template <>                                                                       \
  struct ArnFields<owner> {                                                         \
    static constexpr arn_field list[] = {ARN_EACH(ARN_FIELD_, owner, __VA_ARGS__)}; \
  }
