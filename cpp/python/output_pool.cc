#include <algorithm>
#include <utility>

#include "python/program.h"

namespace arenaut {
namespace {

// Blocks that an output pool keeps; more are freed.
constexpr size_t kMostIdle = 64;
// Where an idle block is only so little too small, outputs grow from run to run: the next block is taken with room to
// grow, its size rounded up to eighths of a power of two, so that later runs fit. Pages count only once they are
// written.
constexpr int64_t kGrowth = 8;

int64_t with_room(int64_t bytes) {
  if (bytes > (int64_t{1} << 61)) return bytes;
  int64_t part = 1;
  while (part * 2 * kGrowth <= bytes) part *= 2;
  return (bytes + part - 1) / part * part;
}

}  // namespace

Block OutputPool::take(int64_t bytes, int64_t total) {
  const std::lock_guard<std::mutex> lock(mutex_);
  early_ = std::max(early_, total);
  return take_locked(bytes);
}

Block OutputPool::take(int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  late_ = std::max(late_, bytes);
  return take_locked(bytes);
}

Block OutputPool::take_locked(int64_t bytes) {
  idle_.reserve(kMostIdle);
  auto found = idle_.end();
  bool grows = false;
  for (auto it = idle_.begin(); it != idle_.end(); ++it) {
    const int64_t size = it->bytes();
    grows |= size < bytes && size >= bytes - bytes / kGrowth;
    if (size >= bytes && size / 2 <= bytes && (found == idle_.end() || size <= found->bytes())) found = it;
  }
  if (found == idle_.end()) {
    grows_ |= grows;
    return Block::in_huge_pages(grows ? with_room(bytes) : bytes);
  }
  Block block = std::move(*found);
  idle_.erase(found);
  held_ -= block.bytes();
  return block;
}

void OutputPool::give(Block block) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.capacity() == 0) return;
  held_ += block.bytes();
  if (idle_.size() == idle_.capacity()) drop_oldest();
  idle_.push_back(std::move(block));
  const int64_t most = early_ + late_;
  while (held_ > (grows_ ? most + most / kGrowth : most)) drop_oldest();
}

void OutputPool::drop_oldest() noexcept {
  held_ -= idle_.front().bytes();
  idle_.erase(idle_.begin());
}

int64_t OutputPool::clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.clear();
  return std::exchange(held_, 0);
}

}  // namespace arenaut
