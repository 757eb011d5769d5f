#include "python/direct.h"

#include <algorithm>
#include <cstring>
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

class Split : public DirectCall {
 public:
  explicit Split(const py::tuple& arguments) : delimiter_(arguments[0]), most_(arguments[1].cast<py::ssize_t>()) {}

  bool call(const std::vector<Tensor>& inputs, size_t outputs, std::vector<Tensor>* out) const override {
    if (inputs.size() != 1 || !inputs[0].host) return false;
    const auto& object = *static_cast<const py::object*>(inputs[0].host.get());
    if (!py::isinstance<py::array>(object)) return false;
    const auto array = py::reinterpret_borrow<py::array>(object);
    if (array.dtype().kind() != 'O' || !(array.flags() & py::array::c_style)) return false;
    const auto n = static_cast<int64_t>(array.size());
    auto* const* texts = static_cast<PyObject* const*>(array.data());
    py::list pieces(static_cast<size_t>(n));
    PyObject* delimiter = delimiter_.is_none() ? nullptr : delimiter_.ptr();
    int64_t width = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (texts[i] == nullptr || !PyUnicode_CheckExact(texts[i])) return false;
      PyObject* found = checked(PyUnicode_Split(texts[i], delimiter, most_));
      width = std::max<int64_t>(width, PyList_GET_SIZE(found));
      PyList_SET_ITEM(pieces.ptr(), i, found);
    }
    std::vector<int64_t> dims(array.shape(), array.shape() + array.ndim());
    if (outputs > 1) out->resize(2);
    if (outputs > 1) (*out)[1] = counts(dims, pieces);
    dims.push_back(width);
    out->resize(std::max<size_t>(1, out->size()));
    (*out)[0] = held(filled(dims, pieces));
    return true;
  }

 private:
  static Tensor counts(const std::vector<int64_t>& dims, const py::list& pieces) {
    Tensor t;
    t.dtype = ARN_I64;
    t.dims = dims;
    t.owned = std::make_shared<Block>(std::max<int64_t>(1, count(t) * static_cast<int64_t>(sizeof(int64_t))));
    t.data = t.owned->data();
    auto* to = static_cast<int64_t*>(static_cast<void*>(t.owned->data()));
    for (size_t i = 0; i < pieces.size(); ++i)
      to[i] = PyList_GET_SIZE(PyList_GET_ITEM(pieces.ptr(), static_cast<py::ssize_t>(i)));
    return t;
  }

  static py::array filled(const std::vector<int64_t>& dims, const py::list& pieces) {
    static PyObject* const none = checked(PyUnicode_InternFromString(""));
    py::array made = objects(dims);
    PyObject** to = data_of(&made);
    for (size_t i = 0; i < pieces.size(); ++i) {
      PyObject* row = PyList_GET_ITEM(pieces.ptr(), static_cast<py::ssize_t>(i));
      const py::ssize_t there = PyList_GET_SIZE(row);
      for (int64_t k = 0; k < dims.back(); ++k) put(to++, k < there ? PyList_GET_ITEM(row, k) : none);
    }
    return made;
  }

  py::object delimiter_;
  py::ssize_t most_;
};

}  // namespace

std::unique_ptr<const DirectCall> direct_call(const std::string& name, const py::tuple& arguments) {
  if (name == "pick") return std::make_unique<Pick>(arguments);
  if (name == "zip") return std::make_unique<Zip>(arguments);
  if (name == "split") return std::make_unique<Split>(arguments);
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
