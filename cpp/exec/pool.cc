#include "exec/pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "exec/denormals.h"

namespace arenaut {
namespace {

// How long a thread without work looks for some before it sleeps, in rounds of kLooks looks: while no run has the pool,
// while runs follow each other closely, while a run has it.
constexpr int64_t kSpinIdle = 30'000, kSpinFrequent = 150'000, kSpinLeased = 200'000;  // nanoseconds
constexpr int kLooks = 64;
// Runs that begin so soon after the one before follow closely, from the kFrequentRuns-th on: threads then find the next
// run awake, so waking them once is worth it however little a run has to share.
constexpr int64_t kFrequent = 100'000;  // nanoseconds
constexpr int32_t kFrequentRuns = 4;
// Looks of the caller for the end of a piece that another thread holds, before it lends its processor.
constexpr int kPatience = 20'000;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The pieces of one thread that are left: the job's generation in the upper half, then the end, then the next piece.
// Taking a piece succeeds only while the job is the one that was looked at: a thread that comes late cannot touch the
// next job.
struct alignas(64) Range {
  std::atomic<uint64_t> left{0};
};

constexpr uint64_t range_word(uint32_t generation, uint64_t end, uint64_t next) {
  return uint64_t{generation} << 32 | end << 16 | next;
}

struct Worker {
  Range range;
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
};

class Pool {
 public:
  std::mutex owner;  // held by the run that uses the pool
  std::atomic<bool> leased{false};

  int32_t threads() const { return static_cast<int32_t>(workers_.size()); }

  // The owner has just got the pool, or is about to let go of it.
  void begin_lease() {
    leased.store(true, std::memory_order_relaxed);
    const bool soon = now() - released_ < kFrequent;
    soon_ = soon ? std::min(soon_ + 1, kFrequentRuns) : 0;
    frequent_.store(soon_ == kFrequentRuns, std::memory_order_relaxed);
  }
  void end_lease() {
    released_ = now();
    leased.store(false, std::memory_order_relaxed);
  }

  // Slot 0 is the caller's. Called by the owner; throws std::system_error.
  void grow(int32_t threads) {
    if (workers_.empty()) workers_.push_back(std::make_unique<Worker>());
    workers_.reserve(kMaxThreads);  // threads read the list while it grows
    while (this->threads() < threads && this->threads() < kMaxThreads) {
      auto worker = std::make_unique<Worker>();
      const int32_t slot = this->threads();
      std::thread([this, w = worker.get(), slot] { serve(w, slot); }).detach();
      workers_.push_back(std::move(worker));
    }
  }

