// The process-wide thread pool. One run uses it at a time; a run that finds it busy works on its caller's thread.
#pragma once

#include <cstdint>

namespace arenaut {

// Called once per part, on some thread, with its part in [0, parts).
using PartFn = void (*)(void* context, int32_t part);

class PoolLease {
 public:
  // Tries to take the pool for up to `threads` threads (the caller's included); threads() says what was got, >= 1.
  explicit PoolLease(int32_t threads);
  ~PoolLease();
  PoolLease(const PoolLease&) = delete;
  PoolLease& operator=(const PoolLease&) = delete;

  int32_t threads() const { return threads_; }
  // Runs fn(context, 0 .. parts - 1), parts <= threads(); returns when all are done.
  void run(PartFn fn, void* context, int32_t parts);

 private:
  int32_t threads_ = 1;
};

}  // namespace arenaut
