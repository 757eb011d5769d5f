// Runner, the base class of arenaut.Model: run() for feeds that are as the model wants them, without a Python frame.
// Whatever is unusual goes to the subclass's method _run(*args, **kwargs), which says precisely what is wrong.
#include <pybind11/numpy.h>

#include <algorithm>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "kernels/element.h"
#include "python/interrupt.h"
#include "python/program.h"

namespace arenaut {
namespace {

constexpr size_t kMaxInputs = 128;
// Below, numpy's own allocator is quicker; above, memory is aligned like the arena, and what its owner lets go is kept
// for the outputs of later runs.
constexpr int64_t kOwnMemory = 1024;
// Runs that take longer let other Python threads run.
constexpr int64_t kWorthOfUnlocking = 20'000;  // nanoseconds
// Runs that take longer end early when the user asks for it.
constexpr int64_t kWorthOfWatching = 5'000'000;  // nanoseconds

using Descr = py::detail::PyArrayDescr_Proxy;
using npy = py::detail::npy_api;

size_t at(int64_t i) { return static_cast<size_t>(i); }

// The memory of an output that numpy does not allocate.
struct Memory {
  struct Held {
    Block block;
    std::shared_ptr<OutputPool> pool;
  };
  PyObject_HEAD Held held;
};

void memory_dealloc(PyObject* self) {
  Memory::Held& held = reinterpret_cast<Memory*>(self)->held;
  held.pool->give(std::move(held.block));
  held.~Held();
  PyObject_Free(self);
}

PyTypeObject make_memory_type() {
  PyTypeObject type{};
  type.ob_base.ob_base.ob_refcnt = 1;
  type.tp_name = "arenaut._native.Memory";
  type.tp_basicsize = sizeof(Memory);
  type.tp_dealloc = memory_dealloc;
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  return type;
}
PyTypeObject g_memory_type = make_memory_type();

struct InputSpec {
  py::object name;
  size_t input = 0;                       // of the program
  int type_number = 0, other_number = 0;  // numpy has two numbers for 64-bit integers
  int rank = 0;                           // -1: any
  int32_t dtype = 0;
  bool is_text = false;  // an array of Python's strings
};

struct OutputSpec {
  py::object name;
  size_t output = 0;  // of the program
  py::object descr;   // none: an object of Python's
  int32_t place = 0;
  int32_t buffer = 0;
  bool early = false;  // its dims follow from those of the inputs
};

class FastCall : public FastRun {
 public:
  FastCall(std::shared_ptr<PyProgram> program, const py::list& inputs, const py::list& outputs, int64_t max_memory)
      : program_(std::move(program)), options_(program_->options(max_memory)) {
    options_.outputs = program_->outputs.get();
    const Program& p = *program_->program;
    if (inputs.size() != p.inputs.size() || outputs.size() != p.outputs.size() || inputs.size() > kMaxInputs)
      throw std::invalid_argument("other inputs or outputs than the program's");
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (program_->use.is_port(i)) continue;
      const auto [name, type] = inputs[i].cast<std::pair<py::str, py::dtype>>();
      InputSpec spec;
      spec.input = i;
      spec.name = intern(name);
      spec.type_number = spec.other_number = type.num();
      if (spec.type_number == npy::NPY_LONG_) spec.other_number = npy::NPY_LONGLONG_;
      if (spec.type_number == npy::NPY_ULONG_) spec.other_number = npy::NPY_ULONGLONG_;
      if (sizeof(long) != sizeof(long long)) spec.other_number = spec.type_number;
      const Place& place = p.places[at(p.inputs[i].place)];
      spec.dtype = place.dtype;
      spec.is_text = place.dtype == ARN_STRING;
      spec.rank = p.inputs[i].host && !spec.is_text ? -1 : static_cast<int>(place.dims.size());
      if (spec.is_text ? spec.type_number != npy::NPY_OBJECT_ || !p.inputs[i].host
                       : type.itemsize() != element_bytes(place.dtype))
        throw std::invalid_argument("an input of another type than the program's");
      inputs_.push_back(std::move(spec));
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (program_->use.is_result(i)) continue;
      const auto [name, descr] = outputs[i].cast<std::pair<py::str, py::object>>();
      OutputSpec spec;
      spec.output = i;
      spec.name = intern(name);
      spec.descr = descr;
      spec.place = p.outputs[i];
      const Place& v = p.places[at(spec.place)];
      spec.buffer = v.buffer;
      const Buffer& b = p.buffers[at(spec.buffer)];
      spec.early = b.segment == Segment::kOutput && b.stage == 0;
      for (const int32_t d : v.dims) spec.early = spec.early && p.stage_of(d) == 0;
      if (b.segment == Segment::kOutput &&
          (descr.is_none() || descr.cast<py::dtype>().itemsize() != element_bytes(v.dtype)))
        throw std::invalid_argument("an output of another type than the program's");
      outputs_.push_back(std::move(spec));
    }
    for (const Step& step : p.steps)
      if (step.kind != StepKind::kKernel && step.kind != StepKind::kSymbols) long_ = true;
  }

