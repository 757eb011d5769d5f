// If, Loop and Scan: bodies are programs of their own. The run of a body is kept with the run that owns it, so that a
// warm iteration allocates nothing.
#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "exec/denormals.h"
#include "exec/run.h"
#include "kernels/element.h"

namespace arenaut {
namespace {

// Bytes set aside at once for results of iterations that are still to come.
constexpr int64_t kMostReserved = int64_t{1} << 30;

size_t at(int64_t i) { return static_cast<size_t>(i); }

bool read_bool(const void* data) { return data != nullptr && *static_cast<const uint8_t*>(data) != 0; }

// Element dims of a body output as far as they are constants; 0 where only running tells.
void constant_dims(const Program& body, size_t output, std::vector<int64_t>* dims) {
  dims->clear();
  const Place& v = body.places[at(body.outputs[output])];
  for (const int32_t d : v.dims) {
    const Expr& e = body.exprs[at(d)];
    dims->push_back(e.op == ExprOp::kConst ? e.a : 0);
  }
}

}  // namespace

// begin() and finish() as part of another program's run: a failure says whose it is. find: the binding, or null.
template <typename Find>
void Run::within(const RunOptions& options, const Find& find) {
  try {
    begin(options, find());
    finish();
  } catch (StepError& error) {
    if (error.failure.program == nullptr) error.failure.program = &program_;
    throw;
  }
}

void Run::own(Tensor* t) {
  if (t->host || t->owned || t->dtype == ARN_NONE) return;
  const int64_t bytes = tensor_bytes(*t);
  t->owned = spare_block(bytes);
  if (bytes > 0) std::memcpy(t->owned->data(), t->data, at(bytes));
  t->data = t->owned->data();
}

// Where an operand lies; null when it is absent.
const void* Run::operand_data(const Step& step, const BoundStep& bound, size_t operand) const {
  if (step.operands[operand] < 0) return nullptr;
  const Buffer& buffer = program_.buffers[at(program_.places[at(step.operands[operand])].buffer)];
  if (buffer.segment == Segment::kHost) return slots_[at(buffer.index)].data;
  return operands_[at(bound.first_location) + operand];
}

const void* Run::scalar_data(int32_t index, const Step& step, size_t operand, int32_t dtype) const {
  if (step.operands[operand] < 0) return nullptr;
  const Place& v = program_.places[at(step.operands[operand])];
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  int32_t found = v.dtype;
  int64_t count = 1;
  if (buffer.segment == Segment::kHost) {
    const Tensor& held = slots_[at(buffer.index)];
    found = held.dtype;
    count = held.data == nullptr ? 0 : tensor_bytes(held) / element_bytes(found);
  } else {
    for (const int32_t d : v.dims) count *= binding_->values[at(d)];
  }
  if (found != dtype || count != 1)
    throw StepError{{index, ARN_SHAPE_MISMATCH, false, "a condition or trip count is not one element of its type"}};
  return operand_data(step, bound(index), operand);
}

// The results that iterations make, stacked along a new first axis. expected: how many, at least 0.
void Run::stack(Stack* s, const Tensor& t, int64_t expected, int32_t step) {
  if (t.host) throw StepError{{step, ARN_UNSUPPORTED, false, "a scan output that is not a tensor"}};
  if (s->count == 0) {
    s->result.dtype = t.dtype;
    s->element_dims = t.dims;
  } else if (s->element_dims != t.dims || s->result.dtype != t.dtype) {
    throw StepError{{step, ARN_SHAPE_MISMATCH, false, "a scan output changes its shape between iterations"}};
  }
  const int64_t bytes = tensor_bytes(t), used = s->count * bytes;
  if (!s->result.owned || s->result.owned->bytes() < used + bytes) {
    const int64_t limit = options_.max_memory;
    if (limit >= 0 && used + bytes > limit) throw MemoryLimit{used + bytes, limit};
    int64_t all = 0;  // what a model says of its trips may be far from what they will be
    if (__builtin_mul_overflow(expected, bytes, &all) || all > (limit >= 0 ? limit : kMostReserved)) all = 0;
    std::shared_ptr<Block> larger = spare_block(std::max({all, 2 * used, bytes}));
    if (used > 0) std::memcpy(larger->data(), s->result.owned->data(), at(used));
    s->result.owned = std::move(larger);
  }
  if (bytes > 0) std::memcpy(s->result.owned->data() + used, t.data, at(bytes));
  ++s->count;
}

// With no iteration the element dims are those that the body says, 0 where only running tells.
const Tensor& Run::stacked(Stack* s, const Program& body, size_t output) {
  Tensor& t = s->result;
  if (s->count == 0) {
    t.dtype = body.places[at(body.outputs[output])].dtype;
    constant_dims(body, output, &s->element_dims);
    t.owned = spare_block(0);
  }
  t.dims.assign(1, s->count);
  t.dims.insert(t.dims.end(), s->element_dims.begin(), s->element_dims.end());
  t.data = t.owned->data();
  return t;
}

Run& Run::body_run(const Program& body) {
  auto found = bodies_.find(&body);
  if (found == bodies_.end()) found = bodies_.emplace(&body, std::make_unique<Run>(body)).first;
  return *found->second;
}

const BoundBody* Run::planned_body(const BoundStep& bound, size_t body) const {
  if (bound.control < 0) return nullptr;
  const BoundBody& found = binding_->controls[at(bound.control)][body];
  return found.binding ? &found : nullptr;
}

RunOptions Run::body_options(int32_t index, const Program& body, const BoundBody* planned) const {
  RunOptions options = options_;
  options.profile = nullptr;
  options.needed = nullptr;
  options.lease = lease_;
  options.host = options_.host == nullptr ? nullptr : options_.host->body(index, &body);
  options.arena = planned == nullptr ? nullptr : scratch_start(bound(index)) + bound(index).step_scratch;
  if (planned != nullptr) options.max_memory = -1;  // it lies in what was counted
  return options;
}

void Run::check_body_inputs(int32_t index, const Program& body) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (body.inputs[i].host) continue;
    const Place& v = body.places[at(body.inputs[i].place)];
    const Tensor& t = inputs_[i];
    if (t.host || t.dtype != v.dtype || t.dims.size() != v.dims.size() || (t.data == nullptr && tensor_bytes(t) > 0))
      throw StepError{{index, ARN_SHAPE_MISMATCH, false, "a body is given another type than it takes"}};
  }
}

