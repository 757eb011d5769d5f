#include "python/direct.h"

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "python/program.h"

namespace arenaut {
namespace {

// An array of objects, all of them null, which numpy reads as None.
py::array objects(const std::vector<int64_t>& dims) {
  static PyObject* const dtype = py::dtype("O").release().ptr();
  return {py::reinterpret_borrow<py::dtype>(dtype), std::vector<py::ssize_t>(dims.begin(), dims.end())};
}

PyObject** data_of(py::array* array) { return static_cast<PyObject**>(array->mutable_data()); }

void put(PyObject** at, PyObject* object) {
  Py_INCREF(object);
  *at = object;
}

// Never null.
PyObject* checked(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return object;
}

Tensor held(py::object object) {
  Tensor t;
  t.host = hold(std::move(object));
  return t;
}

int64_t count(const Tensor& t) {
  int64_t n = 1;
  for (const int64_t d : t.dims) n *= d;
  return n;
}

class Pick : public DirectCall {
 public:
  explicit Pick(const py::tuple& arguments) : labels_(arguments[0]) {}

  bool call(const std::vector<Tensor>& inputs, size_t, std::vector<Tensor>* out) const override {
    if (inputs.size() != 2 || inputs[1].dtype != ARN_I64 || inputs[1].host) return false;
    const auto* places = static_cast<const int64_t*>(inputs[1].data);
    const int64_t n = count(inputs[1]), labels = static_cast<int64_t>(labels_.size());
    py::array made = objects(inputs[1].dims);
    PyObject** to = data_of(&made);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t place = places[i] < 0 ? places[i] + labels : places[i];
      if (place < 0 || place >= labels) return false;
      put(to + i, PyTuple_GET_ITEM(labels_.ptr(), place));
    }
    out->push_back(held(std::move(made)));
    return true;
  }

 private:
  py::tuple labels_;
};

class Zip : public DirectCall {
 public:
  explicit Zip(const py::tuple& arguments) : labels_(arguments[0]) {}

  bool call(const std::vector<Tensor>& inputs, size_t, std::vector<Tensor>* out) const override {
    if (inputs.size() != 1 || inputs[0].dtype != ARN_F32 || inputs[0].host) return false;
    const std::vector<int64_t>& dims = inputs[0].dims;
    const auto labels = static_cast<int64_t>(labels_.size());
    if (dims.empty() || dims.size() > 2 || dims.back() != labels) return false;
    const auto* x = static_cast<const float*>(inputs[0].data);
    const int64_t rows = dims.size() == 2 ? dims[0] : 1;
    py::list maps(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) {
      const auto map = py::reinterpret_steal<py::object>(checked(PyDict_New()));
      for (int64_t i = 0; i < labels; ++i, ++x) {
        const auto value = py::reinterpret_steal<py::object>(checked(PyFloat_FromDouble(static_cast<double>(*x))));
        if (PyDict_SetItem(map.ptr(), PyTuple_GET_ITEM(labels_.ptr(), i), value.ptr()) != 0)
          throw py::error_already_set();
      }
      PyList_SET_ITEM(maps.ptr(), r, py::object(map).release().ptr());
    }
    out->push_back(held(std::move(maps)));
    return true;
  }

 private:
  py::tuple labels_;
};

// The text of an input: C-ordered objects, all of them plain strings. None where it is anything else.
struct Texts {
  py::array array;
  std::vector<int64_t> dims;
  PyObject* const* at = nullptr;
  int64_t n = 0;

