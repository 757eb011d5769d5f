// One register function per file of cpp/python.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace arenaut {

namespace py = pybind11;

void register_registry(py::module_& m);
void register_probe(py::module_& m);
void register_program(py::module_& m);
void register_state(py::module_& m);
void register_runner(py::module_& m);
void register_image(py::module_& m);
void register_wire(py::module_& m);
void register_file_map(py::module_& m);

}  // namespace arenaut
