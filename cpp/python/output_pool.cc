#include <algorithm>
#include <utility>

#include "python/program.h"

namespace arenaut {
namespace {

// Blocks that an output pool keeps; more are freed.
constexpr size_t kMostIdle = 64;

}  // namespace

Block OutputPool::take(int64_t bytes, int64_t total) {
  const std::lock_guard<std::mutex> lock(mutex_);
  limit_ = std::max(limit_, total);
  idle_.reserve(kMostIdle);
  const auto found = std::find_if(idle_.begin(), idle_.end(), [bytes](const Block& b) { return b.bytes() >= bytes; });
  if (found == idle_.end()) return Block(bytes);
  Block block = std::move(*found);
  idle_.erase(found);
  held_ -= block.bytes();
  return block;
}

void OutputPool::give(Block block) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.size() == idle_.capacity()) return;
  held_ += block.bytes();
  const auto at = std::find_if(idle_.begin(), idle_.end(), [&](const Block& b) { return b.bytes() >= block.bytes(); });
  idle_.insert(at, std::move(block));
  while (held_ > limit_) {  // the smallest go
    held_ -= idle_.front().bytes();
    idle_.erase(idle_.begin());
  }
}

int64_t OutputPool::clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.clear();
  return std::exchange(held_, 0);
}

}  // namespace arenaut
