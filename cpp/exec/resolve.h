// Sizes to offsets: first fit in a given placement order. The planner's Python packing core has the same meaning.
#pragma once

#include <cstdint>
#include <vector>

namespace arenaut {

// A block of memory wanted during steps first..last (inclusive). offset < 0: not placed yet.
struct Rect {
  int64_t bytes = 0;
  int32_t first = 0, last = 0;
  int64_t offset = -1;
};

// Places rects in `order` (indices into rects); those already placed are obstacles. Each takes the lowest 64-byte
// aligned gap, among the placed rects alive at the same time, that holds it; empty rects get offset 0.
// Returns the end of the highest placed rect, rounded up to 64 bytes.
int64_t first_fit(std::vector<Rect>* rects, const std::vector<int32_t>& order);

// The most bytes, each rect rounded up to 64, that are alive at one step: no placement ends lower.
int64_t most_live(const std::vector<Rect>& rects);

}  // namespace arenaut