  // A new reference; null without an error: not for this path.
  PyObject* run(PyObject* const* args, Py_ssize_t count, PyObject* names, PyState* state) override {
    PyObject* arrays[kMaxInputs];
    if (!find_inputs(args, count, names, arrays)) return nullptr;
    std::optional<StateCall> held;
    if (state != nullptr) held.emplace(state, program_->use);
    Call call(program_.get());
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const auto* array = py::detail::array_proxy(arrays[i]);
      Tensor& t = call->input(inputs_[i].input);
      t.dims.assign(array->dimensions, array->dimensions + array->nd);
      t.dtype = inputs_[i].is_text ? int32_t{ARN_NONE} : inputs_[i].dtype;
      t.data = inputs_[i].is_text ? nullptr : array->data;
      if (inputs_[i].is_text && !copy_text(arrays[i], &t)) return nullptr;
    }
    if (held) held->give_inputs(*program_->program, call.get());
    key_.clear();
    const Program& program = *program_->program;
    for (size_t i = 0; i < program.inputs.size(); ++i)
      program.append_key(i, call->input(i).dims.data(), call->input(i).dims.size(), &key_);
    if (!only_.empty() && std::find(only_.begin(), only_.end(), key_) == only_.end()) return nullptr;
    const Held alive(arrays, inputs_.size());  // another thread may change the dict meanwhile
    try {
      if (held) {
        const std::shared_ptr<const Binding> binding = held->bind(program, key_, call.get());
        held->give_outputs(program, *binding, call.get());
        return run(call.get(), binding, &*held);
      }
      if (!last_ || last_->key != key_) last_ = program_->program->bind(key_);
      const std::shared_ptr<const Binding> binding = last_;  // another thread may change last_ meanwhile
      return run(call.get(), binding, nullptr);
    } catch (py::error_already_set& e) {
      e.restore();
    } catch (const StepError&) {
    } catch (const MemoryLimit&) {
    } catch (const std::exception&) {
    }
    return nullptr;
  }

  // From now on only for inputs of these dims, one after the other, and those allowed before.
  void allow(std::vector<int64_t> dims) { only_.push_back(std::move(dims)); }
  const std::shared_ptr<PyProgram>& program() const { return program_; }

 private:
  struct Held {
    Held(PyObject* const* objects, size_t count) : objects_(objects), count_(count) {
      for (size_t i = 0; i < count_; ++i) Py_INCREF(objects_[i]);
    }
    ~Held() {
      for (size_t i = 0; i < count_; ++i) Py_DECREF(objects_[i]);
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    PyObject* const* objects_;
    size_t count_;
  };

  static py::object intern(const py::str& name) {
    PyObject* p = name.ptr();
    Py_INCREF(p);
    PyUnicode_InternInPlace(&p);
    return py::reinterpret_steal<py::object>(p);
  }

