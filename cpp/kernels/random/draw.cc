// Random numbers: xoshiro128++ in lanes that do not know of each other, seeded anew for every block of the result.
#include "kernels/random/params.h"
#include "kernels/walk.h"
#include "simd/math.h"

namespace ARN_NS {
namespace {

constexpr int kStreams = 16;       // the width of a row of draws, whatever the tier's vectors are
constexpr int64_t kBlock = 4096;   // draws from one seeding, a multiple of 2 kStreams
constexpr float kUnit = 0x1p-24f;  // of what 24 bits count

struct DrawBound {
  int64_t count, blocks, tasks;
  uint64_t seed;
  double first, second;
  int32_t seeded, kind;
};

inline uint64_t mixed(uint64_t z) {  // splitmix64's finish
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// A number that no other call in this process gets, nor, by the clock and where the process lies, one in another.
inline uint64_t fresh_key() {
  static uint64_t calls = 0;
  uint64_t clock = 0;
#if defined(__x86_64__)
  clock = __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(clock));
#endif
  const uint64_t call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
  return mixed(mixed(clock ^ reinterpret_cast<uintptr_t>(&calls)) + call * 0x9e3779b97f4a7c15u);
}

struct Streams {
  uint32_t s[4][kStreams];
};

inline void seed_streams(Streams* r, uint64_t key, uint64_t block) {
  uint64_t at = mixed(key ^ mixed(block + 0x9e3779b97f4a7c15u));
  for (int l = 0; l < kStreams; ++l)
    for (int w = 0; w < 4; w += 2) {
      const uint64_t z = mixed(at += 0x9e3779b97f4a7c15u);
      r->s[w][l] = static_cast<uint32_t>(z) | static_cast<uint32_t>(w == 0);  // never all zero
      r->s[w + 1][l] = static_cast<uint32_t>(z >> 32);
    }
}

inline uint32_t rotated(uint32_t x, int by) { return (x << by) | (x >> (32 - by)); }

inline void next_row(Streams* r, uint32_t* out) {
  for (int l = 0; l < kStreams; ++l) {
    uint32_t a = r->s[0][l], b = r->s[1][l], c = r->s[2][l], d = r->s[3][l];
    out[l] = rotated(a + d, 7) + a;
    const uint32_t t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotated(d, 11);
    r->s[0][l] = a;
    r->s[1][l] = b;
    r->s[2][l] = c;
    r->s[3][l] = d;
  }
}

inline void uniform_row(Streams* r, const DrawBound& b, float* out) {
  uint32_t bits[kStreams];
  next_row(r, bits);
  const float low = static_cast<float>(b.first), width = static_cast<float>(b.second);
  for (int l = 0; l < kStreams; ++l)
    out[l] = static_cast<float>(static_cast<int32_t>(bits[l] >> 8)) * kUnit * width + low;
}

inline void uniform_row(Streams* r, const DrawBound& b, double* out) {
  uint32_t bits[kStreams], more[kStreams];
  next_row(r, bits);
  next_row(r, more);
  for (int l = 0; l < kStreams; ++l) {
    const double high = static_cast<double>(static_cast<int32_t>(bits[l] >> 5));  // 27 bits, then 26
    const double low = static_cast<double>(static_cast<int32_t>(more[l] >> 6));
    out[l] = (high * 0x1p26 + low) * 0x1p-53 * b.second + b.first;
  }
}

// sin and cos of a quarter turn times t, |t| <= 1/2, in the quadrant.
struct Turn {
  vf32 cos, sin;
};

inline Turn turn_of(vf32 quarters) {     // 0 <= quarters < 4
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  const vf32 shifted = quarters + kMagic, r = (quarters - (shifted - kMagic)) * 1.57079633f, rr = r * r;
  const vf32 s = r + r * rr * (-1.6666667e-1f + rr * (8.3333310e-3f + rr * -1.9840e-4f));
  const vf32 c = 1.0f - 0.5f * rr + rr * rr * (4.1666646e-2f + rr * (-1.3887367e-3f + rr * 2.44338e-5f));
  const vi32 quadrant = bits_of(shifted), odd = (quadrant & 1) != 0;
  return {float_of(bits_of(odd ? s : c) ^ ((quadrant + 1) << 30 & INT32_MIN)),
          float_of(bits_of(odd ? c : s) ^ (quadrant << 30 & INT32_MIN))};
}

// Box and Muller's pairs: two rows of draws, two rows of normal numbers.
inline void normal_rows(Streams* r, const DrawBound& b, float* out) {
  uint32_t bits[2][kStreams];
  next_row(r, bits[0]);
  next_row(r, bits[1]);
  const float mean = static_cast<float>(b.first), deviation = static_cast<float>(b.second);
  float far[kStreams];
  for (int l = 0; l < kStreams; l += kLanesF32) {
    const vi32 first = *reinterpret_cast<const vi32u*>(bits[0] + l) >> 8 & 0xffffff;
    store_f32(far + l, -2.0f * vlog(__builtin_convertvector(first + 1, vf32) * kUnit));  // the log of (0, 1]
  }
  for (int l = 0; l < kStreams; ++l) far[l] = __builtin_sqrtf(far[l]);
  for (int l = 0; l < kStreams; l += kLanesF32) {
    const vi32 second = *reinterpret_cast<const vi32u*>(bits[1] + l) >> 8 & 0xffffff;
    const Turn turn = turn_of(__builtin_convertvector(second, vf32) * (4.0f * kUnit));
    const vf32 by = load_f32(far + l) * deviation;
    store_f32(out + l, turn.cos * by + mean);
    store_f32(out + kStreams + l, turn.sin * by + mean);
  }
}

template <typename T, int rows, typename F>
inline void draw_block(Streams* r, T* y, int64_t n, F&& draw) {
  constexpr int64_t kAtOnce = rows * kStreams;
  int64_t i = 0;
  for (; i + kAtOnce <= n; i += kAtOnce) draw(r, y + i);
  if (i == n) return;
  T last[kAtOnce];
  draw(r, last);
  for (int64_t k = 0; i + k < n; ++k) y[i + k] = last[k];
}

template <typename T>
int32_t draw_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state* state) {
  const DrawBound& b = *static_cast<const DrawBound*>(bound);
  T* y = static_cast<T*>(operand[0]);
  return for_tasks(begin, end, b.tasks, b.blocks, state, [&](int64_t from, int64_t to) -> int32_t {
    const uint64_t key = b.seeded != 0 ? b.seed : fresh_key();
    for (int64_t block = from; block < to; ++block) {
      Streams streams;
      seed_streams(&streams, key, static_cast<uint64_t>(block));
      T* at = y + block * kBlock;
      const int64_t n = min64(kBlock, b.count - block * kBlock);
      if constexpr (sizeof(T) == sizeof(float)) {
        if (b.kind == ARN_DRAW_NORMAL) {
          draw_block<T, 2>(&streams, at, n, [&](Streams* r, T* out) { normal_rows(r, b, out); });
          continue;
        }
      }
      draw_block<T, 1>(&streams, at, n, [&](Streams* r, T* out) { uniform_row(r, b, out); });
    }
    return ARN_OK;
  });
}

template <typename T>
int32_t bind_draw(const arn_bind_args* args, arn_bound* out, void* bound) {
  const auto* p = static_cast<const arn_draw_params*>(args->params);
  if (p->kind != ARN_DRAW_UNIFORM && (p->kind != ARN_DRAW_NORMAL || sizeof(T) != sizeof(float))) return ARN_UNSUPPORTED;
  DrawBound* b = static_cast<DrawBound*>(bound);
  b->count = element_count(args->operand[0]);
  b->blocks = ceil_div(b->count, kBlock);
  b->tasks = tasks_for(b->blocks, b->count * static_cast<int64_t>(sizeof(T)) * 4);
  b->seed = mixed(static_cast<uint64_t>(p->seed));
  b->seeded = static_cast<int32_t>(p->seeded);
  b->kind = static_cast<int32_t>(p->kind);
  b->first = p->first;
  b->second = p->second;
  return bind_done(out, draw_tasks<T>, b->tasks, sizeof(DrawBound), p->kind == ARN_DRAW_NORMAL ? "normal" : "uniform");
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(draw_f32) { return ARN_NS::bind_draw<float>(args, out, bound); }
#if ARN_TIER_LEVEL <= 1
ARN_DEFINE_BIND(draw_f64) { return ARN_NS::bind_draw<double>(args, out, bound); }
#endif
