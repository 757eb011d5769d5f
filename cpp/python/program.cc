#include "python/program.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "exec/packing.h"
#include "exec/registry.h"
#include "kernels/element.h"
#include "python/interrupt.h"
#include "python/tile.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

// Idle runs kept per program; more concurrent calls than this allocate and free their own.
constexpr size_t kIdleRuns = 4;

const char* numpy_code(int32_t dtype) {
  constexpr std::pair<int32_t, const char*> kCodes[] = {
      {ARN_F32, "f4"}, {ARN_F64, "f8"},   {ARN_F16, "f2"}, {ARN_I8, "i1"},  {ARN_I16, "i2"},
      {ARN_I32, "i4"}, {ARN_I64, "i8"},   {ARN_U32, "u4"}, {ARN_U64, "u8"}, {ARN_BOOL, "?"},
      {ARN_C64, "c8"}, {ARN_C128, "c16"}, {ARN_U16, "u2"}, {ARN_BF16, "u2"}};
  for (const auto& [known, code] : kCodes)
    if (known == dtype) return code;
  return "u1";
}

// Made once each, as numpy reads their names slowly.
py::dtype dtype_of(int32_t dtype) {
  constexpr int32_t kMost = 64;
  static PyObject* known[kMost] = {};
  if (dtype < 0 || dtype >= kMost) return py::dtype(numpy_code(dtype));
  if (known[dtype] == nullptr) known[dtype] = py::dtype(numpy_code(dtype)).release().ptr();
  return py::reinterpret_borrow<py::dtype>(known[dtype]);
}

const void* weight_data(const py::object& array) {
  const auto held = array.cast<py::array>();
  if (!(held.flags() & py::array::c_style)) throw std::invalid_argument("weights must be dense");
  return held.data();
}

std::vector<int32_t> ints(const py::handle& h) { return h.cast<std::vector<int32_t>>(); }

}  // namespace

std::shared_ptr<void> hold(py::object object) {
  auto* p = new py::object(std::move(object));
  return std::shared_ptr<void>(p, [](void* q) {
    const py::gil_scoped_acquire gil;
    delete static_cast<py::object*>(q);
  });
}

py::array array_of(const py::dtype& dtype, const std::vector<int64_t>& dims, const void* data, py::handle owner) {
  std::vector<py::ssize_t> strides(dims.size());
  py::ssize_t step = dtype.itemsize();
  for (size_t axis = dims.size(); axis-- > 0;) {
    strides[axis] = step;
    if (dims[axis] > 1 && __builtin_mul_overflow(step, dims[axis], &step)) step = dtype.itemsize();  // of no elements
  }
  return py::array(dtype, std::vector<py::ssize_t>(dims.begin(), dims.end()), strides, data, owner);
}

py::object to_python(const Tensor& t, bool copy) {
  if (t.host) return *static_cast<py::object*>(t.host.get());
  if (t.dtype == ARN_NONE) return py::none();
  const py::dtype dtype = dtype_of(t.dtype);
  if (copy || !t.owned) return array_of(dtype, t.dims, t.data, py::handle());
  auto* keep = new std::shared_ptr<Block>(t.owned);
  const py::capsule owner(keep, [](void* p) { delete static_cast<std::shared_ptr<Block>*>(p); });
  return array_of(dtype, t.dims, t.data, owner);
}

Tensor from_python(const py::handle& object, int32_t dtype) {
  Tensor t;
  if (dtype == ARN_STRING || dtype == ARN_NONE || !py::isinstance<py::array>(object)) {
    t.host = hold(py::reinterpret_borrow<py::object>(object));
    return t;
  }
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (!(array.flags() & py::array::c_style) || array.itemsize() != element_bytes(dtype))
    throw std::invalid_argument("an array is not dense or has another item size than its type");
  t.dtype = dtype;
  t.dims.assign(array.shape(), array.shape() + array.ndim());
  t.data = array.data();
  return t;
}

