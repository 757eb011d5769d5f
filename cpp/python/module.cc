#include "python/module.h"

namespace {
constexpr size_t kObjects = 8192;  // programs, models, states and the like that are alive at once
}

PYBIND11_MODULE(_native, m) {
  // pybind11 enters each object in a table, outside of its handlers: growing that table must not be what ends a process
  // that has no memory left.
  pybind11::detail::with_instance_map(nullptr, [](auto& table) { table.reserve(kObjects); });
  m.doc() = "arenaut's native side: kernel rows, programs and the loop that runs them";
  arenaut::register_registry(m);
  arenaut::register_probe(m);
  arenaut::register_program(m);
  arenaut::register_state(m);
  arenaut::register_runner(m);
  arenaut::register_image(m);
  arenaut::register_wire(m);
  arenaut::register_file_map(m);
}