  bool fits(const InputSpec& spec, PyObject* object) const {
    if (Py_TYPE(object) != npy::get().PyArray_Type_) return false;
    const auto* array = py::detail::array_proxy(object);
    const auto* descr = reinterpret_cast<const Descr*>(array->descr);
    constexpr int kFlags = npy::NPY_ARRAY_C_CONTIGUOUS_ | npy::NPY_ARRAY_ALIGNED_;
    return (array->flags & kFlags) == kFlags && (spec.rank < 0 || array->nd == spec.rank) &&
           (descr->type_num == spec.type_number || descr->type_num == spec.other_number) && descr->byteorder != '>' &&
           (!spec.is_text || all_strings(array));
  }

  // What a run is given is its own, as outputs may be what it was given. False with an error: out of memory.
  static bool copy_text(PyObject* array, Tensor* t) {
    PyObject* copy = npy::get().PyArray_NewCopy_(array, 0);
    if (copy != nullptr) t->host = hold(py::reinterpret_steal<py::object>(copy));
    return copy != nullptr;
  }

  static bool all_strings(const py::detail::PyArray_Proxy* array) {
    int64_t count = 1;
    for (int k = 0; k < array->nd; ++k) count *= array->dimensions[k];
    auto* const* objects = reinterpret_cast<PyObject* const*>(array->data);
    return std::all_of(objects, objects + count, [](PyObject* o) { return o != nullptr && PyUnicode_CheckExact(o); });
  }