  static std::optional<Texts> of(const Tensor& input) {
    if (!input.host) return std::nullopt;
    const auto& object = *static_cast<const py::object*>(input.host.get());
    if (!py::isinstance<py::array>(object)) return std::nullopt;
    Texts t{py::reinterpret_borrow<py::array>(object), {}};
    if (t.array.dtype().kind() != 'O' || !(t.array.flags() & py::array::c_style)) return std::nullopt;
    t.dims.assign(t.array.shape(), t.array.shape() + t.array.ndim());
    t.at = static_cast<PyObject* const*>(t.array.data());
    t.n = static_cast<int64_t>(t.array.size());
    for (int64_t i = 0; i < t.n; ++i)
      if (t.at[i] == nullptr || !PyUnicode_CheckExact(t.at[i])) return std::nullopt;
    return t;
  }
};

// A tensor of its own memory.
template <class T>
Tensor owned(int32_t dtype, const std::vector<int64_t>& dims, T** at) {
  Tensor t;
  t.dtype = dtype;
  t.dims = dims;
  t.owned = std::make_shared<Block>(std::max<int64_t>(1, count(t) * static_cast<int64_t>(sizeof(T))));
  t.data = t.owned->data();
  *at = static_cast<T*>(static_cast<void*>(t.owned->data()));
  return t;
}

// Lists of pieces, one for each text.
class Pieces {
 public:
  explicit Pieces(int64_t texts) : lists_(static_cast<size_t>(texts)) {}

  void put(int64_t i, PyObject* list) {
    PyList_SET_ITEM(lists_.ptr(), i, list);
    width_ = std::max<int64_t>(width_, PyList_GET_SIZE(list));
  }
  int64_t length(int64_t i) const { return PyList_GET_SIZE(PyList_GET_ITEM(lists_.ptr(), i)); }

  // Along a new last axis after dims, filled up; between first and last where these are given and any piece is.
  py::array filled(std::vector<int64_t> dims, PyObject* fill, PyObject* first, PyObject* last) const {
    if (width_ == 0) first = last = nullptr;
    const int64_t width = width_ + (first ? 2 : 0), n = static_cast<int64_t>(lists_.size());
    dims.push_back(width);
    py::array made = objects(dims);
    PyObject** to = data_of(&made);
    for (int64_t i = 0; i < n; ++i) {
      PyObject* row = PyList_GET_ITEM(lists_.ptr(), i);
      const int64_t there = PyList_GET_SIZE(row);
      PyObject** const end = to + width;
      if (first) ::arenaut::put(to++, first);
      for (int64_t k = 0; k < there; ++k) ::arenaut::put(to++, PyList_GET_ITEM(row, k));
      if (last) ::arenaut::put(to++, last);
      while (to < end) ::arenaut::put(to++, fill);
    }
    return made;
  }

 private:
  py::list lists_;
  int64_t width_ = 0;
};

class Split : public DirectCall {
 public:
  explicit Split(const py::tuple& arguments) : delimiter_(arguments[0]), most_(arguments[1].cast<py::ssize_t>()) {}

  bool call(const std::vector<Tensor>& inputs, size_t outputs, std::vector<Tensor>* out) const override {
    const auto texts = inputs.size() == 1 ? Texts::of(inputs[0]) : std::nullopt;
    if (!texts) return false;
    Pieces pieces(texts->n);
    PyObject* delimiter = delimiter_.is_none() ? nullptr : delimiter_.ptr();
    for (int64_t i = 0; i < texts->n; ++i) pieces.put(i, checked(PyUnicode_Split(texts->at[i], delimiter, most_)));
    static PyObject* const none = checked(PyUnicode_InternFromString(""));
    out->push_back(held(pieces.filled(texts->dims, none, nullptr, nullptr)));
    if (outputs > 1) {
      int64_t* to = nullptr;
      out->push_back(owned(ARN_I64, texts->dims, &to));
      for (int64_t i = 0; i < texts->n; ++i) to[i] = pieces.length(i);
    }
    return true;
  }

 private:
  py::object delimiter_;
  py::ssize_t most_;
};

class Tokens : public DirectCall {
 public:
  explicit Tokens(const py::tuple& arguments) : tokens_(arguments[0]), fill_(arguments[1]) {
    if (arguments[2].is_none()) return;
    first_ = arguments[2];
    last_ = arguments[3];
  }

  bool call(const std::vector<Tensor>& inputs, size_t, std::vector<Tensor>* out) const override {
    const auto texts = inputs.size() == 1 ? Texts::of(inputs[0]) : std::nullopt;
    if (!texts || texts->n == 0) return false;
    Pieces pieces(texts->n);
    for (int64_t i = 0; i < texts->n; ++i) {
      const auto found = py::reinterpret_steal<py::object>(checked(PyObject_CallOneArg(tokens_.ptr(), texts->at[i])));
      if (!PyList_CheckExact(found.ptr())) return false;
      pieces.put(i, py::object(found).release().ptr());
    }
    out->push_back(held(pieces.filled(texts->dims, fill_.ptr(), first_.ptr(), last_.ptr())));
    return true;
  }

