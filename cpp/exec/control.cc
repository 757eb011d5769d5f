// If, Loop and Scan: bodies are programs of their own, run by the step that owns them.
#include <cstring>
#include <stdexcept>

#include "exec/run.h"
#include "kernels/element.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

int64_t bytes_of(const Tensor& t) {
  int64_t n = element_size(t.dtype);
  for (const int64_t d : t.dims) n *= d;
  return n;
}

bool read_bool(const Tensor& t) { return t.data != nullptr && *static_cast<const uint8_t*>(t.data) != 0; }

template <typename T>
Tensor scalar(int32_t dtype, T value) {
  Tensor t;
  t.dtype = dtype;
  t.owned = std::make_shared<Block>(static_cast<int64_t>(sizeof(T)));
  std::memcpy(t.owned->data(), &value, sizeof(T));
  t.data = t.owned->data();
  return t;
}

// The results that iterations make, stacked along a new first axis.
class Stack {
 public:
  void push(const Tensor& t, int32_t step) {
    if (t.host) throw StepError{{step, ARN_UNSUPPORTED, false, "a scan output that is not a tensor"}};
    if (count_ == 0) {
      dtype_ = t.dtype;
      dims_ = t.dims;
    } else if (dims_ != t.dims || dtype_ != t.dtype) {
      throw StepError{{step, ARN_SHAPE_MISMATCH, false, "a scan output changes its shape between iterations"}};
    }
    ++count_;
    const char* from = static_cast<const char*>(t.data);
    bytes_.insert(bytes_.end(), from, from + bytes_of(t));
  }

  // With no iteration the element dims are those given.
  Tensor take(int32_t dtype, const std::vector<int64_t>& element_dims) const {
    Tensor t;
    t.dtype = count_ > 0 ? dtype_ : dtype;
    t.dims = count_ > 0 ? dims_ : element_dims;
    t.dims.insert(t.dims.begin(), count_);
    t.owned = std::make_shared<Block>(static_cast<int64_t>(bytes_.size()) + 1);
    if (!bytes_.empty()) std::memcpy(t.owned->data(), bytes_.data(), bytes_.size());
    t.data = t.owned->data();
    return t;
  }

 private:
  int32_t dtype_ = 0;
  int64_t count_ = 0;
  std::vector<int64_t> dims_;
  std::vector<char> bytes_;
};

// Element dims of a body output as far as they are constants; 0 where only running tells.
std::vector<int64_t> constant_dims(const Program& body, size_t output) {
  std::vector<int64_t> dims;
  const Value& v = body.values[at(body.outputs[output])];
  for (const int32_t d : v.dims) {
    const Expr& e = body.exprs[at(d)];
    dims.push_back(e.op == ExprOp::kConst ? e.a : 0);
  }
  return dims;
}

// A result that outlives the step: owned, never borrowed from the parent's arena.
Tensor own(Tensor t) {
  if (t.host || t.owned) return t;
  t.owned = std::make_shared<Block>(bytes_of(t) + 1);
  if (bytes_of(t) > 0) std::memcpy(t.owned->data(), t.data, at(bytes_of(t)));
  t.data = t.owned->data();
  return t;
}

}  // namespace

std::vector<Tensor> Run::run_body(int32_t index, const Program& body, std::vector<Tensor> inputs) {
  RunOptions options = options_;
  options.profile = nullptr;
  options.lease = lease_;
  options.host = options_.host == nullptr ? nullptr : options_.host->body(index, &body);
  Block& arena = body_arenas_[&body];
  Run run(body, std::move(inputs), options, std::move(arena));
  run.finish();
  arena = run.take_arena();
  return run.take_outputs();
}

void Run::run_if(int32_t index, const Step& step) {
  std::vector<Tensor> inputs;
  for (size_t i = 1; i < at(step.n_in); ++i) inputs.push_back(borrow(step, bound(index), i));
  const Program& body = *step.bodies.at(read_bool(borrow(step, bound(index), 0)) ? 0 : 1);
  keep(index, step, at(step.n_in), run_body(index, body, std::move(inputs)));
}

