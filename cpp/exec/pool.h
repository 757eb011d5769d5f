// The process-wide thread pool. One run uses it at a time; a run that finds it busy works on its caller's thread.
#pragma once

#include <cstdint>

namespace arenaut {

// Does piece `piece`; slot < parts is the calling thread's own, for its scratch.
using PieceFn = void (*)(void* context, int32_t slot, int32_t piece);

// Nanoseconds of one thread's work that pay for handing it to another.
constexpr int64_t kWorthOfThread = 2500;

// For how many threads a step of that time on one thread and that many tasks is worth cutting.
inline int32_t worthwhile_parts(int64_t nanoseconds, int32_t threads, int64_t tasks) {
  int64_t parts = nanoseconds / kWorthOfThread;
  if (parts > threads) parts = threads;
  if (parts > tasks) parts = tasks;
  return parts < 1 ? 1 : static_cast<int32_t>(parts);
}

// Pieces of a job, at most.
constexpr int32_t kMaxPieces = 65535;

// At most this many threads, the caller's included, whatever a run asks for. At first the processors there are.
void set_pool_limit(int32_t threads);

class PoolLease {
 public:
  PoolLease() = default;
  ~PoolLease() { give_back(); }
  PoolLease(const PoolLease&) = delete;
  PoolLease& operator=(const PoolLease&) = delete;

  // Tries once to take the pool for up to `threads` threads, the caller's included. Says how many it got, at least 1.
  // Until give_back() further calls return the same.
  int32_t take(int32_t threads);
  void give_back();
  // Runs fn for every piece on up to `parts` <= take() threads; returns when all are done. Each thread begins with a
  // contiguous range of pieces of its own, then helps others. wake: threads that sleep are worth waking.
  void run(PieceFn fn, void* context, int32_t parts, int32_t pieces, bool wake);

 private:
  int32_t threads_ = 0;  // 0: not tried
};

}  // namespace arenaut
