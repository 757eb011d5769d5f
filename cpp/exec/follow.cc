#include "exec/follow.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace arenaut {
namespace {

constexpr size_t kMost = 4;  // kept: prompts, single steps, a few candidates at once

size_t at(int64_t i) { return static_cast<size_t>(i); }

}  // namespace

bool Follower::compare(const Kept& kept, const std::vector<int64_t>& key, const Growth& growth) {
  const std::vector<int64_t>& before = kept.binding->key;
  if (before.size() != key.size()) return false;
  const int64_t length = before[at(growth.lengths[0])], total = kept.binding->values[at(growth.total)];
  by_ = key[at(growth.lengths[0])] - length;
  differs_.assign(key.size(), false);
  for (size_t i = 0; i < key.size(); ++i) {
    differs_[i] = key[i] != before[i];
    if (!differs_[i]) continue;
    if (key[i] - before[i] != by_) return false;
    const bool listed =
        std::find(growth.lengths.begin(), growth.lengths.end(), static_cast<int32_t>(i)) != growth.lengths.end();
    // Other sizes are as long as the state was, or is afterwards: a number of new tokens is neither.
    if (!listed && (length == 0 || (before[i] != length && before[i] != total))) return false;
  }
  return true;
}

bool Follower::widen(const Program& program, const std::vector<int64_t>& key, const Growth& growth, Kept* kept) {
  const int64_t total = kept->binding->values[at(growth.total)] + by_;
  std::vector<int64_t> longest = key;
  for (size_t i = 0; i < key.size(); ++i)
    if (differs_[i]) longest[i] += growth.capacity - total;
  kept->binding.reset();
  kept->moves.clear();
  try {
    auto b = program.bind_anew(longest);
    if (program.bind_again(key, b.get())) {
      kept->binding = std::move(b);
      kept->moves = differs_;
      return true;
    }
  } catch (const StepError&) {
  } catch (const std::invalid_argument&) {
  }
  kept->fixed = true;  // sizes that exclude each other when all are at their largest, or no one stage
  return false;
}

std::shared_ptr<const Binding> Follower::bind(const Program& program, const std::vector<int64_t>& key,
                                              const Growth& growth) {
  if (growth.lengths.empty()) {  // nothing grows: keys come again, as those of plain calls do
    if (!plain_ || plain_->key != key) plain_ = program.bind(key);
    return plain_;
  }
  Kept kept;
  const auto found =
      std::find_if(kept_.begin(), kept_.end(), [&](const Kept& each) { return compare(each, key, growth); });
  if (found != kept_.end()) {
    kept = std::move(*found);
    kept_.erase(found);  // whatever throws from here on, it is of no use any more
  }
  bool done = kept.binding != nullptr && kept.binding->key == key;
  if (!done && kept.binding != nullptr && !kept.fixed) {
    bool inside = !kept.moves.empty();
    for (size_t i = 0; inside && i < key.size(); ++i) inside = kept.moves[i] || !differs_[i];
    done = inside ? program.bind_again(key, kept.binding.get()) : widen(program, key, growth, &kept);
  }
  if (!done) kept.binding = program.bind_anew(key), kept.moves.clear();
  if (kept_.size() == kMost) kept_.pop_back();
  kept_.reserve(kMost);
  kept_.insert(kept_.begin(), std::move(kept));
  return kept_.front().binding;
}

}  // namespace arenaut