std::vector<Tensor> PyHost::call(int32_t step, const std::vector<Tensor>& inputs) {
  const py::gil_scoped_acquire gil;
  const Step& s = owner_->program->steps[at(step)];
  std::vector<Tensor> out;
  if (owner_->answered(step, inputs, &out)) return out;
  const auto called = [&] {
    py::list arguments;
    for (const Tensor& t : inputs) arguments.append(to_python(t, true));
    return owner_->host_call(step, arguments);
  };
  py::object made = called();
  if (made.is_none()) {  // it has said how to answer
    if (owner_->answered(step, inputs, &out)) return out;
    made = called();
  }
  const auto results = made.cast<py::list>();
  for (size_t i = 0; i < results.size() && at(s.n_in) + i < s.operands.size(); ++i) {
    const int32_t place = s.operands[at(s.n_in) + i];
    const int32_t dtype = place < 0 ? ARN_NONE : owner_->program->places[at(place)].dtype;
    const py::object item = results[i];
    Tensor t = from_python(item, dtype);
    if (!t.host) {  // the array belongs to the callback: the result outlives it
      const auto bytes = static_cast<int64_t>(py::reinterpret_borrow<py::array>(item).nbytes());
      auto block = std::make_shared<Block>(std::max<int64_t>(1, bytes));
      std::memcpy(block->data(), t.data, at(bytes));
      t.owned = block;
      t.data = block->data();
    }
    out.push_back(std::move(t));
  }
  return out;
}

namespace {

// Keys kept for one step; all are forgotten when there are more.
constexpr size_t kMostKeys = 256;

void append(std::string* key, const void* data, int64_t bytes) {
  key->append(static_cast<const char*>(data), at(bytes));
}

void make_key(const std::vector<Tensor>& inputs, const std::vector<int32_t>& asked, std::string* key) {
  key->clear();
  for (const Tensor& t : inputs) {
    const auto rank = static_cast<int64_t>(t.dims.size());
    append(key, &rank, sizeof rank);
    append(key, t.dims.data(), rank * static_cast<int64_t>(sizeof(int64_t)));
  }
  for (const int32_t i : asked) append(key, inputs[at(i)].data, tensor_bytes(inputs[at(i)]));
}

// A view that is looked at while the tensor lives.
py::object look_at(const Tensor& t) {
  if (t.host || t.dtype == ARN_NONE) return to_python(t, false);
  return array_of(dtype_of(t.dtype), t.dims, t.data, py::capsule(&t, [](void*) {}));
}

}  // namespace

Opened PyHost::open(int32_t step, const std::vector<Tensor>& inputs) {
  OpenStep& s = owner_->open_step(step);
  std::string key;
  {
    const std::lock_guard<std::mutex> lock(s.mutex);
    make_key(inputs, s.asked, &key);
    const auto found = s.known.find(key);
    if (found != s.known.end()) return {found->second->program.get(), &found->second->host};
  }
  const py::gil_scoped_acquire gil;
  py::list arguments;
  for (const Tensor& t : inputs) arguments.append(look_at(t));
  const auto [program, asked] =
      owner_->open_call(step, arguments).cast<std::pair<std::shared_ptr<PyProgram>, std::vector<int32_t>>>();
  const std::lock_guard<std::mutex> lock(s.mutex);
  if (s.asked != asked || s.known.size() >= kMostKeys) s.known.clear();
  s.asked = asked;
  make_key(inputs, s.asked, &key);
  s.known[key] = program.get();
  return {program->program.get(), &program->host};
}

OpenStep& PyProgram::open_step(int32_t step) {
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  return open_steps_[step];
}

Host* PyHost::body(int32_t, const Program* program) { return &owner_->bodies.at(program)->host; }

PyProgram::PyProgram(int32_t threads, int32_t tier, uint32_t features, std::shared_ptr<PyWeights> weights)
    : pool_(std::move(weights)) {
  program->threads = std::max(1, threads);
  program->target = cpu().target;
  program->target.tier = std::min(tier, program->target.tier);
  program->target.features &= features;
}

std::shared_ptr<PyProgram> PyProgram::opened(std::shared_ptr<Program> program, const py::object& keep) {
  auto made = std::make_shared<PyProgram>(1, 0, 0, nullptr);
  for (const Step& step : program->steps)
    for (const auto& body : step.bodies) made->bodies[body.get()] = opened(body, keep);
  made->program = std::move(program);
  made->keep_ = keep;
  return made;
}

void PyProgram::walk(const std::shared_ptr<PyProgram>& program, py::list* out) {
  out->append(program);
  for (const Step& step : program->program->steps)
    for (const auto& body : step.bodies) walk(program->bodies.at(body.get()), out);
}

int32_t PyProgram::add_expr(int32_t op, int64_t a, int64_t b, int64_t c) {
  if (op < 0 || op > static_cast<int32_t>(ExprOp::kSelect)) throw std::invalid_argument("no such expression");
  program->exprs.push_back({static_cast<ExprOp>(op), a, b, c});
  return static_cast<int32_t>(program->exprs.size()) - 1;
}

