#include "exec/checks.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "kernels/element.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

// The letter of row.access for an operand.
char access_of(const arn_row& row, int32_t n_in, size_t operand) {
  const char* middle = std::strchr(row.access, '>');
  const char* side = row.access;
  const char* end = middle == nullptr ? side + std::strlen(side) : middle;
  size_t index = operand;
  if (operand >= at(n_in)) {
    index -= at(n_in);
    side = middle == nullptr ? end : middle + 1;
    end = side + std::strlen(side);
  }
  char letter = 's';
  for (size_t seen = 0; side < end && seen <= index; ++side)
    if (*side != ',') letter = *side, ++seen;
  return letter;
}

// The stage from which on a place is known, its buffer included. A buffer of no bytes may be known before its dims.
int32_t known_from(const Program& p, const Place& v) {
  int32_t stage = std::max(p.buffers[at(v.buffer)].stage, p.stage_of(v.offset));
  for (size_t i = 0; i < v.dims.size(); ++i) stage = std::max({stage, p.stage_of(v.dims[i]), p.stage_of(v.strides[i])});
  return stage;
}

// A value that callers see shows its whole buffer, row-major.
void check_shown(const Program& p, const Binding& b, int32_t value) {
  const Place& v = p.places[at(value)];
  const Buffer& buffer = p.buffers[at(v.buffer)];
  if (buffer.segment == Segment::kHost || known_from(p, v) != b.stage) return;
  arn_desc d{};
  d.rank = static_cast<int32_t>(v.dims.size());
  for (size_t i = 0; i < v.dims.size(); ++i) {
    d.dims[i] = b.values[at(v.dims[i])];
    d.strides[i] = b.values[at(v.strides[i])];
    require(d.dims[i] >= 0, "a dim is negative");
  }
  int64_t count = 0;
  require(count_elements(d, &count), "a tensor has too many elements");
  require(count == 0 || (is_dense(d) && b.values[at(v.offset)] == 0), "an input or output is not dense");
  require(count * element_bytes(v.dtype) == b.buffer_bytes[at(v.buffer)], "an input or output of another size");
}

}  // namespace

bool is_dense(const arn_desc& d) {
  int64_t want = 1;
  for (int i = d.rank; i-- > 0;) {
    if (d.dims[i] == 1) continue;
    if (d.strides[i] != want) return false;
    want *= d.dims[i];
  }
  return true;
}

bool count_elements(const arn_desc& d, int64_t* count) {
  *count = 1;
  for (int i = 0; i < d.rank; ++i)
    if (d.dims[i] == 0) *count = 0;
  for (int i = 0; i < d.rank && *count != 0; ++i)
    if (__builtin_mul_overflow(*count, d.dims[i], count) || *count > ARN_MAX_BYTES) return false;
  return true;
}

void check_buffers(const Program& p, const Binding& b) {
  for (const Buffer& buffer : p.buffers) {
    if (buffer.segment == Segment::kHost || buffer.region < 0 || p.regions[at(buffer.region)].stage != b.stage ||
        buffer.stage > b.stage)
      continue;
    require(p.stage_of(buffer.region_offset) <= b.stage, "a buffer's place is known later than its region");
    const int64_t offset = b.values[at(buffer.region_offset)];
    const int64_t bytes = b.buffer_bytes[at(&buffer - p.buffers.data())];
    require(
        offset >= 0 && bytes <= b.rects[at(buffer.region)].bytes && offset <= b.rects[at(buffer.region)].bytes - bytes,
        "a buffer reaches out of its region");
  }
  for (const Input& input : p.inputs) check_shown(p, b, input.whole < 0 ? input.place : input.whole);
  for (const int32_t output : p.outputs) check_shown(p, b, output);
}

std::string operand_fault(const arn_row* row, const Step& step, size_t operand, const arn_desc& d) {
  int64_t count = 0;
  if (!count_elements(d, &count)) return "a tensor has too many elements";
  if (count == 0 || (step.packed >> operand & 1) != 0) return "";
  const char letter = row == nullptr ? 'd' : access_of(*row, step.n_in, operand);
  if (letter == 'd' && !is_dense(d)) return "an operand is not dense";
  if (letter == 'u' && d.rank > 0 && d.dims[d.rank - 1] != 1 && d.strides[d.rank - 1] != 1)
    return "an operand's inner stride is not one";
  return "";
}

}  // namespace arenaut
