// Memory of a model between runs: what a decoder has seen so far.
#pragma once

#include <pybind11/numpy.h>

#include <atomic>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "exec/run.h"
#include "python/module.h"

namespace arenaut {

class PyState;
struct StateUse;

// How a program uses one part of a state. output: what becomes the part, -1 where the program keeps it or writes into
// it. axis: along which it appends; -1: it does not.
struct StatePort {
  int32_t part = 0, input = -1, output = -1, axis = -1;
};

// How a program uses a state. total: an expression, how long the state is after the run; -1: as long as before.
struct StateUse {
  std::vector<StatePort> ports;
  int32_t total = -1;
  bool is_port(size_t input) const;
  bool is_result(size_t output) const;
};

// A fast way to run a program, without Python's frame. Returns a new reference; null without an error: not this way.
class FastRun {
 public:
  virtual ~FastRun() = default;
  virtual PyObject* run(PyObject* const* args, Py_ssize_t count, PyObject* names, PyState* state) = 0;
};

// One tensor of a state. dims: all that there is room for, along the axis that it grows along; -1: it does not grow.
// next: where a run puts what takes its place. renewed: a result without elements does not.
struct StatePart {
  int32_t dtype = 0;
  int32_t axis = -1;
  bool replaced = false, renewed = false;
  std::vector<int64_t> dims;
  Block memory, next;
};

class PyState {
 public:
  // dtype, dims, axis, whether runs replace it, and whether only by something.
  using Given = std::tuple<int32_t, std::vector<int64_t>, int32_t, bool, bool>;

  // All is zero. Throws std::bad_alloc.
  explicit PyState(const std::vector<Given>& parts);

  int64_t bytes() const;
  // A part's memory as an array of integers of its width, all that there is room for. Valid until it is replaced.
  py::array view(size_t part, const py::object& owner);
  // Other dims for a part, as zeros.
  void reshape(size_t part, std::vector<int64_t> dims);
  // One user at a time; false where somebody has it.
  bool take() { return !taken_.exchange(true, std::memory_order_acquire); }
  void give() { taken_.store(false, std::memory_order_release); }

  std::vector<StatePart> parts;
  int64_t length = 0, capacity = 0;
  Growth growth;                          // of the run that has the state
  std::shared_ptr<FastRun> first, later;  // for a state of no length, and for others
  PyObject* owner = nullptr;              // the Runner that it belongs to, never followed

 private:
  std::atomic<bool> taken_{false};
};

// Thrown where another run has the state.
struct StateTaken : std::exception {
  const char* what() const noexcept override { return "another run has the state"; }
};

// One run's hold of a state: it changes when commit() is called, and else stays what it was.
class StateCall {
 public:
  // Throws StateTaken.
  StateCall(PyState* state, const StateUse& use);
  ~StateCall() { state_->give(); }
  StateCall(const StateCall&) = delete;
  StateCall& operator=(const StateCall&) = delete;

  // The run's inputs that are parts of the state, then its binding, then memory for what takes their place.
  void give_inputs(const Program& program, Run* run) const;
  const std::shared_ptr<const Binding>& bind(const Program& program, const std::vector<int64_t>& key, Run* run) const;
  void give_outputs(const Program& program, const Binding& binding, Run* run) const;
  void commit(const Program& program, Run* run) const;

 private:
  PyState* state_;
  const StateUse& use_;
};

}  // namespace arenaut
