// Host steps that C++ answers: no frame of Python between the run and the objects that the step makes.
#pragma once

#include <pybind11/numpy.h>

#include <memory>
#include <string>
#include <vector>

#include "exec/program.h"
#include "python/module.h"

namespace arenaut {

class DirectCall {
 public:
  virtual ~DirectCall() = default;
  // The step's outputs for its inputs; false where these are for the evaluator to answer, or to refuse. Under the
  // interpreter lock. Throws py::error_already_set.
  virtual bool call(const std::vector<Tensor>& inputs, size_t outputs, std::vector<Tensor>* out) const = 0;
};

// By its name in the records of ops:
//   pick (labels)            inputs (labels, int64 places): the label at each place
//   zip (labels)             inputs (float32 [rows, labels] or [labels]): one dict a row
//   split (delimiter, most)  inputs (text): pieces as str.split has them, filled up with "", and how many each text has
//   tokens (call, fill, first, last)  inputs (text): the list that call gives for each, filled up; between first and
//   last
//                            where these are not None and any text has a token
//   words (numbers, absent, whole)  inputs (text): the number of each word, int64 where whole or else float32
//   shaped (dims)            inputs (text, ...): the text in these dims, of which one at most is -1; None: in its own
// Throws std::invalid_argument for any other.
std::unique_ptr<const DirectCall> direct_call(const std::string& name, const py::tuple& arguments);

}  // namespace arenaut
