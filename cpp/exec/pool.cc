#include "exec/pool.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace arenaut {
namespace {

// Iterations of a pause loop before a waiting thread sleeps: tens of microseconds.
constexpr int kSpin = 4000;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

struct Worker {
  std::atomic<uint32_t> wanted{0};  // generation to run
  std::atomic<uint32_t> done{0};
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
};

struct Pool {
  std::mutex owner;  // held by the run that uses the pool
  std::vector<std::unique_ptr<Worker>> workers;
  PartFn fn = nullptr;
  void* context = nullptr;

  void grow(int32_t count) {
    while (static_cast<int32_t>(workers.size()) < count) {
      auto worker = std::make_unique<Worker>();
      Worker* w = worker.get();
      const int32_t part = static_cast<int32_t>(workers.size()) + 1;
      workers.reserve(workers.size() + 1);
      std::thread([this, w, part] { serve(w, part); }).detach();
      workers.push_back(std::move(worker));
    }
  }

  void serve(Worker* w, int32_t part) {
    uint32_t seen = 0;
    for (;;) {
      int spins = 0;
      while (w->wanted.load(std::memory_order_acquire) == seen) {
        if (++spins < kSpin) {
          relax();
          continue;
        }
        std::unique_lock<std::mutex> lock(w->mutex);
        w->asleep.store(true, std::memory_order_seq_cst);
        w->wake.wait(lock, [w, seen] { return w->wanted.load(std::memory_order_seq_cst) != seen; });
        w->asleep.store(false, std::memory_order_relaxed);
      }
      seen = w->wanted.load(std::memory_order_acquire);
      fn(context, part);
      w->done.store(seen, std::memory_order_release);
    }
  }

  void run(PartFn f, void* c, int32_t parts) {
    fn = f;
    context = c;
    for (int32_t i = 1; i < parts; ++i) {
      Worker& w = *workers[static_cast<size_t>(i - 1)];
      w.wanted.fetch_add(1, std::memory_order_seq_cst);
      if (w.asleep.load(std::memory_order_seq_cst)) {
        const std::lock_guard<std::mutex> lock(w.mutex);
        w.wake.notify_one();
      }
    }
    f(c, 0);
    for (int32_t i = 1; i < parts; ++i) {
      Worker& w = *workers[static_cast<size_t>(i - 1)];
      const uint32_t target = w.wanted.load(std::memory_order_relaxed);
      int spins = 0;
      while (w.done.load(std::memory_order_acquire) != target) {
        if (++spins % kSpin == 0)
          std::this_thread::yield();
        else
          relax();
      }
    }
  }
};

// Never destroyed: its threads may outlive static destruction. A forked child has none of the threads, so it gets a
// pool of its own.
std::atomic<Pool*> g_pool{nullptr};

void forget_in_child() { g_pool.store(new Pool, std::memory_order_release); }

Pool* pool() {
  static const bool registered = [] {
    g_pool.store(new Pool, std::memory_order_release);
    return pthread_atfork(nullptr, nullptr, forget_in_child) == 0;
  }();
  (void)registered;
  return g_pool.load(std::memory_order_acquire);
}

thread_local Pool* t_leased = nullptr;  // the pool this thread holds

}  // namespace

PoolLease::PoolLease(int32_t threads) {
  if (threads <= 1 || t_leased != nullptr) return;
  Pool* p = pool();
  if (!p->owner.try_lock()) return;
  try {
    p->grow(threads - 1);
  } catch (...) {
    if (p->workers.empty()) {
      p->owner.unlock();
      return;
    }
  }
  t_leased = p;
  threads_ =
      threads < static_cast<int32_t>(p->workers.size()) + 1 ? threads : static_cast<int32_t>(p->workers.size()) + 1;
}

PoolLease::~PoolLease() {
  if (threads_ > 1) {
    t_leased->owner.unlock();
    t_leased = nullptr;
  }
}

void PoolLease::run(PartFn fn, void* context, int32_t parts) {
  if (parts <= 1) {
    fn(context, 0);
    return;
  }
  t_leased->run(fn, context, parts);
}

}  // namespace arenaut