  void run(PieceFn fn, void* context, int32_t parts, int32_t pieces, bool wake) {
    const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
    fn_.store(fn, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    parts_.store(parts, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    for (int32_t i = 0; i < parts; ++i) {
      Range& range = workers_[static_cast<size_t>(i)]->range;
      const auto first = static_cast<uint64_t>(int64_t{pieces} * i / parts);
      const auto end = static_cast<uint64_t>(int64_t{pieces} * (i + 1) / parts);
      range.left.store(range_word(generation, end, first), std::memory_order_release);
    }
    generation_.store(generation, std::memory_order_seq_cst);
    if (wake || frequent_.load(std::memory_order_relaxed)) wake_up(parts);
    work(0, generation, fn, context, parts);
    for (int spins = 1; done_.load(std::memory_order_acquire) != pieces; ++spins) {
      relax();
      if (spins % kPatience == 0) std::this_thread::yield();
    }
  }

  void wake_up(int32_t parts) {
    for (int32_t i = 1; i < parts; ++i) {
      Worker& w = *workers_[static_cast<size_t>(i)];
      if (!w.asleep.load(std::memory_order_seq_cst)) continue;
      const std::lock_guard<std::mutex> lock(w.mutex);
      w.asleep.store(false, std::memory_order_relaxed);
      w.wake.notify_one();
    }
  }

 private:
  static constexpr int32_t kMaxThreads = 1024;

  void work(int32_t slot, uint32_t generation, PieceFn fn, void* context, int32_t parts) {
    int32_t mine = 0;
    for (int32_t k = 0; k < parts; ++k) {
      Range& range = workers_[static_cast<size_t>((slot + k) % parts)]->range;
      uint64_t seen = range.left.load(std::memory_order_acquire);
      while (seen >> 32 == generation && (seen & 0xffff) < (seen >> 16 & 0xffff)) {
        if (!range.left.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
        fn(context, slot, static_cast<int32_t>(seen & 0xffff));
        ++mine;
        seen = range.left.load(std::memory_order_acquire);
      }
    }
    if (mine > 0) done_.fetch_add(mine, std::memory_order_acq_rel);
  }

  void serve(Worker* w, int32_t slot) {
    set_flush_denormals();
    uint32_t seen = 0;
    for (;;) {
      const uint32_t generation = await(w, seen);
      seen = generation;
      const PieceFn fn = fn_.load(std::memory_order_relaxed);
      void* context = context_.load(std::memory_order_relaxed);
      const int32_t parts = parts_.load(std::memory_order_relaxed);
      // What was read belongs to this job, or else no piece of it is left to take.
      if (slot < parts) work(slot, generation, fn, context, parts);
    }
  }

  int64_t patience() const {
    if (leased.load(std::memory_order_relaxed)) return kSpinLeased;
    return frequent_.load(std::memory_order_relaxed) ? kSpinFrequent : kSpinIdle;
  }

  // The first generation after `seen`.
  uint32_t await(Worker* w, uint32_t seen) {
    for (;;) {
      const int64_t start = now();
      int64_t waited = 0;
      do {
        for (int i = 0; i < kLooks; ++i) {
          const uint32_t generation = generation_.load(std::memory_order_acquire);
          if (generation != seen) return generation;
          relax();
        }
        waited = now() - start;
      } while (waited < patience());
      std::unique_lock<std::mutex> lock(w->mutex);
      w->asleep.store(true, std::memory_order_seq_cst);
      if (generation_.load(std::memory_order_seq_cst) == seen)
        w->wake.wait(lock, [w] { return !w->asleep.load(std::memory_order_relaxed); });
      w->asleep.store(false, std::memory_order_relaxed);
    }
  }

  int64_t released_ = 0;  // when the last owner let go; this and soon_ are the owner's
  int32_t soon_ = 0;
  std::atomic<bool> frequent_{false};
  std::vector<std::unique_ptr<Worker>> workers_;
  alignas(64) std::atomic<uint32_t> generation_{0};
  std::atomic<PieceFn> fn_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<int32_t> parts_{0};
  alignas(64) std::atomic<int32_t> done_{0};
};

std::atomic<int32_t> g_limit{0};
// Never destroyed: its threads may outlive static destruction. A forked child has none of the threads, so it gets a
// pool of its own.
std::atomic<Pool*> g_pool{nullptr};
thread_local Pool* t_leased = nullptr;  // the pool this thread holds

void forget_in_child() {
  g_pool.store(new Pool, std::memory_order_release);
  t_leased = nullptr;
}

Pool* pool() {
  static const bool registered = [] {
    g_pool.store(new Pool, std::memory_order_release);
    return pthread_atfork(nullptr, nullptr, forget_in_child) == 0;
  }();
  (void)registered;
  return g_pool.load(std::memory_order_acquire);
}

int32_t limit() {
  const int32_t given = g_limit.load(std::memory_order_relaxed);
  return given > 0 ? given : static_cast<int32_t>(std::thread::hardware_concurrency());
}

}  // namespace

void set_pool_limit(int32_t threads) { g_limit.store(threads, std::memory_order_relaxed); }

int32_t PoolLease::take(int32_t threads) {
  if (threads_ > 0) return threads_;
  threads_ = 1;
  threads = threads < limit() ? threads : limit();
  if (threads <= 1 || t_leased != nullptr) return 1;
  Pool* p = pool();
  if (!p->owner.try_lock()) return 1;
  try {
    p->grow(threads);
  } catch (...) {  // fewer threads than wanted
  }
  threads_ = threads < p->threads() ? threads : p->threads();
  if (threads_ <= 1) {
    threads_ = 1;
    p->owner.unlock();
    return 1;
  }
  t_leased = p;
  p->begin_lease();
  return threads_;
}

void PoolLease::give_back() {
  if (threads_ > 1 && t_leased != nullptr) {
    t_leased->end_lease();
    t_leased->owner.unlock();
    t_leased = nullptr;
  }
  threads_ = 0;
}

void PoolLease::run(PieceFn fn, void* context, int32_t parts, int32_t pieces, bool wake) {
  if (t_leased != nullptr) return t_leased->run(fn, context, parts, pieces, wake);
  for (int32_t i = 0; i < pieces; ++i) fn(context, 0, i);  // forked since take()
}

}  // namespace arenaut