 private:
  py::object tokens_, fill_, first_, last_;
};

class Words : public DirectCall {
 public:
  explicit Words(const py::tuple& arguments)
      : numbers_(arguments[0]), absent_(arguments[1]), dtype_(arguments[2].cast<bool>() ? ARN_I64 : ARN_F32) {}

  bool call(const std::vector<Tensor>& inputs, size_t, std::vector<Tensor>* out) const override {
    const auto texts = inputs.size() == 1 ? Texts::of(inputs[0]) : std::nullopt;
    if (!texts) return false;
    if (dtype_ == ARN_I64) {
      int64_t* to = nullptr;
      out->push_back(owned(dtype_, texts->dims, &to));
      for (int64_t i = 0; i < texts->n; ++i) to[i] = PyLong_AsLongLong(number(texts->at[i]));
    } else {
      float* to = nullptr;
      out->push_back(owned(dtype_, texts->dims, &to));
      for (int64_t i = 0; i < texts->n; ++i) to[i] = static_cast<float>(PyFloat_AsDouble(number(texts->at[i])));
    }
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    return true;
  }

 private:
  PyObject* number(PyObject* word) const {
    PyObject* found = PyDict_GetItemWithError(numbers_.ptr(), word);
    return found != nullptr ? found : absent_.ptr();
  }

  py::dict numbers_;
  py::object absent_;
  int32_t dtype_;
};

class Shaped : public DirectCall {
 public:
  explicit Shaped(const py::tuple& arguments) : own_(arguments[0].is_none()) {
    if (!own_) dims_ = arguments[0].cast<std::vector<int64_t>>();
  }

  bool call(const std::vector<Tensor>& inputs, size_t, std::vector<Tensor>* out) const override {
    const auto texts = inputs.empty() ? std::nullopt : Texts::of(inputs[0]);
    if (!texts) return false;
    std::vector<int64_t> dims = own_ ? texts->dims : dims_;
    int64_t known = 1;
    for (const int64_t d : dims)
      if (d >= 0 && __builtin_mul_overflow(known, d, &known)) return false;
    const auto open = std::find(dims.begin(), dims.end(), -1);
    if (open != dims.end() && known != 0) *open = texts->n / known, known *= *open;
    if (known != texts->n || (open != dims.end() && *open < 0)) return false;
    // A copy of the references: what a step makes is never what its input may be written through.
    py::array made = objects(dims);
    PyObject** to = data_of(&made);
    for (int64_t i = 0; i < texts->n; ++i) put(to + i, texts->at[i]);
    out->push_back(held(std::move(made)));
    return true;
  }

 private:
  bool own_;
  std::vector<int64_t> dims_;
};

}  // namespace

std::unique_ptr<const DirectCall> direct_call(const std::string& name, const py::tuple& arguments) {
  if (name == "pick") return std::make_unique<Pick>(arguments);
  if (name == "zip") return std::make_unique<Zip>(arguments);
  if (name == "split") return std::make_unique<Split>(arguments);
  if (name == "tokens") return std::make_unique<Tokens>(arguments);
  if (name == "words") return std::make_unique<Words>(arguments);
  if (name == "shaped") return std::make_unique<Shaped>(arguments);
  throw std::invalid_argument("no host step is answered so: " + name);
}

void PyProgram::answer(int32_t step, const std::string& name, const py::tuple& arguments) {
  direct.try_emplace(step, direct_call(name, arguments));  // what is there may be running
}

bool PyProgram::answered(int32_t step, const std::vector<Tensor>& inputs, std::vector<Tensor>* out) const {
  const auto found = direct.find(step);
  if (found == direct.end()) return false;
  const Step& s = program->steps[static_cast<size_t>(step)];
  if (found->second->call(inputs, s.operands.size() - static_cast<size_t>(s.n_in), out)) return true;
  out->clear();
  return false;
}

}  // namespace arenaut
