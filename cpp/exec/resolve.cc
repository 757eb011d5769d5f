#include "exec/resolve.h"

#include <algorithm>

#include "contract.h"

namespace arenaut {
namespace {

int64_t align_up(int64_t n) { return (n + ARN_ALIGN - 1) / ARN_ALIGN * ARN_ALIGN; }

}  // namespace

int64_t first_fit(std::vector<Rect>* rects, const std::vector<int32_t>& order) {
  std::vector<int32_t> placed;  // non-empty rects with offsets, sorted by offset
  for (size_t i = 0; i < rects->size(); ++i)
    if ((*rects)[i].offset >= 0 && (*rects)[i].bytes > 0) placed.push_back(static_cast<int32_t>(i));
  const auto lower = [rects](int32_t a, int32_t b) {
    return (*rects)[static_cast<size_t>(a)].offset < (*rects)[static_cast<size_t>(b)].offset;
  };
  std::sort(placed.begin(), placed.end(), lower);
  for (const int32_t index : order) {
    Rect& r = (*rects)[static_cast<size_t>(index)];
    if (r.offset >= 0) continue;
    if (r.bytes == 0) {
      r.offset = 0;
      continue;
    }
    int64_t at = 0;
    for (const int32_t other : placed) {
      const Rect& o = (*rects)[static_cast<size_t>(other)];
      if (o.last < r.first || r.last < o.first) continue;
      if (o.offset >= at + r.bytes) break;
      at = std::max(at, align_up(o.offset + o.bytes));
    }
    r.offset = at;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), index, lower), index);
  }
  int64_t end = 0;
  for (const Rect& r : *rects)
    if (r.offset >= 0) end = std::max(end, align_up(r.offset + r.bytes));
  return end;
}

int64_t most_live(const std::vector<Rect>& rects) {
  int32_t last = 0;
  for (const Rect& r : rects) last = std::max(last, r.last);
  std::vector<int64_t> change(static_cast<size_t>(last) + 2, 0);
  for (const Rect& r : rects) {
    if (r.bytes == 0) continue;
    change[static_cast<size_t>(r.first)] += align_up(r.bytes);
    change[static_cast<size_t>(r.last) + 1] -= align_up(r.bytes);
  }
  int64_t live = 0, most = 0;
  for (const int64_t c : change) most = std::max(most, live += c);
  return most;
}

}  // namespace arenaut