void Run::run_if(int32_t index, const Step& step) {
  const size_t branch = read_bool(scalar_data(index, step, 0, ARN_BOOL)) ? 0 : 1;
  const Program& body = *step.bodies.at(branch);
  const BoundBody* planned = planned_body(bound(index), branch);
  const RunOptions options = body_options(index, body, planned);
  Run& run = body_run(body);
  for (size_t i = 1; i < at(step.n_in); ++i) borrow_into(&run.input(i - 1), step, bound(index), i);
  for (size_t i = 0; planned != nullptr && i < body.outputs.size(); ++i) {
    const int64_t offset = planned->outputs[i];
    if (offset == kInResult)
      run.give_output(i, operands_[at(bound(index).first_location) + at(step.n_in) + i]);
    else if (offset != kHeld)
      run.give_output(i, options.arena + offset);
  }
  run.check_body_inputs(index, body);
  run.within(options, [planned] { return planned == nullptr ? nullptr : planned->binding; });
  for (size_t i = 0; i < body.outputs.size(); ++i) keep(index, i, run.output(i));
  run.end();
  set_kept_symbols(index, step);
}

void Run::give_outputs(int32_t index, const BoundBody& planned, const Program& body, size_t leading, int64_t n,
                       int64_t parity, Run* run) const {
  const Step& step = program_.steps[at(index)];
  const BoundStep& s = bound(index);
  const size_t carried = run->states_.size();
  char* scratch = scratch_start(s) + s.step_scratch;
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    const bool second = i >= leading && i < leading + carried && (n & 1) != parity;
    if (second || planned.outputs[i] != kInResult) {
      run->give_output(i, scratch + (second ? planned.seconds[i - leading] : planned.outputs[i]));
      continue;
    }
    const size_t operand = at(step.n_in) + i - leading;
    auto* result = static_cast<char*>(operands_[at(s.first_location) + operand]);
    if (i >= leading + carried) {
      const Place& v = program_.places[at(step.operands[operand])];
      if (n >= binding_->values[at(v.dims[0])])
        throw StepError{{index, ARN_SHAPE_MISMATCH, false, "more iterations than inferred"}};
      result += n * planned.binding->buffer_bytes[at(body.places[at(body.outputs[i])].buffer)];
    }
    run->give_output(i, result);
  }
}

