// One contiguous run of bytes, inlined for short ones: overlapping loads and stores inside the run, never outside.
#pragma once

#include "kernels/copy/plane.h"

#if ARN_TIER_LEVEL <= 1
namespace ARN_NS {

template <typename T>
static inline void copy_ends(char* dst, const char* src, int64_t n) {  // sizeof(T) <= n <= 2 * sizeof(T)
  const T head = get<T>(src), tail = get<T>(src + n - static_cast<int64_t>(sizeof(T)));
  put(dst, head);
  put(dst + n - static_cast<int64_t>(sizeof(T)), tail);
}

typedef Element<16>::type Block16;
struct Block32 {
  Block16 half[2];
};

static inline void copy_run(char* dst, const char* src, int64_t n) {
  if (n > 64) {
    __builtin_memcpy(dst, src, static_cast<size_t>(n));
  } else if (n >= 32) {
    copy_ends<Block32>(dst, src, n);
  } else if (n >= 16) {
    copy_ends<Block16>(dst, src, n);
  } else if (n >= 8) {
    copy_ends<uint64_t>(dst, src, n);
  } else if (n >= 4) {
    copy_ends<uint32_t>(dst, src, n);
  } else if (n >= 2) {
    copy_ends<uint16_t>(dst, src, n);
  } else if (n == 1) {
    *dst = *src;
  }
}

// f(a word of an element's 1, 2, 4, 8 or 16 bytes): its type, which is all that f looks at, says how to move one.
template <typename F>
static inline auto with_word_of(int64_t bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    case 8:
      return f(uint64_t{});
    default:
      return f(Block16{});
  }
}

// dst[i * d] = src[i * s] for i < n elements of `bytes`, one by one; strides in bytes, any sign, s may be 0 (a fill).
static inline void copy_each(int64_t bytes, const char* src, int64_t s, char* dst, int64_t d, int64_t n) {
  const Plane p = {1, n, 0, s, 0, d};
  switch (bytes) {
    case 1:
      return strided_1(src, dst, p);
    case 2:
      return strided_2(src, dst, p);
    case 4:
      return strided_4(src, dst, p);
    case 8:
      return strided_8(src, dst, p);
    default:
      return strided_16(src, dst, p);
  }
}

// The same, contiguous runs as such.
static inline void copy_strided(int64_t bytes, const char* src, int64_t s, char* dst, int64_t d, int64_t n) {
  if ((s == bytes && d == bytes) || n == 1) return copy_run(dst, src, n * bytes);
  copy_each(bytes, src, s, dst, d, n);
}

}  // namespace ARN_NS
#endif