  bool find_inputs(PyObject* const* args, Py_ssize_t count, PyObject* names, PyObject** arrays) const {
    const size_t named = names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names));
    if (count == 1 && named == 0 && PyDict_CheckExact(args[0])) {
      if (static_cast<size_t>(PyDict_GET_SIZE(args[0])) != inputs_.size()) return false;
      for (size_t i = 0; i < inputs_.size(); ++i) {
        arrays[i] = PyDict_GetItemWithError(args[0], inputs_[i].name.ptr());
        if (arrays[i] == nullptr) PyErr_Clear();
        if (arrays[i] == nullptr || !fits(inputs_[i], arrays[i])) return false;
      }
      return true;
    }
    const auto positional = static_cast<size_t>(count);
    if (positional + named != inputs_.size()) return false;
    for (size_t i = 0; i < inputs_.size(); ++i) arrays[i] = i < positional ? args[i] : nullptr;
    for (size_t k = 0; k < named; ++k) {
      PyObject* name = PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(k));
      size_t i = positional;
      while (i < inputs_.size() && inputs_[i].name.ptr() != name) ++i;  // both are interned
      if (i == inputs_.size() || arrays[i] != nullptr) return false;
      arrays[i] = args[positional + k];
    }
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (!fits(inputs_[i], arrays[i])) return false;
    return true;
  }

  // A fresh array of these dims. data: its memory, kept by owner (a new reference, taken); null: memory of its own.
  static py::object make_array(const py::object& descr, const int64_t* dims, size_t rank, void* data, PyObject* owner) {
    const auto& api = npy::get();
    Py_INCREF(descr.ptr());
    constexpr int kFlags = npy::NPY_ARRAY_C_CONTIGUOUS_ | npy::NPY_ARRAY_ALIGNED_ | npy::NPY_ARRAY_WRITEABLE_;
    static_assert(sizeof(Py_intptr_t) == sizeof(int64_t), "dims are numpy's");
    PyObject* array = api.PyArray_NewFromDescr_(api.PyArray_Type_, descr.ptr(), static_cast<int>(rank),
                                                reinterpret_cast<const Py_intptr_t*>(dims), nullptr, data,
                                                data == nullptr ? 0 : kFlags, nullptr);
    if (array == nullptr) Py_XDECREF(owner);
    if (array == nullptr || (owner != nullptr && api.PyArray_SetBaseObject_(array, owner) < 0))
      throw py::error_already_set();
    return py::reinterpret_steal<py::object>(array);
  }

  // pooled: bytes of all the run's outputs that come from the pool.
  py::object allocate(const OutputSpec& spec, const Binding& binding, int64_t pooled) const {
    const Place& v = program_->program->places[at(spec.place)];
    int64_t dims[ARN_MAX_RANK];
    for (size_t k = 0; k < v.dims.size(); ++k) dims[k] = binding.values[at(v.dims[k])];
    const int64_t bytes = binding.buffer_bytes[at(spec.buffer)];
    if (bytes < kOwnMemory) return make_array(spec.descr, dims, v.dims.size(), nullptr, nullptr);
    Block block = program_->outputs->take(bytes, pooled);
    Memory* owner = PyObject_New(Memory, &g_memory_type);
    if (owner == nullptr) throw py::error_already_set();
    void* data = block.data();
    new (&owner->held) Memory::Held{std::move(block), program_->outputs};
    return make_array(spec.descr, dims, v.dims.size(), data, reinterpret_cast<PyObject*>(owner));
  }

  // What lies in a block that nobody else holds: its memory goes back to the pool with the array.
  py::object pooled_array(const OutputSpec& spec, const Tensor& t) const {
    Memory* owner = PyObject_New(Memory, &g_memory_type);
    if (owner == nullptr) throw py::error_already_set();
    new (&owner->held) Memory::Held{std::move(*t.owned), program_->outputs};
    return make_array(spec.descr, t.dims.data(), t.dims.size(), const_cast<void*>(t.data),
                      reinterpret_cast<PyObject*>(owner));
  }

  py::object late_array(const OutputSpec& spec, const Tensor& t) const {
    if (t.host) {  // of unknown rank: an array of the type that the native side uses in its place
      py::object result = to_python(t, false);
      if (spec.descr.is_none() || !py::isinstance<py::array>(result)) return result;
      const int same = PyObject_RichCompareBool(py::object(result.attr("dtype")).ptr(), spec.descr.ptr(), Py_EQ);
      if (same < 0) throw py::error_already_set();
      return same == 1 ? result : py::object(result.attr("view")(spec.descr));
    }
    if (t.dtype == ARN_NONE || spec.descr.is_none()) return to_python(t, false);
    if (t.owned && t.owned.use_count() == 1) return pooled_array(spec, t);
    auto* keep = new std::shared_ptr<Block>(t.owned);
    py::capsule owner(keep, [](void* p) { delete static_cast<std::shared_ptr<Block>*>(p); });
    return make_array(spec.descr, t.dims.data(), t.dims.size(), const_cast<void*>(t.data), owner.release().ptr());
  }

  PyObject* run(Run* call, const std::shared_ptr<const Binding>& binding, const StateCall* held) {
    auto results = py::reinterpret_steal<py::dict>(PyDict_New());
    int64_t pooled = 0;
    for (const OutputSpec& spec : outputs_) {
      const int64_t bytes = spec.early ? binding->buffer_bytes[at(spec.buffer)] : 0;
      if (bytes >= kOwnMemory) pooled += bytes;
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (!outputs_[i].early) continue;
      const py::object array = allocate(outputs_[i], *binding, pooled);
      call->give_output(outputs_[i].output, py::detail::array_proxy(array.ptr())->data);
      if (PyDict_SetItem(results.ptr(), outputs_[i].name.ptr(), array.ptr()) < 0) throw py::error_already_set();
    }
    const int64_t time = binding->fastest.load(std::memory_order_relaxed);
    const WatchInterrupts interrupts(long_ || time < 0 || time > kWorthOfWatching);
    RunOptions options = options_;
    options.signalled = interrupts.flag();
    try {
      std::optional<py::gil_scoped_release> unlocked;
      if (long_ || time < 0 || time > kWorthOfUnlocking) unlocked.emplace();
      call->begin(options, binding);
      call->finish();
      if (held != nullptr) held->commit(*program_->program, call);
    } catch (const StepError&) {
      if (interrupts.take() && PyErr_CheckSignals() != 0) throw py::error_already_set();
      throw;
    }
    return finish_results(call, std::move(results), held == nullptr);
  }

  // described: whether the run's binding is the last one that the program tells of.
  PyObject* finish_results(Run* call, py::dict results, bool described) {
    bool ordered = true;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (outputs_[i].early) continue;
      ordered = false;
      results[outputs_[i].name] = late_array(outputs_[i], call->take_output(outputs_[i].output));
    }
    if (described) program_->ran(*call);
    if (ordered) return results.release().ptr();
    py::dict in_order;
    for (const OutputSpec& spec : outputs_) in_order[spec.name] = results[spec.name];
    return in_order.release().ptr();
  }

  std::shared_ptr<PyProgram> program_;
  RunOptions options_;
  std::vector<InputSpec> inputs_;
  std::vector<OutputSpec> outputs_;
  bool long_ = false;  // steps that call back or hold bodies
  std::vector<std::vector<int64_t>> only_;
  std::vector<int64_t> key_;
  std::shared_ptr<const Binding> last_;
};