// What an iteration returned: the next one's state, and elements to stack where they do not lie in the result.
void Run::take_outputs(int32_t index, const BoundBody* planned, size_t leading, int64_t expected, Run* run) {
  const size_t carried = run->states_.size();
  for (size_t i = 0; i < carried; ++i) run->states_[i] = run->output(leading + i);
  for (size_t i = 0; i < run->stacks_.size(); ++i)
    if (planned == nullptr || planned->outputs[leading + carried + i] != kInResult)
      stack(&run->stacks_[i], run->output(leading + carried + i), expected, index);
}

void Run::keep_outputs(int32_t index, const BoundBody* planned, const Program& body, size_t leading, int64_t iterations,
                       Run* run) {
  const Step& step = program_.steps[at(index)];
  const size_t carried = run->states_.size();
  for (size_t i = 0; i < carried; ++i) {
    Tensor& state = run->states_[i];
    const int32_t place = at(step.n_in) + i < step.operands.size() ? step.operands[at(step.n_in) + i] : -1;
    if (place >= 0 && program_.buffers[at(program_.places[at(place)].buffer)].segment == Segment::kHost) own(&state);
    keep(index, i, state);
  }
  for (size_t i = 0; i < run->stacks_.size(); ++i) {
    const size_t output = leading + carried + i;
    if (planned == nullptr || planned->outputs[output] != kInResult) {
      keep(index, carried + i, stacked(&run->stacks_[i], body, output));
      continue;
    }
    const Place& v = program_.places[at(step.operands[at(step.n_in) + carried + i])];
    if (iterations != binding_->values[at(v.dims[0])])
      throw StepError{{index, ARN_SHAPE_MISMATCH, false, "fewer iterations than inferred"}};
  }
}

void Run::run_loop(int32_t index, const Step& step) {
  const Program& body = *step.bodies.at(0);
  const auto carried = at(step.counts[0]);
  const BoundStep& s = bound(index);
  const void *trip = scalar_data(index, step, 0, ARN_I64), *start = scalar_data(index, step, 1, ARN_BOOL);
  int64_t limit = INT64_MAX;
  if (trip != nullptr) std::memcpy(&limit, trip, sizeof limit);
  uint8_t going = start == nullptr || read_bool(start) ? 1 : 0;
  const BoundBody* planned = planned_body(s, 0);
  const RunOptions options = body_options(index, body, planned);
  Run& run = body_run(body);
  std::vector<Tensor>& state = run.states_;
  state.resize(carried);
  run.stacks_.resize(body.outputs.size() - 1 - carried);
  for (size_t i = 0; i < carried; ++i) borrow_into(&state[i], step, s, 2 + i);
  for (size_t i = 2 + carried; i < at(step.n_in); ++i) borrow_into(&run.input(i), step, s, i);
  int64_t n = 0;
  for (; going != 0 && n < limit; ++n) {
    check_stop(index);
    run.input(0).set_scalar(ARN_I64, &n);
    run.input(1).set_scalar(ARN_BOOL, &going);
    for (size_t i = 0; i < carried; ++i) run.input(2 + i) = state[i];
    // The last of as many iterations as there may be leaves its values where they stay.
    if (planned != nullptr) give_outputs(index, *planned, body, 1, n, (limit - 1) & 1, &run);
    run.check_body_inputs(index, body);
    run.within(options, [planned] { return planned == nullptr ? nullptr : planned->binding; });
    take_outputs(index, planned, 1, limit == INT64_MAX ? 0 : limit - n, &run);
    const Tensor& condition = run.output(0);
    if (condition.dtype != ARN_BOOL || condition.data == nullptr || tensor_bytes(condition) != 1)
      throw StepError{{index, ARN_SHAPE_MISMATCH, false, "the body's condition is not one bool"}};
    const bool again = read_bool(condition.data);
    run.end_iteration();
    going = again ? 1 : 0;
  }
  keep_outputs(index, planned, body, 1, n, &run);
  run.end();
  set_kept_symbols(index, step);
}

