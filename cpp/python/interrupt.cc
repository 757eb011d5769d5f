#include "python/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace arenaut {
namespace {

std::atomic<int32_t> g_signalled{0};
static_assert(std::atomic<int32_t>::is_always_lock_free, "a signal handler sets it");
struct sigaction g_before;  // what handled SIGINT; only the main thread writes it
int g_depth = 0;            // of watches on the main thread: a host call may run another model

void on_interrupt(int number, siginfo_t* info, void* context) {
  g_signalled.store(1, std::memory_order_relaxed);
  if ((g_before.sa_flags & SA_SIGINFO) != 0)
    g_before.sa_sigaction(number, info, context);
  else
    g_before.sa_handler(number);
}

bool on_main_thread() {
#ifdef __linux__
  return syscall(SYS_gettid) == getpid();
#elif defined(__APPLE__)
  return pthread_main_np() != 0;
#else
  return false;
#endif
}

}  // namespace

WatchInterrupts::WatchInterrupts(bool wanted) {
  if (!wanted || !on_main_thread()) return;
  if (g_depth == 0) {
    struct sigaction before = {};
    if (sigaction(SIGINT, nullptr, &before) != 0) return;
    const bool plain = (before.sa_flags & SA_SIGINFO) == 0;
    if (plain && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN)) return;
    g_before = before;
    g_signalled.store(0, std::memory_order_relaxed);
    struct sigaction ours = {};
    ours.sa_sigaction = on_interrupt;
    ours.sa_mask = before.sa_mask;
    ours.sa_flags = before.sa_flags | SA_SIGINFO;
    if (sigaction(SIGINT, &ours, nullptr) != 0) return;
  }
  ++g_depth;
  watching_ = true;
}

WatchInterrupts::~WatchInterrupts() {
  if (!watching_ || --g_depth > 0) return;
  struct sigaction now = {};
  // A host call may have set another handler meanwhile: that one stays.
  if (sigaction(SIGINT, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_interrupt)
    sigaction(SIGINT, &g_before, nullptr);
}

const std::atomic<int32_t>* WatchInterrupts::flag() const { return watching_ ? &g_signalled : nullptr; }

bool WatchInterrupts::take() const { return watching_ && g_signalled.exchange(0, std::memory_order_relaxed) != 0; }

}  // namespace arenaut
