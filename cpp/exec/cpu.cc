// What this processor and its operating system allow: the ISA tier, the features beside it, cache sizes.
#include <unistd.h>

#include "exec/registry.h"

#ifdef ARN_HAS_X86_TIERS
#include <cpuid.h>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#endif

namespace arenaut {
namespace {

#ifdef ARN_HAS_X86_TIERS
uint64_t enabled_state() {  // XCR0: which register files the operating system saves
  uint32_t lo = 0, hi = 0;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (static_cast<uint64_t>(hi) << 32) | lo;
}

// Whether threads of this process may hold AMX tiles: the system saves them, and grants them when asked.
[[maybe_unused]] bool may_hold_tiles(uint64_t xcr0) {
  if ((xcr0 >> 17 & 3) != 3) return false;  // XTILECFG, XTILEDATA
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

void probe(Cpu* c) {
  c->vendor = "x86-64";
  uint32_t a = 0, b = 0, cx = 0, d = 0;
  __cpuid(1, a, b, cx, d);
  const bool osxsave = (cx >> 27) & 1, fma = (cx >> 12) & 1, f16c = (cx >> 29) & 1, avx = (cx >> 28) & 1;
  const bool movbe = (cx >> 22) & 1;
  const uint64_t xcr0 = osxsave ? enabled_state() : 0;
  const bool os_avx = (xcr0 & 0x6) == 0x6;
  uint32_t b7 = 0, c7 = 0, d7 = 0, a71 = 0;
  if (__get_cpuid_max(0, nullptr) >= 7) {
    __cpuid_count(7, 0, a, b7, c7, d7);
    if (a >= 1) __cpuid_count(7, 1, a71, b, cx, d);
  }
  const bool avx2 = (b7 >> 5) & 1, bmi1 = (b7 >> 3) & 1, bmi2 = (b7 >> 8) & 1;
  if (!(os_avx && avx && avx2 && fma && f16c && bmi1 && bmi2 && movbe)) {
    c->reason = os_avx ? "the processor lacks AVX2, FMA or F16C" : "the operating system does not enable AVX registers";
    return;
  }
  c->target.tier = ARN_TIER_V3;
  if ((a71 >> 4) & 1) c->target.features |= ARN_FEATURE_AVX_VNNI;
#if ARN_HAS_X86_TIERS < 2
  (void)c7;
  (void)d7;
  c->reason = "built without tier v4";
#elif defined(ARN_EMULATE_V4)
  (void)c7;
  (void)d7;
  c->target.tier = ARN_TIER_V4;
  c->reason = "built with tier v4 compiled to AVX2";
#else
  const bool os_avx512 = (xcr0 & 0xe6) == 0xe6;
  const uint32_t avx512 = (1u << 16) | (1u << 17) | (1u << 28) | (1u << 30) | (1u << 31);  // F DQ CD BW VL
  if ((b7 & avx512) != avx512 || !os_avx512) {
    c->reason = os_avx512 ? "the processor lacks AVX-512 F/DQ/CD/BW/VL" : "AVX-512 registers are not enabled";
    return;
  }
  c->target.tier = ARN_TIER_V4;
  c->reason = "AVX-512 F/DQ/CD/BW/VL present and enabled";
  if ((c7 >> 11) & 1) c->target.features |= ARN_FEATURE_VNNI;
  if ((a71 >> 5) & 1) c->target.features |= ARN_FEATURE_BF16;
  const bool amx = (d7 >> 24) & 1, amx_int8 = (d7 >> 25) & 1, amx_bf16 = (d7 >> 22) & 1;
  if (amx && (amx_int8 || amx_bf16) && may_hold_tiles(xcr0)) {
    if (amx_int8) c->target.features |= ARN_FEATURE_AMX_INT8;
    if (amx_bf16) c->target.features |= ARN_FEATURE_AMX_BF16;
  }
#endif
}
#else
void probe(Cpu* c) {
  c->vendor = "aarch64";
  c->reason = "the only tier built for this processor";
#if defined(__linux__) && defined(__aarch64__)
  constexpr unsigned long kDotProducts = 1ul << 20;  // HWCAP_ASIMDDP
  if ((getauxval(AT_HWCAP) & kDotProducts) != 0) c->target.features |= ARN_FEATURE_DOT;
#elif defined(__APPLE__)
  c->target.features |= ARN_FEATURE_DOT;  // all of its processors of this family have them
#endif
}
#endif

int64_t cache_bytes(int name, int64_t fallback) {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  const long n = sysconf(name);
  if (n > 0) return n;
#else
  (void)name;
#endif
  return fallback;
}

}  // namespace

const Cpu& cpu() {
  static const Cpu found = [] {
    Cpu c{};
#ifdef _SC_LEVEL1_DCACHE_SIZE
    c.target.l1d_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    c.target.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
    c.target.l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20);
#else
    c.target.l1d_bytes = cache_bytes(0, 64 << 10);
    c.target.l2_bytes = cache_bytes(0, 4 << 20);
    c.target.l3_bytes = cache_bytes(0, 8 << 20);
#endif
    probe(&c);
    return c;
  }();
  return found;
}

const char* tier_name(int32_t tier) {
  static const char* const names[] = {"baseline", "v3", "v4"};
  return tier >= 0 && tier <= 2 ? names[tier] : "unknown";
}

}  // namespace arenaut