void Run::run_loop(int32_t index, const Step& step) {
  const Program& body = *step.bodies.at(0);
  const auto carried = at(step.counts[0]);
  const Tensor trip = borrow(step, bound(index), 0), start = borrow(step, bound(index), 1);
  int64_t limit = INT64_MAX;
  if (trip.data != nullptr) std::memcpy(&limit, trip.data, sizeof limit);
  bool going = start.data == nullptr || read_bool(start);
  std::vector<Tensor> state, captures;
  for (size_t i = 2; i < at(step.n_in); ++i)
    (i < 2 + carried ? state : captures).push_back(borrow(step, bound(index), i));
  std::vector<Stack> stacks(body.outputs.size() - 1 - carried);
  for (int64_t n = 0; going && n < limit; ++n) {
    if (stop_.load(std::memory_order_relaxed) != 0) throw StepError{{index, ARN_CANCELLED, false, ""}};
    std::vector<Tensor> inputs = {scalar<int64_t>(ARN_I64, n), scalar<uint8_t>(ARN_BOOL, going)};
    inputs.insert(inputs.end(), state.begin(), state.end());
    inputs.insert(inputs.end(), captures.begin(), captures.end());
    std::vector<Tensor> results = run_body(index, body, std::move(inputs));
    going = read_bool(results[0]);
    state.assign(results.begin() + 1, results.begin() + 1 + static_cast<int64_t>(carried));
    for (size_t i = 0; i < stacks.size(); ++i) stacks[i].push(results[1 + carried + i], index);
  }
  std::vector<Tensor> results;
  for (Tensor& t : state) results.push_back(own(std::move(t)));
  for (size_t i = 0; i < stacks.size(); ++i)
    results.push_back(
        stacks[i].take(body.values[at(body.outputs[1 + carried + i])].dtype, constant_dims(body, 1 + carried + i)));
  keep(index, step, at(step.n_in), std::move(results));
}

void Run::run_scan(int32_t index, const Step& step) {
  const Program& body = *step.bodies.at(0);
  const auto carried = at(step.counts[0]), scanned = at(step.counts[1]);
  std::vector<Tensor> state, sequences, captures;
  for (size_t i = 0; i < at(step.n_in); ++i)
    (i < carried ? state : i < carried + scanned ? sequences : captures).push_back(borrow(step, bound(index), i));
  const int64_t length = sequences.empty() ? 0 : sequences[0].dims.at(0);
  for (const Tensor& t : sequences)
    if (t.dims.at(0) != length) throw StepError{{index, ARN_SHAPE_MISMATCH, false, "scan inputs differ in length"}};
  std::vector<Stack> stacks(body.outputs.size() - carried);
  for (int64_t n = 0; n < length; ++n) {
    std::vector<Tensor> inputs = state;
    for (const Tensor& t : sequences) {
      Tensor slice;
      slice.dtype = t.dtype;
      slice.dims.assign(t.dims.begin() + 1, t.dims.end());
      slice.data = static_cast<const char*>(t.data) + n * bytes_of(slice);
      inputs.push_back(std::move(slice));
    }
    inputs.insert(inputs.end(), captures.begin(), captures.end());
    std::vector<Tensor> results = run_body(index, body, std::move(inputs));
    state.assign(results.begin(), results.begin() + static_cast<int64_t>(carried));
    for (size_t i = 0; i < stacks.size(); ++i) stacks[i].push(results[carried + i], index);
  }
  std::vector<Tensor> results;
  for (Tensor& t : state) results.push_back(own(std::move(t)));
  for (size_t i = 0; i < stacks.size(); ++i)
    results.push_back(
        stacks[i].take(body.values[at(body.outputs[carried + i])].dtype, constant_dims(body, carried + i)));
  keep(index, step, at(step.n_in), std::move(results));
}

}  // namespace arenaut