int32_t PyProgram::add_buffer(int32_t segment, int32_t bytes, int32_t index, const py::object& array, int64_t weight) {
  Buffer b;
  b.segment = static_cast<Segment>(segment);
  b.bytes = bytes;
  b.index = index;
  const auto id = static_cast<int32_t>(program->buffers.size());
  if (!array.is_none()) {
    b.data = weight_data(array);
    b.held = array.attr("nbytes").cast<int64_t>();
    weights_[id] = array;
    numbers_[id] = weight;
  }
  program->buffers.push_back(b);
  return id;
}

int32_t PyProgram::add_place(int32_t buffer, int32_t dtype, int32_t offset, std::vector<int32_t> dims,
                             std::vector<int32_t> strides) {
  program->places.push_back({buffer, dtype, offset, std::move(dims), std::move(strides)});
  return static_cast<int32_t>(program->places.size()) - 1;
}

void PyProgram::pack(Step* step, const std::vector<int>& operands, const std::string& params) {
  if (operands.empty()) return;
  const arn_row& row = rows().at(at(step->row));
  if (row.pack_bytes == nullptr) return;
  const PackView view(*program, *step, constant_values(*program));
  step->packed_weights.resize(step->operands.size());
  for (const int i : operands) {
    if (i < 0 || at(i) >= view.constants.size() || view.constants[at(i)] == nullptr)
      throw std::invalid_argument("only constant operands can be packed");
    const int32_t buffer = program->places[at(step->operands[at(i)])].buffer;
    const int64_t offset =
        static_cast<const char*>(view.constants[at(i)]) - static_cast<const char*>(program->buffers[at(buffer)].data);
    std::shared_ptr<PackedWeight> weight = pool_->request(row, view.args, i, params, numbers_.at(buffer), offset);
    if (!weight) continue;
    step->packed_weights[at(i)] = std::move(weight);
    step->packed |= 1u << i;
  }
}

std::vector<uint32_t> PyProgram::packed_operands() const {
  std::vector<uint32_t> out;
  for (const Step& s : program->steps) out.push_back(s.packed);
  return out;
}

void PyProgram::replace_weight(int32_t buffer, const py::object& array) {
  Buffer& b = program->buffers.at(at(buffer));
  if (b.segment != Segment::kWeight) throw std::invalid_argument("only weights can be replaced");
  b.data = array.is_none() ? nullptr : weight_data(array);
  b.held = array.is_none() ? 0 : array.attr("nbytes").cast<int64_t>();
  if (array.is_none())
    weights_.erase(buffer);
  else
    weights_[buffer] = array;
}

int32_t PyProgram::add_step(const py::dict& d) {
  Step s;
  s.kind = static_cast<StepKind>(d["kind"].cast<int32_t>());
  s.row = d["row"].cast<int32_t>();
  s.operands = ints(d["inputs"]);
  s.n_in = static_cast<int32_t>(s.operands.size());
  const std::vector<int32_t> outputs = ints(d["outputs"]);
  s.operands.insert(s.operands.end(), outputs.begin(), outputs.end());
  for (const int32_t v : s.operands)
    if (v < -1 || v >= static_cast<int32_t>(program->places.size())) throw std::invalid_argument("bad operand");
  if (!d["params"].is_none()) s.params = d["params"].cast<std::string>();
  for (const auto& [offset, expr, is_float] : d["patches"].cast<std::vector<std::tuple<int32_t, int32_t, bool>>>()) {
    if (offset < 0 || at(offset) + 8 > s.params.size()) throw std::invalid_argument("a parameter outside its struct");
    s.patches.push_back({offset, expr, is_float});
  }
  if (!d["tile"].is_none()) s.tile = std::make_unique<arn_tile>(d["tile"].cast<const TileProgram&>().tile);
  s.sets = d["sets"].cast<std::vector<std::array<int32_t, 3>>>();
  s.counts = d["counts"].cast<std::array<int32_t, 2>>();
  for (const auto& body : d["bodies"].cast<std::vector<std::shared_ptr<PyProgram>>>()) {
    s.bodies.push_back(body->program);
    bodies[body->program.get()] = body;
  }
  const py::object read = d["pack_params"];
  pack(&s, d["pack"].cast<std::vector<int>>(), read.is_none() ? s.params : read.cast<std::string>());
  program->steps.push_back(std::move(s));
  return static_cast<int32_t>(program->steps.size()) - 1;
}

