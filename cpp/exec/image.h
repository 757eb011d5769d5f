// A sealed program as bytes and back: plain numbers and names, no addresses. Weights lie apart, at offsets into one
// block that a reader maps.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exec/program.h"

namespace arenaut {

// What lies in the block of weights, each item once, in the order in which programs name them.
class WeightBlock {
 public:
  struct Item {
    const char* data;
    int64_t bytes, offset;
  };
  // The offset of these bytes in the block, a multiple of ARN_ALIGN.
  int64_t place(const void* data, int64_t bytes);
  const std::vector<Item>& items() const { return items_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::map<std::pair<const void*, int64_t>, int64_t> known_;
  std::vector<Item> items_;
  int64_t bytes_ = 0;
};

// The bytes of a program with its bodies; what it reads of weights is added to the block.
std::string write_image(const Program& program, WeightBlock* weights);

// The program of an image, sealed and audited: nothing that the bytes say is trusted. weights: the block, aligned to
// ARN_ALIGN, which must outlive the program. threads: instead of those it was planned for; 0: as planned. Throws
// std::invalid_argument.
std::shared_ptr<Program> read_image(std::string_view image, std::string_view weights, int32_t threads);

// A number that rows, parameters, and tile functions of this build give; images of other builds mean something else.
uint64_t build_fingerprint();

}  // namespace arenaut