// calls: programs that may serve; the first one that fits the feeds does. last: what served the last run.
struct Runner {
  struct State {
    std::vector<std::shared_ptr<FastCall>> calls;
    std::shared_ptr<FastCall> last;
  };
  PyObject_HEAD State* state;
};

Runner::State& state_of(PyObject* self) {
  auto* runner = reinterpret_cast<Runner*>(self);
  if (runner->state == nullptr) runner->state = new Runner::State;
  return *runner->state;
}

// With state=...: the program that the state itself knows, where it belongs to this model. 1: to be tried another way.
PyObject* run_with_state(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names, bool* other) {
  static PyObject* const word = PyUnicode_InternFromString("state");
  *other = true;
  const Py_ssize_t named = PyTuple_GET_SIZE(names), last = named - 1;
  if (PyTuple_GET_ITEM(names, last) != word) return nullptr;
  PyObject* given = args[count + last];
  if (!py::isinstance<PyState>(given)) return nullptr;
  const py::object kept = py::reinterpret_borrow<py::object>(given);
  auto* state = kept.cast<PyState*>();
  const std::shared_ptr<FastRun> call = state->length == 0 ? state->first : state->later;
  if (state->owner != self || call == nullptr) return nullptr;
  const auto others = py::reinterpret_steal<py::object>(PyTuple_GetSlice(names, 0, last));
  try {
    PyObject* result = call->run(args, count, last == 0 ? nullptr : others.ptr(), state);
    *other = result == nullptr && PyErr_Occurred() == nullptr;
    return result;
  } catch (const StateTaken&) {
    const auto refused = py::reinterpret_steal<py::object>(PyObject_CallMethod(given, "_refuse", nullptr));
    *other = refused.ptr() != nullptr;
    return nullptr;
  }
}

PyObject* run_fitting(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  Runner::State* state = reinterpret_cast<Runner*>(self)->state;
  if (names != nullptr && PyTuple_GET_SIZE(names) > 0) {
    bool other = true;
    PyObject* result = run_with_state(self, args, count, names, &other);
    if (!other) return result;
  }
  for (size_t i = 0; state != nullptr && i < state->calls.size(); ++i) {
    const std::shared_ptr<FastCall> call = state->calls[i];  // another thread may change the list meanwhile
    PyObject* result = call->run(args, count, names, nullptr);
    if (result != nullptr) state->last = call;
    if (result != nullptr || PyErr_Occurred()) return result;
  }
  if (state != nullptr) state->last = nullptr;
  static PyObject* const slow = PyUnicode_InternFromString("_run");
  const size_t named = names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names));
  std::vector<PyObject*> all{self};
  all.insert(all.end(), args, args + static_cast<size_t>(count) + named);
  return PyObject_VectorcallMethod(slow, all.data(), static_cast<size_t>(count) + 1, names);
}

