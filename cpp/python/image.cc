// Programs as images: what a compiled file holds of them.
#include "exec/image.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "exec/registry.h"
#include "python/program.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

void write_all(int fd, const char* data, int64_t bytes) {
  while (bytes > 0) {
    const ssize_t n = write(fd, data, at(std::min<int64_t>(bytes, int64_t{1} << 30)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw std::system_error(errno, std::generic_category());
    data += n;
    bytes -= n;
  }
}

// Images written one after the other, which share one block of weights.
class ImageWriter {
 public:
  py::bytes add(std::shared_ptr<PyProgram> program) {
    programs_.push_back(std::move(program));
    return py::bytes(write_image(*programs_.back()->program, &weights_));
  }
  int64_t weight_bytes() const { return weights_.bytes(); }
  // Writes the block at the file's position. Raises OSError.
  void write_weights(int fd) const {
    int error = 0;
    {
      const py::gil_scoped_release nogil;
      try {
        int64_t at_byte = 0;
        for (const WeightBlock::Item& item : weights_.items()) {
          static constexpr char kZeros[ARN_ALIGN] = {};
          write_all(fd, kZeros, item.offset - at_byte);
          write_all(fd, item.data, item.bytes);
          at_byte = item.offset + item.bytes;
        }
        static constexpr char kZeros[ARN_ALIGN] = {};
        write_all(fd, kZeros, weights_.bytes() - at_byte);
      } catch (const std::system_error& e) {
        error = e.code().value();
      }
    }
    if (error == 0) return;
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    throw py::error_already_set();
  }

 private:
  std::vector<std::shared_ptr<PyProgram>> programs_;  // keep what items show
  WeightBlock weights_;
};

std::string_view bytes_of(const py::buffer_info& info) {
  return {static_cast<const char*>(info.ptr), at(info.size * info.itemsize)};
}

std::shared_ptr<PyProgram> read_program(const py::buffer& image, const py::buffer& weights, int32_t threads) {
  const py::buffer_info bytes = image.request(), block = weights.request();
  std::shared_ptr<Program> program = read_image(bytes_of(bytes), bytes_of(block), threads);
  return PyProgram::opened(std::move(program), weights);
}

}  // namespace

void register_image(py::module_& m) {
  py::class_<ImageWriter>(m, "ImageWriter", "Programs as bytes, and the block of weights that they share.")
      .def(py::init<>())
      .def("add", &ImageWriter::add)
      .def("weight_bytes", &ImageWriter::weight_bytes)
      .def("write_weights", &ImageWriter::write_weights);
  m.def("read_program", &read_program, py::arg("image"), py::arg("weights"), py::arg("threads") = 0,
        "The program of an image, its weights in a buffer that it keeps. Raises ValueError for a damaged one.");
  m.def("build_fingerprint", &build_fingerprint, "A number that the rows, parameters and tile functions built give.");
}

}  // namespace arenaut