void PyProgram::add_check(int32_t condition, std::vector<int32_t> values, std::string text) {
  program->checks.push_back({condition, std::move(values), std::move(text), 0});
}

void PyProgram::set_plan(const std::vector<std::array<int32_t, 2>>& order,
                         const std::vector<std::array<int32_t, 5>>& regions,
                         const std::vector<std::array<int32_t, 2>>& members, const std::vector<int32_t>& placement) {
  if (order.size() != program->steps.size() || members.size() != program->buffers.size())
    throw std::invalid_argument("a plan for another program");
  std::vector<Step> sorted;
  std::vector<bool> seen(order.size(), false);
  for (const auto [i, reuses] : order) {
    if (i < 0 || at(i) >= order.size() || seen[at(i)]) throw std::invalid_argument("the order is no permutation");
    seen[at(i)] = true;
    sorted.push_back(std::move(program->steps[at(i)]));
    sorted.back().reuses = reuses;
  }
  program->steps = std::move(sorted);
  for (const auto& r : regions) program->regions.push_back({r[0], r[1], r[2], r[3], r[4], 0});
  for (size_t i = 0; i < members.size(); ++i)
    program->buffers[i].region = members[i][0], program->buffers[i].region_offset = members[i][1];
  program->placement = placement;
}

void PyProgram::seal(const py::dict& rest) {
  program->symbol_stage = ints(rest["symbol_stages"]);
  program->stage_ends = ints(rest["stage_ends"]);
  for (const int32_t v : ints(rest["inputs"])) {
    const Buffer& b = program->buffers.at(at(program->places.at(at(v)).buffer));
    program->inputs.push_back({v, b.segment == Segment::kHost});
  }
  const std::vector<int32_t> wholes = ints(rest["wholes"]);
  if (wholes.size() != program->inputs.size()) throw std::invalid_argument("wholes has one entry an input");
  for (size_t i = 0; i < wholes.size(); ++i) program->inputs[i].whole = wholes[i];
  program->outputs = ints(rest["outputs"]);
  program->slots = rest["slots"].cast<int32_t>();
  host_call = rest["host_call"];
  open_call = rest["open_call"];
  program->seal();
}

void PyProgram::use_state(const std::vector<std::array<int32_t, 4>>& ports, int32_t total) {
  const auto n_inputs = static_cast<int32_t>(program->inputs.size());
  const auto n_outputs = static_cast<int32_t>(program->outputs.size());
  if (total < -1 || total >= static_cast<int32_t>(program->exprs.size()))
    throw std::invalid_argument("a state's length is no expression");
  StateUse made;
  made.total = total;
  for (const auto& [part, input, output, axis] : ports) {
    if (part < 0 || input < -1 || input >= n_inputs || output < -1 || output >= n_outputs)
      throw std::invalid_argument("a port of no input or output");
    if (axis >= 0 && (input < 0 || program->inputs[at(input)].whole < 0 || total < 0))
      throw std::invalid_argument("a port that appends to what has no room");
    if (input >= 0 && program->inputs[at(input)].host) throw std::invalid_argument("a port that is no array");
    const Place* taken = input < 0 ? nullptr : &program->places[at(program->inputs[at(input)].place)];
    const Place* given = output < 0 ? nullptr : &program->places[at(program->outputs[at(output)])];
    if (taken != nullptr && axis >= static_cast<int32_t>(taken->dims.size()))
      throw std::invalid_argument("a port that appends along no axis");
    const bool host = given != nullptr && program->buffers[at(given->buffer)].segment == Segment::kHost;
    if (taken != nullptr && given != nullptr && !host &&
        (taken->dtype != given->dtype || taken->dims.size() != given->dims.size()))
      throw std::invalid_argument("a port that becomes something else");
    made.ports.push_back({part, input, output, axis});
  }
  use = std::move(made);
}

void PyProgram::read_inputs(const py::list& arrays, Run* run) const {
  if (arrays.size() != program->inputs.size()) throw std::invalid_argument("wrong number of inputs");
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (use.is_port(i)) continue;
    const Place& v = program->places[at(program->inputs[i].place)];
    Tensor& t = run->input(i);
    t = from_python(arrays[i], v.dtype);
    if (!program->inputs[i].host && (t.host || t.dims.size() != v.dims.size()))
      throw std::invalid_argument("an input is no array of the model's rank");
    if (program->inputs[i].host && py::isinstance<py::array>(arrays[i])) {  // text: its dims set symbols all the same
      const auto array = py::reinterpret_borrow<py::array>(arrays[i]);
      if (at(array.ndim()) == v.dims.size()) t.dims.assign(array.shape(), array.shape() + array.ndim());
    }
  }
}