// The border to Python: nothing is thrown beyond it.
PyObject* runner_run(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  try {
    return run_fitting(self, args, count, names);
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return nullptr;
}

PyObject* runner_enable(PyObject* self, PyObject* args) {
  try {
    const auto [program, inputs, outputs, max_memory, dims] =
        py::reinterpret_borrow<py::tuple>(args)
            .cast<std::tuple<std::shared_ptr<PyProgram>, py::list, py::list, int64_t,
                             std::optional<std::vector<int64_t>>>>();
    auto& calls = state_of(self).calls;
    auto found = std::find_if(calls.begin(), calls.end(), [&p = program](const auto& c) { return c->program() == p; });
    if (found == calls.end())
      found = calls.insert(calls.end(), std::make_shared<FastCall>(program, inputs, outputs, max_memory));
    if (dims) (*found)->allow(*dims);
  } catch (py::error_already_set& e) {
    e.restore();
    return nullptr;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* runner_enable_state(PyObject* self, PyObject* args) {
  try {
    const auto [state, first, program, inputs, outputs, max_memory] =
        py::reinterpret_borrow<py::tuple>(args)
            .cast<std::tuple<PyState*, bool, std::shared_ptr<PyProgram>, py::list, py::list, int64_t>>();
    (first ? state->first : state->later) = std::make_shared<FastCall>(program, inputs, outputs, max_memory);
    state->owner = self;
  } catch (py::error_already_set& e) {
    e.restore();
    return nullptr;
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* runner_disable(PyObject* self, PyObject*) {
  state_of(self).calls.clear();
  Py_RETURN_NONE;
}

PyObject* runner_last(PyObject* self, PyObject*) {
  const std::shared_ptr<FastCall> last = state_of(self).last;
  if (last == nullptr) Py_RETURN_NONE;
  return py::cast(last->program()).release().ptr();
}

void runner_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<Runner*>(self)->state;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kMethods[] = {
    {"run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(runner_run)), METH_FASTCALL | METH_KEYWORDS,
     nullptr},
    {"_enable", runner_enable, METH_VARARGS,
     "_enable(program, [(input name, dtype)], [(output name, dtype)], max_memory, dims): from now on run() takes the "
     "fast path where it can; dims: of all inputs, one after the other, or None for any."},
    {"_enable_state", runner_enable_state, METH_VARARGS,
     "_enable_state(state, first, program, [(input name, dtype)], [(output name, dtype)], max_memory): run() with this "
     "state takes the fast path where it can. first: while the state has no length; else when it has one."},
    {"_disable", runner_disable, METH_NOARGS, "_disable(): run() takes no fast path any more."},
    {"_last", runner_last, METH_NOARGS, "_last(): the program of the last run, where that took fast path."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void register_runner(py::module_& m) {
  if (PyType_Ready(&g_memory_type) < 0) throw py::error_already_set();
  kMethods[0].ml_doc =
      "run($self, /, *args, out=None, timeout=None, outputs=None, state=None, **kwargs)\n--\n\n"
      "Runs the model once: run({\"x\": x}), run(x, y) in input order, or run(x=x).\n\n"
      "Outputs are fresh arrays by name, owned by the caller. out: arrays, or tensors with DLPack, to receive some of\n"
      "them instead, written in place where they are dense and lie in no input; what they hold after a run that\n"
      "failed is undefined.\n"
      "timeout: seconds after which the run stops with RunTimeoutError. outputs: names of those that are wanted; what\n"
      "only others need is not computed. state: what new_state() returned, which takes the place of inputs and "
      "outputs\n"
      "that carry it from run to run; a run that fails leaves it as it was.\n"
      "Raises InputError for feeds that do not fit, ExecutionError when a step fails.";
  PyType_Slot slots[] = {{Py_tp_methods, kMethods},
                         {Py_tp_dealloc, reinterpret_cast<void*>(runner_dealloc)},
                         {Py_tp_doc, const_cast<char*>("What can run; see arenaut.Model.")},
                         {0, nullptr}};
  PyType_Spec spec = {"arenaut._native.Runner", sizeof(Runner), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  m.attr("Runner") = type;
}

}  // namespace arenaut
