// Programs as Python builds and runs them.
#pragma once

#include <pybind11/numpy.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "exec/run.h"
#include "python/direct.h"
#include "python/module.h"
#include "python/state.h"
#include "python/weights.h"

namespace arenaut {

class PyProgram;

// Ends the runs that were given it, from any thread.
struct StopFlag {
  std::atomic<int32_t> set{0};
};

// A Python object, held by what may end on a thread without the interpreter lock.
std::shared_ptr<void> hold(py::object object);

// Calls back into Python for the steps that need it.
class PyHost : public Host {
 public:
  explicit PyHost(PyProgram* owner) : owner_(owner) {}
  std::vector<Tensor> call(int32_t step, const std::vector<Tensor>& inputs) override;
  Host* body(int32_t step, const Program* program) override;
  Opened open(int32_t step, const std::vector<Tensor>& inputs) override;

 private:
  PyProgram* owner_;
};

// The programs of a step whose ranks a run decides, by types and sizes of its inputs and the elements of those asked
// for. Python, which makes them, keeps them as long as the step's own program.
struct OpenStep {
  std::mutex mutex;
  std::vector<int32_t> asked;
  std::map<std::string, PyProgram*> known;
};

// Memory of outputs that their owners have let go, for outputs to come: at most as much as the largest run returned,
// and an eighth more where outputs grow.
class OutputPool : public BlockSource {
 public:
  // At least so many bytes. total: of all outputs of the run that come from here. Throws std::bad_alloc.
  Block take(int64_t bytes, int64_t total);
  // For an output whose size a run finds out late.
  Block take(int64_t bytes) override;
  void give(Block block) noexcept;
  // Frees all of it; returns the bytes.
  int64_t clear();

 private:
  Block take_locked(int64_t bytes);
  void drop_oldest() noexcept;

  std::mutex mutex_;
  std::vector<Block> idle_;  // in the order in which they were given
  int64_t held_ = 0;
  int64_t early_ = 0, late_ = 0;  // the most that a run took of the ones, and the largest of the others
  bool grows_ = false;            // blocks have room to grow
};

class PyProgram {
 public:
  PyProgram(int32_t threads, int32_t tier, uint32_t features, std::shared_ptr<PyWeights> weights);

  // One that was sealed elsewhere, with its bodies. keep: what its weights lie in.
  static std::shared_ptr<PyProgram> opened(std::shared_ptr<Program> program, const py::object& keep);
  // This program, then those of its bodies, before those of theirs.
  static void walk(const std::shared_ptr<PyProgram>& program, py::list* out);

  int32_t add_expr(int32_t op, int64_t a, int64_t b, int64_t c);
  // weight: the number by which the weights of the model know the array.
  int32_t add_buffer(int32_t segment, int32_t bytes, int32_t index, const py::object& array, int64_t weight);
  int32_t add_place(int32_t buffer, int32_t dtype, int32_t offset, std::vector<int32_t> dims,
                    std::vector<int32_t> strides);
  int32_t add_step(const py::dict& description);
  // Sizes for which the condition is 0 are refused: text, then the values.
  void add_check(int32_t condition, std::vector<int32_t> values, std::string text);
  // Per step added so far, in that order: which operands it will read in packed form, as bits.
  std::vector<uint32_t> packed_operands() const;
  // Another array with the same content for a weight buffer; None when no step reads it as stored.
  void replace_weight(int32_t buffer, const py::object& array);
  // Steps in their final order; regions as (bytes expression, first, last, output buffer); per buffer its region and
  // offset expression; the order in which regions, then scratch of steps, are placed.
  void set_plan(const std::vector<std::array<int32_t, 2>>& order, const std::vector<std::array<int32_t, 5>>& regions,
                const std::vector<std::array<int32_t, 2>>& members, const std::vector<int32_t>& placement);
  void seal(const py::dict& rest);
  // From now on the host step is answered so; see direct_call.
  void answer(int32_t step, const std::string& name, const py::tuple& arguments);
  // Whether the host step has its outputs without Python.
  bool answered(int32_t step, const std::vector<Tensor>& inputs, std::vector<Tensor>* out) const;
  // (part of the state, input, output or -1, axis or -1) of each port; total: see StateUse.
  void use_state(const std::vector<std::array<int32_t, 4>>& ports, int32_t total);

