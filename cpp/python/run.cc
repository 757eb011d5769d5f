// The Python classes Program and Run, and the errors they raise.
#include <pybind11/numpy.h>

#include "exec/resolve.h"
#include "python/program.h"

namespace arenaut {
namespace {

// A run that Python steps through: the interpreted executor.
class PyRun {
 public:
  PyRun(std::shared_ptr<PyProgram> program, py::list arrays, int64_t max_memory)
      : program_(std::move(program)), arrays_(std::move(arrays)), run_(*program_->program) {
    program_->read_inputs(arrays_, &run_);
    run_.begin(program_->options(max_memory));
  }

  bool step() {
    const py::gil_scoped_release nogil;
    const bool more = run_.step();
    run_.pause();
    return more;
  }
  py::object read(int32_t value) const { return to_python(run_.read(value), false); }
  void write(int32_t value, const py::array& array) {
    run_.write(value, from_python(array, program_->program->places.at(static_cast<size_t>(value)).dtype));
  }
  py::list outputs() {
    py::list out;
    program_->ran(run_);
    for (size_t i = 0; i < program_->program->outputs.size(); ++i) out.append(to_python(run_.output(i), false));
    return out;
  }
  int64_t arena_bytes() const { return run_.binding()->arena_bytes; }

 private:
  std::shared_ptr<PyProgram> program_;
  py::list arrays_;  // keeps the input memory alive
  Run run_;
};

// Offsets by first fit, as a binding computes them: rects are (bytes, first, last).
std::vector<int64_t> resolve(const std::vector<std::tuple<int64_t, int32_t, int32_t>>& items,
                             const std::vector<int32_t>& order) {
  std::vector<Rect> rects;
  for (const auto& [bytes, first, last] : items) rects.push_back({bytes, first, last, -1});
  for (const int32_t i : order)
    if (i < 0 || static_cast<size_t>(i) >= rects.size()) throw std::invalid_argument("order names no rect");
  first_fit(&rects, order);
  std::vector<int64_t> offsets;
  for (const Rect& r : rects) offsets.push_back(r.offset);
  return offsets;
}

}  // namespace

void register_program(py::module_& m) {
  static py::exception<StepError> step_error(m, "StepError");
  static py::exception<MemoryLimit> memory_error(m, "MemoryLimitExceeded");
  py::register_exception<StateTaken>(m, "StateTaken");
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const StepError& e) {
      PyErr_SetObject(step_error.ptr(), py::make_tuple(e.failure.step, e.failure.status, e.failure.binding,
                                                       e.failure.detail, reinterpret_cast<intptr_t>(e.failure.program))
                                            .ptr());
    } catch (const MemoryLimit& e) {
      PyErr_SetObject(memory_error.ptr(), py::make_tuple(e.needed, e.limit).ptr());
    }
  });
  py::class_<PyWeights, std::shared_ptr<PyWeights>>(m, "Weights", "The packed weights that programs of a model share.")
      .def(py::init<std::vector<std::pair<int64_t, int64_t>>>(), py::arg("maps"))
      .def("jobs", &PyWeights::jobs)
      .def("pack", &PyWeights::pack)
      .def("finish", &PyWeights::finish, py::arg("keep") = false)
      .def("packed_bytes", &PyWeights::packed_bytes)
      .def("drop_maps", &PyWeights::drop_maps);
  py::class_<StopFlag>(m, "Stop", "Ends the runs that were given it.")
      .def(py::init<>())
      .def("set", [](StopFlag& stop) { stop.set.store(1, std::memory_order_relaxed); })
      .def("clear", [](StopFlag& stop) { stop.set.store(0, std::memory_order_relaxed); })
      .def("is_set", [](const StopFlag& stop) { return stop.set.load(std::memory_order_relaxed) != 0; });
  py::class_<PyProgram, std::shared_ptr<PyProgram>>(m, "Program", "A lowered and planned program; see cpp/exec.")
      .def(py::init<int32_t, int32_t, uint32_t, std::shared_ptr<PyWeights>>(), py::arg("threads"), py::arg("tier"),
           py::arg("features"), py::arg("weights"))
      .def("add_expr", &PyProgram::add_expr, py::arg("op"), py::arg("a"), py::arg("b") = 0, py::arg("c") = 0)
      .def("add_buffer", &PyProgram::add_buffer, py::arg("segment"), py::arg("bytes"), py::arg("index"),
           py::arg("array") = py::none(), py::arg("weight") = -1)
      .def("add_place", &PyProgram::add_place)
      .def("add_step", &PyProgram::add_step)
      .def("add_check", &PyProgram::add_check)
      .def("packed_operands", &PyProgram::packed_operands)
      .def("replace_weight", &PyProgram::replace_weight)
      .def("measure",
           [](const PyProgram& p, const std::vector<int64_t>& symbols) { return p.program->measure(symbols); })
      .def("set_plan", &PyProgram::set_plan)
      .def("seal", &PyProgram::seal)
      .def("run", &PyProgram::run, py::arg("arrays"), py::arg("max_memory") = -1, py::arg("timeout") = -1.0,
           py::arg("stop") = nullptr, py::arg("needed") = py::none(), py::arg("given") = py::dict(),
           py::arg("state") = nullptr)
      .def("answer", &PyProgram::answer, py::arg("step"), py::arg("name"), py::arg("arguments"))
      .def("use_state", &PyProgram::use_state, py::arg("ports"), py::arg("total"))
      .def("input_dtype",
           [](const PyProgram& p, size_t i) { return p.program->places[p.program->inputs.at(i).place].dtype; })
      .def_property_readonly("state_total", [](const PyProgram& p) { return p.use.total; })
      .def("profile", &PyProgram::profile)
      .def("describe", &PyProgram::describe)
      .def("describe_with", &PyProgram::describe_with)
      .def("describe_last", &PyProgram::describe_last)
      .def_property_readonly("address", [](const PyProgram& p) { return reinterpret_cast<intptr_t>(p.program.get()); })
      .def("trim", &PyProgram::trim)
      .def_readwrite("host_call", &PyProgram::host_call)
      .def_readwrite("open_call", &PyProgram::open_call)
      .def("symbol_count", [](const PyProgram& p) { return p.program->symbol_stage.size(); })
      .def("output_count", [](const PyProgram& p) { return p.program->outputs.size(); })
      .def("host_steps",
           [](const PyProgram& p) {  // (step, inputs, outputs) of those that call the host
             py::list out;
             for (size_t i = 0; i < p.program->steps.size(); ++i) {
               const Step& s = p.program->steps[i];
               const auto n_in = static_cast<size_t>(s.n_in);
               if (s.kind == StepKind::kHost) out.append(py::make_tuple(i, n_in, s.operands.size() - n_in));
             }
             return out;
           })
      .def("bodies_of",
           [](const PyProgram& p, size_t step) {
             py::list out;
             for (const auto& body : p.program->steps.at(step).bodies) out.append(p.bodies.at(body.get()));
             return out;
           })
      .def("walk", [](const std::shared_ptr<PyProgram>& p) {
        py::list out;
        PyProgram::walk(p, &out);
        return out;
      });
  py::class_<PyRun>(m, "Run", "One run, step by step.")
      .def(py::init<std::shared_ptr<PyProgram>, py::list, int64_t>(), py::arg("program"), py::arg("arrays"),
           py::arg("max_memory") = -1)
      .def("step", &PyRun::step)
      .def("read", &PyRun::read)
      .def("write", &PyRun::write)
      .def("outputs", &PyRun::outputs)
      .def_property_readonly("arena_bytes", &PyRun::arena_bytes);
  m.def("set_pool_limit", &set_pool_limit, py::arg("threads"),
        "The most threads of the process-wide pool, whatever a model asks for.");
  m.def("resolve", &resolve, py::arg("rects"), py::arg("order"),
        "First-fit offsets of (bytes, first, last) rects placed in the given order.");
}

}  // namespace arenaut
