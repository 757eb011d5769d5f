#include "python/module.h"

PYBIND11_MODULE(_native, m) {
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