void Run::run_scan(int32_t index, const Step& step) {
  const Program& body = *step.bodies.at(0);
  const auto carried = at(step.counts[0]), scanned = at(step.counts[1]);
  const BoundStep& s = bound(index);
  const BoundBody* planned = planned_body(s, 0);
  const RunOptions options = body_options(index, body, planned);
  Run& run = body_run(body);
  std::vector<Tensor>& state = run.states_;
  state.resize(carried);
  run.stacks_.resize(body.outputs.size() - carried);
  for (size_t i = 0; i < carried; ++i) borrow_into(&state[i], step, s, i);
  for (size_t i = carried; i < at(step.n_in); ++i) borrow_into(&run.input(i), step, s, i);
  int64_t length = 0;
  for (size_t i = carried; i < carried + scanned; ++i) {  // each iteration reads one element of the first axis
    Tensor& t = run.input(i);
    if (t.host || t.dims.empty()) throw StepError{{index, ARN_SHAPE_MISMATCH, false, "a scan input that is no list"}};
    if (i > carried && t.dims.at(0) != length)
      throw StepError{{index, ARN_SHAPE_MISMATCH, false, "scan inputs differ in length"}};
    length = t.dims.at(0);
    t.dims.erase(t.dims.begin());
  }
  for (int64_t n = 0; n < length; ++n) {
    check_stop(index);
    for (size_t i = 0; i < carried; ++i) run.input(i) = state[i];
    if (planned != nullptr) give_outputs(index, *planned, body, 0, n, (length - 1) & 1, &run);
    run.check_body_inputs(index, body);
    run.within(options, [planned] { return planned == nullptr ? nullptr : planned->binding; });
    take_outputs(index, planned, 0, length, &run);
    run.end_iteration();
    for (size_t i = carried; i < carried + scanned; ++i) {
      Tensor& t = run.input(i);
      t.data = static_cast<const char*>(t.data) + tensor_bytes(t);
    }
  }
  keep_outputs(index, planned, body, 0, length, &run);
  run.end();
  set_kept_symbols(index, step);
}

// Memory of the step's result for an output of the fragment, where it is arena memory of the right size.
bool Run::give_result(const Step& step, const BoundStep& bound, const Binding& inner, const Program& body,
                      size_t output, Run* run) const {
  const size_t operand = at(step.n_in) + output;
  if (operand >= step.operands.size() || step.operands[operand] < 0) return false;
  const Place& to = program_.places[at(step.operands[operand])];
  const Place& from = body.places[at(body.outputs[output])];
  const Buffer& made = body.buffers[at(from.buffer)];
  if (program_.buffers[at(to.buffer)].segment == Segment::kHost || made.segment != Segment::kOutput ||
      made.stage != inner.stage || to.dtype != from.dtype || to.dims.size() != from.dims.size())
    return false;
  for (size_t k = 0; k < to.dims.size(); ++k)
    if (binding_->values[at(to.dims[k])] != inner.values[at(from.dims[k])]) return false;
  run->give_output(output, operands_[at(bound.first_location) + operand]);
  return true;
}

void Run::run_open(int32_t index, const Step& step) {
  if (options_.host == nullptr) throw std::logic_error("a fragment without a host");
  const BoundStep& s = bound(index);
  opened_.resize(at(step.n_in));
  for (size_t i = 0; i < opened_.size(); ++i) borrow_into(&opened_[i], step, s, i);
  check_stop(index);
  Opened found;
  {
    const KeepDenormals keep_denormals;
    found = options_.host->open(index, opened_);
  }
  check_stop(index);
  const Program& body = *found.program;
  RunOptions options = options_;
  options.profile = nullptr;
  options.needed = nullptr;
  options.lease = lease_;
  options.host = found.host;
  options.arena = nullptr;
  if (options.max_memory >= 0)
    options.max_memory = std::max<int64_t>(0, options.max_memory - binding_->arena_bytes - binding_->output_bytes);
  Run& run = body_run(body);
  if (body.inputs.size() != opened_.size()) throw std::logic_error("a program of other inputs");
  key_.clear();
  for (size_t i = 0; i < opened_.size(); ++i) {
    std::swap(run.input(i), opened_[i]);
    body.append_key(i, run.input(i).dims.data(), run.input(i).dims.size(), &key_);
  }
  run.check_body_inputs(index, body);
  run.within(options, [&] {
    std::shared_ptr<const Binding> binding =
        run.located_ && run.located_->stage == 0 && run.located_->key == key_ ? run.located_ : body.bind(key_);
    for (size_t i = 0; i < body.outputs.size(); ++i) give_result(step, s, *binding, body, i, &run);
    return binding;
  });
  for (size_t i = 0; i < body.outputs.size(); ++i) keep(index, i, run.output(i));
  run.end();
  set_kept_symbols(index, step);
}

}  // namespace arenaut
