// Ctrl-C during native runs of the main thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace arenaut {

// While one lives on the main thread, SIGINT sets a flag that runs look at, before Python's own handler notes the
// signal as ever. Elsewhere, and where Python does not handle SIGINT, it does nothing. The GIL is held where it is made
// and where it dies.
class WatchInterrupts {
 public:
  explicit WatchInterrupts(bool wanted);
  ~WatchInterrupts();
  WatchInterrupts(const WatchInterrupts&) = delete;
  WatchInterrupts& operator=(const WatchInterrupts&) = delete;
  // For RunOptions::signalled; null where nothing is watched.
  const std::atomic<int32_t>* flag() const;
  // Whether a signal came since the last call.
  bool take() const;

 private:
  bool watching_ = false;
};

}  // namespace arenaut