  // timeout: seconds from now after which the run stops; negative: none. stop: lets others end it. needed: per step,
  // whether it is run; outputs that only others make are None.
  // given: by the number of an output, a dense array that it is written into where the binding says the same size; the
  // others lie in memory of their own. What it holds after a throw is undefined.
  // state: of the runs whose program has ports; arrays are then those of its other inputs, and None is returned in
  // place of what becomes the state. Throws StateTaken.
  py::list run(const py::list& arrays, int64_t max_memory, double timeout, const StopFlag* stop,
               const std::optional<std::vector<uint8_t>>& needed, const py::dict& given, PyState* state);
  py::tuple profile(const py::list& arrays);
  // What stage 0 of a binding needs, without running.
  py::dict describe(const std::vector<std::vector<int64_t>>& dims) const;
  // The last binding that ran, to its last stage; None before any run.
  py::object describe_last() const;
  // describe() to later stages, as far as the symbols that running decides are given, by number.
  py::dict describe_with(const std::vector<std::vector<int64_t>>& dims, const std::map<int32_t, int64_t>& late) const;
  void ran(const Run& run);
  // Frees what idle runs keep for the next call; returns the bytes given back.
  int64_t trim();

  void read_inputs(const py::list& arrays, Run* run) const;
  OpenStep& open_step(int32_t step);
  RunOptions options(int64_t max_memory);
  std::unique_ptr<Run> take_run();
  void give_run(std::unique_ptr<Run> run);

  std::shared_ptr<Program> program = std::make_shared<Program>();
  py::object host_call = py::none(), open_call = py::none();
  std::map<int32_t, std::unique_ptr<const DirectCall>> direct;  // by host step; under the interpreter lock
  std::shared_ptr<OutputPool> outputs = std::make_shared<OutputPool>();
  StateUse use;  // no ports: runs need no state
  PyHost host{this};
  std::map<const Program*, std::shared_ptr<PyProgram>> bodies;

 private:
  // params: the step's, as far as packing looks at them.
  void pack(Step* step, const std::vector<int>& operands, const std::string& params);

  std::shared_ptr<PyWeights> pool_;
  py::object keep_ = py::none();           // what weights of an opened program lie in
  std::map<int32_t, py::object> weights_;  // buffer -> the array that holds it
  std::map<int32_t, int64_t> numbers_;     // buffer -> the number of that array
  using Targets = std::map<size_t, py::array>;
  void run_to_end(const py::list& arrays, RunOptions options, const Targets& targets, py::list* out,
                  PyState* state = nullptr);

  mutable std::mutex idle_mutex_;
  std::map<int32_t, OpenStep> open_steps_;
  std::shared_ptr<const Binding> last_;
  int64_t last_outside_ = 0;  // what that run held outside its arena
  std::vector<std::unique_ptr<Run>> idle_;
};

// A call of a program in a run from its pool, ended and given back at last.
class Call {
 public:
  explicit Call(PyProgram* program) : program_(program), run_(program->take_run()) {}
  ~Call() {
    run_->end();
    program_->give_run(std::move(run_));
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  Run* operator->() const { return run_.get(); }
  Run* get() const { return run_.get(); }

 private:
  PyProgram* program_;
  std::unique_ptr<Run> run_;
};

// A dense array over these bytes, or a copy of them where nobody owns them. An array of no elements may have dims whose
// product has no number.
py::array array_of(const py::dtype& dtype, const std::vector<int64_t>& dims, const void* data, py::handle owner);

// Python object <-> tensor. Narrow types without a numpy type of their own appear as unsigned integers of their width.
py::object to_python(const Tensor& t, bool copy);
Tensor from_python(const py::handle& object, int32_t dtype);

}  // namespace arenaut
