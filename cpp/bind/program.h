// Programs as Python builds and runs them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bind/module.h"
#include "exec/run.h"

namespace arenaut {

class PyProgram;

// Calls back into Python for the steps that need it.
class PyHost : public Host {
 public:
  explicit PyHost(PyProgram* owner) : owner_(owner) {}
  std::vector<Tensor> call(int32_t step, const std::vector<Tensor>& inputs) override;
  Host* body(int32_t step, const Program* program) override;

 private:
  PyProgram* owner_;
};

class PyProgram {
 public:
  PyProgram(int32_t threads, int32_t tier);

  int32_t add_expr(int32_t op, int64_t a, int64_t b, int64_t c);
  int32_t add_buffer(int32_t segment, int32_t bytes, int32_t index, const py::object& array);
  int32_t add_value(int32_t buffer, int32_t dtype, int32_t offset, std::vector<int32_t> dims,
                    std::vector<int32_t> strides);
  int32_t add_step(const py::dict& description);
  // Steps in their final order; regions as (bytes expression, first, last, output buffer); per buffer its region and
  // offset expression; the order in which regions, then scratch of steps, are placed.
  void set_plan(const std::vector<int32_t>& order, const std::vector<std::array<int32_t, 5>>& regions,
                const std::vector<std::array<int32_t, 2>>& members, const std::vector<int32_t>& placement);
  void seal(const py::dict& rest);

  py::list run(const py::list& arrays, int64_t max_memory);
  py::tuple profile(const py::list& arrays);
  // What stage 0 of a binding needs, without running.
  py::dict describe(const std::vector<std::vector<int64_t>>& dims) const;
  // The last binding that ran, to its last stage; None before any run.
  py::object describe_last() const;
  void ran(std::shared_ptr<const Binding> binding);
  int64_t packed_bytes() const { return program->packed_bytes(); }
  // Frees pooled arenas; returns the bytes given back.
  int64_t trim();

  std::vector<Tensor> read_inputs(const py::list& arrays) const;
  RunOptions options(int64_t max_memory);
  Block borrow_arena();
  void return_arena(Block arena);

  std::shared_ptr<Program> program = std::make_shared<Program>();
  py::object host_call = py::none();
  PyHost host{this};
  std::map<const Program*, std::shared_ptr<PyProgram>> bodies;

 private:
  int64_t constant(int32_t expr) const;
  void pack(Step* step, const std::vector<int>& operands);
  void release_unused_weights();

  std::map<int32_t, py::object> weights_;  // buffer -> the array that holds it
  std::map<std::string, std::shared_ptr<Block>> packed_;
  mutable std::mutex arenas_mutex_;
  std::shared_ptr<const Binding> last_;
  std::vector<Block> arenas_;
};

// Python object <-> tensor. Narrow types without a numpy type of their own appear as unsigned integers of their width.
py::object to_python(const Tensor& t, bool copy);
Tensor from_python(const py::handle& object, int32_t dtype);

}  // namespace arenaut