RunOptions PyProgram::options(int64_t max_memory) {
  RunOptions o;
  o.threads = program->threads;
  o.max_memory = max_memory;
  o.host = host_call.is_none() && bodies.empty() ? nullptr : &host;
  return o;
}

std::unique_ptr<Run> PyProgram::take_run() {
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  if (idle_.empty()) return std::make_unique<Run>(*program);
  std::unique_ptr<Run> run = std::move(idle_.back());
  idle_.pop_back();
  return run;
}

void PyProgram::give_run(std::unique_ptr<Run> run) {
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  try {
    if (idle_.size() < kIdleRuns) idle_.push_back(std::move(run));
  } catch (const std::bad_alloc&) {  // it is let go instead: this is called while runs end
  }
}

int64_t PyProgram::trim() {
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  int64_t bytes = outputs->clear();
  for (const auto& run : idle_) bytes += run->kept_bytes();
  idle_.clear();
  return bytes;
}

namespace {

bool has_dims(const py::array& array, const std::vector<int64_t>& dims) {
  return std::equal(array.shape(), array.shape() + array.ndim(), dims.begin(), dims.end());
}

}  // namespace

void PyProgram::run_to_end(const py::list& arrays, RunOptions options, const Targets& targets, py::list* out,
                           PyState* state) {
  std::optional<StateCall> held;
  if (state == nullptr && !use.ports.empty()) throw std::invalid_argument("a program with a state, and none is given");
  if (state != nullptr) held.emplace(state, use);
  const WatchInterrupts interrupts(true);
  options.signalled = interrupts.flag();
  for (;;) {
    Call call(this);
    read_inputs(arrays, call.get());
    for (auto [i, array] : targets) call->give_output(i, array.mutable_data(), array.nbytes());
    if (held) held->give_inputs(*program, call.get());
    try {
      const py::gil_scoped_release nogil;
      std::shared_ptr<const Binding> binding;
      if (held) {
        std::vector<int64_t> key;
        for (size_t i = 0; i < program->inputs.size(); ++i)
          program->append_key(i, call->input(i).dims.data(), call->input(i).dims.size(), &key);
        binding = held->bind(*program, key, call.get());
        held->give_outputs(*program, *binding, call.get());
      }
      call->begin(options, std::move(binding));
      call->finish();
      if (held) held->commit(*program, call.get());
      if (options.needed == nullptr && !held) ran(*call.get());
    } catch (const StepError&) {
      if (!interrupts.take()) throw;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      continue;  // Python's handler wants to go on
    }
    for (size_t i = 0; i < program->outputs.size(); ++i) {
      const Tensor& t = call->output(i);
      if (use.is_result(i)) {
        out->append(py::none());
        continue;
      }
      const bool absent = options.needed != nullptr && t.data == nullptr && !t.host;
      const auto target = targets.find(i);
      if (target != targets.end() && t.data == target->second.data() && has_dims(target->second, t.dims))
        out->append(target->second);
      else
        out->append(absent ? py::object(py::none()) : to_python(t, false));
    }
    return;
  }
}

py::list PyProgram::run(const py::list& arrays, int64_t max_memory, double timeout, const StopFlag* stop,
                        const std::optional<std::vector<uint8_t>>& needed, const py::dict& given, PyState* state) {
  RunOptions o = options(max_memory);
  if (timeout >= 0)
    o.deadline = std::chrono::duration_cast<std::chrono::nanoseconds>(
                     std::chrono::steady_clock::now().time_since_epoch() + std::chrono::duration<double>(timeout))
                     .count();
  if (stop != nullptr) o.stop = &stop->set;
  if (needed) {
    if (needed->size() != program->steps.size()) throw std::invalid_argument("needed has one entry a step");
    o.needed = &*needed;
  }
  Targets targets;
  for (const auto& [key, value] : given) {
    const auto i = key.cast<size_t>();
    auto array = py::reinterpret_borrow<py::object>(value).cast<py::array>();
    const Place& place = program->places.at(at(program->outputs.at(i)));
    if (!(array.flags() & py::array::c_style) || !array.writeable() || array.itemsize() != element_bytes(place.dtype))
      throw std::invalid_argument("an array for an output is not dense and writable, or of another type");
    targets.emplace(i, std::move(array));
  }
  py::list out;
  run_to_end(arrays, o, targets, &out, state);
  return out;
}

