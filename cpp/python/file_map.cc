// A file mapped for reading, which keeps no descriptor open.
#include <pybind11/pybind11.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <stdexcept>

#include "python/module.h"

namespace arenaut {
namespace {

class FileMap {
 public:
  explicit FileMap(int descriptor) {
    struct stat status = {};
    if (fstat(descriptor, &status) != 0) fail();
    bytes_ = status.st_size;
    if (bytes_ == 0) throw std::invalid_argument("an empty file cannot be mapped");
    data_ = mmap(nullptr, static_cast<size_t>(bytes_), PROT_READ, MAP_SHARED, descriptor, 0);
    if (data_ == MAP_FAILED) fail();
  }
  ~FileMap() { munmap(data_, static_cast<size_t>(bytes_)); }
  FileMap(const FileMap&) = delete;
  FileMap& operator=(const FileMap&) = delete;

  py::buffer_info buffer() const {
    return {data_, 1, py::format_descriptor<uint8_t>::format(), 1, {bytes_}, {py::ssize_t{1}}, true};
  }

 private:
  [[noreturn]] static void fail() {
    PyErr_SetFromErrno(PyExc_OSError);
    throw py::error_already_set();
  }

  void* data_ = nullptr;
  py::ssize_t bytes_ = 0;
};

}  // namespace

void register_file_map(py::module_& m) {
  py::class_<FileMap>(m, "FileMap", py::buffer_protocol(), "A file mapped for reading; it keeps no descriptor.")
      .def(py::init<int>(), py::arg("descriptor"))
      .def_buffer([](const FileMap& map) { return map.buffer(); });
}

}  // namespace arenaut
