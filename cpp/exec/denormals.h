// Denormal operands and results count as zero while kernels run: they are a hundred times slower than others. The
// caller's setting comes back afterwards.
#pragma once

#include <cstdint>

namespace arenaut {

#if defined(__x86_64__)
using FloatControl = uint32_t;
inline FloatControl float_control() { return __builtin_ia32_stmxcsr(); }
inline void set_float_control(FloatControl c) { __builtin_ia32_ldmxcsr(c); }
constexpr FloatControl kFlush = 0x8040;  // FTZ and DAZ
#elif defined(__aarch64__)
using FloatControl = uint64_t;
inline FloatControl float_control() {
  FloatControl c = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(c));
  return c;
}
inline void set_float_control(FloatControl c) { __asm__ volatile("msr fpcr, %0" : : "r"(c)); }
constexpr FloatControl kFlush = uint64_t{1} << 24;
#else
using FloatControl = uint32_t;
inline FloatControl float_control() { return 0; }
inline void set_float_control(FloatControl) {}
constexpr FloatControl kFlush = 0;
#endif

inline void set_flush_denormals() { set_float_control(float_control() | kFlush); }

class FlushDenormals {
 public:
  FlushDenormals() : before_(float_control()) { set_float_control(before_ | kFlush); }
  ~FlushDenormals() { set_float_control(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  FloatControl before_;
};

// Within FlushDenormals: the plain setting, for code that is not ours.
class KeepDenormals {
 public:
  KeepDenormals() : before_(float_control()) { set_float_control(before_ & ~kFlush); }
  ~KeepDenormals() { set_float_control(before_); }
  KeepDenormals(const KeepDenormals&) = delete;
  KeepDenormals& operator=(const KeepDenormals&) = delete;

 private:
  FloatControl before_;
};

}  // namespace arenaut
