// The packed weights of a model: asked for while its programs are built, made all at once, shared by whoever wants the
// same form of the same array.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "exec/program.h"
#include "python/module.h"

namespace arenaut {

class PyWeights {
 public:
  // maps: (address, bytes) of files mapped read-only, whose pages may be dropped at any time: they come back when read.
  explicit PyWeights(std::vector<std::pair<int64_t, int64_t>> maps) : maps_(std::move(maps)) {}

  // The form that a row wants of a constant operand; null when it packs none. weight: the number of the operand's
  // array, wherever that lies; offset: bytes from its start to the operand. No array that was asked for may be freed
  // before pack() has done its job.
  std::shared_ptr<PackedWeight> request(const arn_row& row, const arn_bind_args& args, int32_t operand,
                                        const std::string& params, int64_t weight, int64_t offset);
  // Gives every form its place, in the order of the requests. Then per job, those of the largest arrays first: (number
  // of the array, packed bytes, family).
  py::list jobs();
  // Does jobs [first, last), on up to `threads` threads.
  void pack(int32_t first, int32_t last, int32_t threads);
  // Forgets where jobs came from. Afterwards arrays may go; with `keep` they must stay, and what was packed of them
  // serves later requests.
  void finish(bool keep);
  int64_t packed_bytes() const { return packed_bytes_; }
  // Drops the pages of the mapped files from this process.
  void drop_maps() const;

 private:
  struct Job {
    const arn_row* row = nullptr;
    std::vector<arn_desc> descs;
    std::vector<const void*> constants;
    std::string params;
    std::unique_ptr<arn_tile> tile;
    arn_target target{};
    int64_t source = -1;  // the number of the array
    int32_t n_in = 0, n_out = 0, operand = 0;
    std::shared_ptr<PackedWeight> weight;
  };
  struct Batch;

  static int64_t source_bytes(const Job& job);
  void do_job(const Job& job, std::unique_ptr<Slab>* room) const;
  bool mapped(const char* from, int64_t bytes) const;

  std::vector<std::pair<int64_t, int64_t>> maps_;
  std::vector<Job> jobs_;
  std::map<std::string, std::shared_ptr<PackedWeight>> known_;
  int64_t packed_bytes_ = 0;
};

}  // namespace arenaut
