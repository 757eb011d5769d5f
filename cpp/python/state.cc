#include "python/state.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <tuple>

#include "kernels/element.h"
#include "python/program.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

int64_t bytes_of(const StatePart& part) {
  int64_t bytes = element_bytes(part.dtype);
  for (const int64_t d : part.dims)
    if (d < 0 || __builtin_mul_overflow(bytes, d, &bytes)) throw std::bad_alloc();
  return bytes;
}

// Memory of zeros: that of large blocks is, until it is written.
Block zeros(int64_t bytes) {
  Block block = Block::in_huge_pages(std::max<int64_t>(1, bytes));
  if (!block.is_mapping()) std::memset(block.data(), 0, at(block.bytes()));
  return block;
}

// Whether the result leaves the part as it was.
bool is_spared(const StatePart& part, const Tensor& result) { return part.renewed && tensor_bytes(result) == 0; }

bool is_late(const Program& p, size_t output) {
  const Buffer& buffer = p.buffers[at(p.places[at(p.outputs[output])].buffer)];
  return buffer.segment != Segment::kOutput || buffer.stage > 0;
}

}  // namespace

bool StateUse::is_port(size_t input) const {
  return std::any_of(ports.begin(), ports.end(),
                     [input](const StatePort& p) { return p.input >= 0 && at(p.input) == input; });
}

bool StateUse::is_result(size_t output) const {
  return std::any_of(ports.begin(), ports.end(),
                     [output](const StatePort& p) { return p.output >= 0 && at(p.output) == output; });
}

PyState::PyState(const std::vector<Given>& given) {
  parts.resize(given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    StatePart& part = parts[i];
    std::tie(part.dtype, part.dims, part.axis, part.replaced, part.renewed) = given[i];
    if (part.axis >= static_cast<int32_t>(part.dims.size())) throw std::invalid_argument("a part has no such axis");
    part.memory = zeros(bytes_of(part));
    if (part.replaced) part.next = Block::in_huge_pages(std::max<int64_t>(1, bytes_of(part)));
  }
}

int64_t PyState::bytes() const {
  int64_t bytes = 0;
  for (const StatePart& part : parts) bytes += part.memory.bytes() + part.next.bytes();
  return bytes;
}

py::array PyState::view(size_t index, const py::object& owner) {
  StatePart& part = parts.at(index);
  const std::string code = (element_bytes(part.dtype) == 1 ? "u1" : "u" + std::to_string(element_bytes(part.dtype)));
  return array_of(py::dtype(code), part.dims, part.memory.data(), owner);
}

void PyState::reshape(size_t index, std::vector<int64_t> dims) {
  StatePart& part = parts.at(index);
  StatePart other;
  other.dtype = part.dtype;
  other.dims = std::move(dims);
  if (other.dims.size() != part.dims.size()) throw std::invalid_argument("a part of another rank");
  const int64_t bytes = bytes_of(other);
  part.memory = zeros(bytes);
  if (part.replaced) part.next = Block::in_huge_pages(std::max<int64_t>(1, bytes));
  part.dims = std::move(other.dims);
}

StateCall::StateCall(PyState* state, const StateUse& use) : state_(state), use_(use) {
  if (!state_->take()) throw StateTaken{};
}

void StateCall::give_inputs(const Program& program, Run* run) const {
  for (const StatePort& port : use_.ports) {
    if (port.input < 0) continue;
    const StatePart& part = state_->parts.at(at(port.part));
    Tensor& t = run->input(at(port.input));
    const Place& place = program.places[at(program.inputs[at(port.input)].place)];
    if (part.dtype != place.dtype || part.dims.size() != place.dims.size())
      throw std::invalid_argument("a state of another program");
    t.dtype = part.dtype;
    t.data = part.memory.data();
    t.dims.assign(part.dims.begin(), part.dims.end());
    if (port.axis >= 0) t.dims[at(port.axis)] = state_->length;
    if (program.inputs[at(port.input)].whole < 0) continue;
    t.dims.insert(t.dims.end(), part.dims.begin(), part.dims.end());
  }
}

const std::shared_ptr<const Binding>& StateCall::bind(const Program& program, const std::vector<int64_t>& key,
                                                      Run* run) const {
  Growth& growth = state_->growth;
  growth.lengths.clear();
  growth.total = use_.total;
  growth.capacity = state_->capacity;
  int32_t start = 0;
  for (size_t i = 0; i < program.inputs.size(); ++i) {
    for (const StatePort& port : use_.ports)
      if (port.input >= 0 && at(port.input) == i && port.axis >= 0) growth.lengths.push_back(start + port.axis);
    start += static_cast<int32_t>(run->input(i).dims.size()) + (program.inputs[i].host ? 1 : 0);
  }
  return run->follow(key, growth);
}

void StateCall::give_outputs(const Program& program, const Binding& binding, Run* run) const {
  for (const StatePort& port : use_.ports) {
    if (port.output < 0 || is_late(program, at(port.output))) continue;
    Block& next = state_->parts.at(at(port.part)).next;
    const int64_t bytes = binding.buffer_bytes[at(program.places[at(program.outputs[at(port.output)])].buffer)];
    if (next.bytes() < bytes) next = Block::in_huge_pages(bytes);
    run->give_output(at(port.output), next.data());
  }
}

void StateCall::commit(const Program& program, Run* run) const {
  for (const StatePort& port : use_.ports) {
    if (port.output < 0) continue;
    StatePart& part = state_->parts.at(at(port.part));
    const Tensor& t = run->output(at(port.output));
    if (is_late(program, at(port.output))) {
      if (t.host || t.dtype != part.dtype) throw std::invalid_argument("a state of another type");
      if (part.next.bytes() < tensor_bytes(t)) part.next = Block::in_huge_pages(tensor_bytes(t));
      std::memcpy(part.next.data(), t.data, at(tensor_bytes(t)));
    }
  }
  for (const StatePort& port : use_.ports) {  // nothing throws from here on but for want of a few bytes
    if (port.output < 0) continue;
    StatePart& part = state_->parts[at(port.part)];
    if (is_spared(part, run->output(at(port.output)))) continue;
    part.dims = run->output(at(port.output)).dims;
    std::swap(part.memory, part.next);
  }
  if (use_.total >= 0) state_->length = run->binding()->values[at(use_.total)];
}

void register_state(py::module_& m) {
  py::class_<PyState, std::shared_ptr<PyState>>(m, "State", "Memory of a model between runs; see arenaut.State.")
      .def(py::init<const std::vector<PyState::Given>&>(), py::arg("parts"))
      .def_readwrite("_length", &PyState::length)
      .def_readwrite("_capacity", &PyState::capacity)
      .def("_bytes", &PyState::bytes)
      .def("_dims", [](const PyState& s, size_t part) { return s.parts.at(part).dims; })
      .def("_view", [](const py::object& self, size_t part) { return self.cast<PyState&>().view(part, self); })
      .def("_reshape", &PyState::reshape)
      .def("_take", &PyState::take)
      .def("_give", &PyState::give);
}

}  // namespace arenaut
