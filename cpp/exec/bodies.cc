#include "exec/bodies.h"

#include <algorithm>
#include <stdexcept>

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

int64_t rounded(int64_t n) { return (n + ARN_ALIGN - 1) / ARN_ALIGN * ARN_ALIGN; }

// The dims of a body's inputs in its first iteration; false where they are not known.
bool body_key(const Step& step, const Program& body, const std::vector<arn_desc>& descs, std::vector<int64_t>* key) {
  const size_t skipped = step.kind == StepKind::kIf ? 1 : step.kind == StepKind::kLoop ? 2 : 0;
  const size_t fixed = step.kind == StepKind::kLoop ? 2 : 0;  // iteration number and condition
  if (body.inputs.size() != fixed + at(step.n_in) - skipped) return false;
  for (size_t i = 0; i < body.inputs.size(); ++i) {
    if (body.inputs[i].host) return false;
    arn_desc d{};
    if (i >= fixed) {
      const size_t operand = i - fixed + skipped;
      d = descs[operand];
      if (d.dtype == ARN_NONE) return false;
    }
    const size_t scanned = step.kind == StepKind::kScan ? at(step.counts[0]) : body.inputs.size();
    const int first = i >= scanned && i < scanned + at(step.counts[1]) ? 1 : 0;
    if (d.rank - first != static_cast<int>(body.places[at(body.inputs[i].place)].dims.size())) return false;
    body.append_key(i, d.dims + first, static_cast<size_t>(d.rank - first), key);
  }
  return true;
}

// Where what a body returns lies: in the step's result, or in the scratch.
struct BodyOutputs {
  const Step& step;
  const Program& body;
  const Binding& binding;
  const std::vector<arn_desc>& descs;  // of the step's operands
  const std::vector<int64_t>& key;     // the dims of the body's inputs

  // False where a size changes from one iteration to the next, or differs from that of the step's result.
  bool place(BoundBody* out) const {
    const size_t leading = step.kind == StepKind::kLoop ? 1 : 0, carried = leading + at(step.counts[0]);
    int64_t end = rounded(binding.arena_bytes);
    const auto scratch = [&end](int64_t bytes) {
      const int64_t offset = end;
      end += rounded(std::max<int64_t>(1, bytes));
      return offset;
    };
    size_t state = 0;  // in the key: the dims of carried values come first, since what precedes them are scalars
    for (size_t i = 0; i < body.outputs.size(); ++i) {
      const Place& v = body.places[at(body.outputs[i])];
      const Buffer& buffer = body.buffers[at(v.buffer)];
      if (buffer.segment != Segment::kOutput) return false;
      const int64_t bytes = binding.buffer_bytes[at(v.buffer)];
      if (step.kind != StepKind::kIf && i >= leading && i < carried) {
        for (const int32_t d : v.dims)
          if (state >= key.size() || key[state++] != binding.values[at(d)]) return false;
        out->seconds.push_back(scratch(bytes));
      }
      const bool stacked = step.kind != StepKind::kIf && i >= carried;
      const size_t result = at(step.n_in) + i - leading;
      if (i < leading || result >= step.operands.size() || step.operands[result] < 0) {
        out->outputs.push_back(scratch(bytes));
      } else if (descs[result].dtype == ARN_NONE) {
        if (step.kind != StepKind::kIf && !stacked) return false;
        out->outputs.push_back(stacked ? scratch(bytes) : kHeld);
      } else {
        if (!same_dims(v, descs[result], stacked ? 1 : 0)) return false;
        out->outputs.push_back(kInResult);
      }
    }
    out->bytes = end;
    return true;
  }

  bool same_dims(const Place& v, const arn_desc& d, int first) const {
    if (d.dtype != v.dtype || d.rank - first != static_cast<int>(v.dims.size())) return false;
    for (size_t k = 0; k < v.dims.size(); ++k)
      if (binding.values[at(v.dims[k])] != d.dims[k + at(first)]) return false;
    return true;
  }
};

}  // namespace

BoundBody bind_body(const Step& step, const Program& body, const std::vector<arn_desc>& descs, bool keep) {
  BoundBody out;
  std::vector<int64_t> key;
  if (body.stages() > 1 || !body_key(step, body, descs, &key)) return out;
  std::shared_ptr<const Binding> binding;
  try {
    binding = keep ? body.bind(key) : body.bind_anew(key);
  } catch (const StepError&) {
    return out;
  } catch (const std::invalid_argument&) {
    return out;
  }
  BodyOutputs outputs{step, body, *binding, descs, key};
  if (!outputs.place(&out)) return BoundBody();
  if (keep) out.binding = std::move(binding);
  return out;
}

}  // namespace arenaut