py::tuple PyProgram::profile(const py::list& arrays) {
  std::vector<StepTime> times(program->steps.size());
  RunOptions o = options(-1);
  o.profile = &times;
  py::list out, nanoseconds;
  run_to_end(arrays, o, {}, &out);
  for (const StepTime& t : times) nanoseconds.append(t.nanoseconds);
  return py::make_tuple(out, nanoseconds);
}

namespace {

py::dict describe_binding(const Program& program, const Binding& b);

// Per body of a step: where its arena and what it returns lie in the step's scratch; none where it finds memory itself.
py::list describe_bodies(const Step& step, const std::vector<BoundBody>& bodies) {
  py::list out;
  for (size_t i = 0; i < bodies.size(); ++i) {
    const BoundBody& body = bodies[i];
    if (body.binding)
      out.append(py::make_tuple(body.bytes, describe_binding(*step.bodies[i], *body.binding)));
    else
      out.append(py::none());
  }
  return out;
}

py::dict describe_binding(const Program& program, const Binding& b) {
  py::list rects, steps, buffers, bodies;
  for (const int64_t n : b.buffer_bytes) buffers.append(n);
  for (const Rect& r : b.rects) rects.append(py::make_tuple(r.bytes, r.first, r.last, r.offset));
  const int32_t first = program.stage_begin(b.stage);
  for (size_t i = 0; i < b.steps.size(); ++i) {
    const BoundStep& s = b.steps[i];
    steps.append(
        py::make_tuple(s.head.variant ? s.head.variant : "", s.head.tasks, s.head.step_scratch, s.head.thread_scratch));
    if (s.control >= 0)
      bodies.append(py::make_tuple(first + static_cast<int32_t>(i),
                                   describe_bodies(program.steps[at(first) + i], b.controls[at(s.control)])));
  }
  py::dict d;
  d["stage"] = b.stage;
  d["stages"] = program.stages();
  d["arena_bytes"] = b.arena_bytes;
  d["rects"] = rects;
  d["regions"] = program.regions.size();
  d["in_output"] = b.in_output;
  d["buffer_bytes"] = buffers;
  d["first_step"] = first;
  d["steps"] = steps;
  d["bodies"] = bodies;
  d["symbols"] = b.symbols;
  d["values"] = b.values;
  d["outside"] = 0;
  return d;
}

}  // namespace

py::dict PyProgram::describe(const std::vector<std::vector<int64_t>>& dims) const { return describe_with(dims, {}); }

py::dict PyProgram::describe_with(const std::vector<std::vector<int64_t>>& dims,
                                  const std::map<int32_t, int64_t>& late) const {
  if (dims.size() != program->inputs.size()) throw std::invalid_argument("wrong number of inputs");
  std::vector<int64_t> key;
  for (size_t i = 0; i < dims.size(); ++i) program->append_key(i, dims[i].data(), dims[i].size(), &key);
  std::shared_ptr<const Binding> binding = program->bind(key);
  py::list earlier;  // bodies of steps of earlier stages
  while (binding->stage + 1 < program->stages()) {
    std::vector<int64_t> symbols = binding->symbols;
    bool known = true;
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (program->symbol_stage[i] != binding->stage + 1) continue;
      const auto found = late.find(static_cast<int32_t>(i));
      known = known && found != late.end();
      if (known) symbols[i] = found->second;
    }
    if (!known) break;
    const py::dict facts = describe_binding(*program, *binding);
    for (const auto& body : facts["bodies"].cast<py::list>()) earlier.append(body);
    binding = program->bind_next(binding, symbols);
  }
  py::dict facts = describe_binding(*program, *binding);
  for (const auto& body : facts["bodies"].cast<py::list>()) earlier.append(body);
  facts["bodies"] = earlier;
  return facts;
}

py::object PyProgram::describe_last() const {
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  if (!last_) return py::none();
  py::dict facts = describe_binding(*program, *last_);
  facts["outside"] = last_outside_;
  return facts;
}

void PyProgram::ran(const Run& run) {
  const int64_t outside = run.kept_bytes() - run.arena_bytes();
  const std::lock_guard<std::mutex> lock(idle_mutex_);
  last_outside_ = outside;
  if (last_ != run.binding()) last_ = run.binding();
}

}  // namespace arenaut
