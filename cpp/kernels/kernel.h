// What every kernel source includes: the contract, the tier's namespace and names, and a few helpers.
// A source file is compiled once per tier with ARN_TIER_NAME (baseline, v3, v4) and ARN_TIER_LEVEL (0, 1, 2) defined,
// ARN_VECTOR_BYTES being that tier's vector width. Code that a tier must not have is fenced by ARN_TIER_LEVEL.
#pragma once

#include "contract.h"

#define ARN_CONCAT_(a, b, c) a##b##c
#define ARN_CONCAT(a, b, c) ARN_CONCAT_(a, b, c)

// Everything that is not a row's entry point lives in ARN_NS, so that no tier's inline code can replace another's.
#define ARN_NS ARN_CONCAT(arn_, ARN_TIER_NAME, )

// Entry points of row `name` on this tier: arn_<name>_bind_<tier>, arn_<name>_pack_bytes_<tier>,
// arn_<name>_pack_<tier>.
#define ARN_BIND(name) ARN_CONCAT(arn_##name##_bind_, ARN_TIER_NAME, )
#define ARN_PACK_BYTES(name) ARN_CONCAT(arn_##name##_pack_bytes_, ARN_TIER_NAME, )
#define ARN_PACK(name) ARN_CONCAT(arn_##name##_pack_, ARN_TIER_NAME, )

// Definitions that a source opens its entry points with:  ARN_DEFINE_BIND(copy) { ... }
#define ARN_DEFINE_BIND(name) extern "C" int32_t ARN_BIND(name)(const arn_bind_args* args, arn_bound* out, void* bound)
#define ARN_DEFINE_PACK_BYTES(name) extern "C" int64_t ARN_PACK_BYTES(name)(const arn_bind_args* args, int32_t operand)
#define ARN_DEFINE_PACK(name) extern "C" void ARN_PACK(name)(const arn_bind_args* args, int32_t operand, void* dst)

// A choice between code paths that give the same results, called "<folder>/<variant>". A build with ARENAUT_MUTANTS can
// force it (tests/mutation); tests/kernels/test_variants.py has a case for each.
#ifdef ARN_MUTANTS
extern "C" int32_t arn_forced(const char* name, int32_t condition);
#define ARN_CHOICE(name, condition) (arn_forced(name, (condition) ? 1 : 0) != 0)
#else
#define ARN_CHOICE(name, condition) (condition)
#endif

namespace ARN_NS {

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The memory that a bind function may write, as a T of zeros.
template <typename T>
static inline T* cleared(void* bound) {
  static_assert(sizeof(T) <= ARN_BOUND_MAX, "bound too large");
  __builtin_memset(bound, 0, sizeof(T));
  return static_cast<T*>(bound);
}

static inline int64_t element_bytes(int32_t dtype) {
  switch (dtype) {
    case ARN_F32:
    case ARN_I32:
    case ARN_U32:
      return 4;
    case ARN_F64:
    case ARN_I64:
    case ARN_U64:
    case ARN_C64:
      return 8;
    case ARN_C128:
      return 16;
    case ARN_F16:
    case ARN_BF16:
    case ARN_U16:
    case ARN_I16:
      return 2;
    default:
      return 1;
  }
}

static inline int64_t element_count(const arn_desc& d) {
  int64_t n = 1;
  for (int i = 0; i < d.rank; ++i) n *= d.dims[i];
  return n;
}

// The task range [begin, end) of `tasks` as rows of `n`: task t covers [t * n / tasks, (t + 1) * n / tasks).
static inline int64_t task_begin(int64_t task, int64_t tasks, int64_t n) { return task * n / tasks; }

// How many tasks to cut `work` units into, at least `grain` units each, at most `limit`. A function of the shape only.
static inline int64_t task_count(int64_t work, int64_t grain, int64_t limit) {
  return max64(1, min64(limit, work / max64(1, grain)));
}

}  // namespace ARN_NS
