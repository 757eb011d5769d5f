// One running call of a program: the whole loop, or step by step.
#pragma once

#include <memory>
#include <vector>

#include "exec/pool.h"
#include "exec/program.h"

namespace arenaut {

class Run {
 public:
  // Binds stage 0 and allocates. Throws StepError, std::invalid_argument, MemoryLimit, std::bad_alloc.
  // `arena` is reused when it is large enough, and given back by take_arena().
  Run(const Program& program, std::vector<Tensor> inputs, const RunOptions& options, Block arena = Block());

  // Runs every step that is left.
  void finish();
  // Runs the next step; false when none is left.
  bool step();
  int32_t next_step() const { return next_; }
  // What the program returns; after the last step.
  std::vector<Tensor> take_outputs();
  Block take_arena() { return std::move(arena_); }
  const std::shared_ptr<const Binding>& binding() const { return binding_; }
  // A copy of value's elements, dense; after the step that wrote it and before its memory is reused.
  Tensor read(int32_t value) const;
  // Overwrites a value with dense elements of the same size.
  void write(int32_t value, const Tensor& tensor);
  const std::vector<Tensor>& slots() const { return slots_; }

  std::atomic<int32_t>& stop() { return stop_; }

 private:
  void enter_stage(std::shared_ptr<const Binding> binding);
  void run_step(int32_t index);
  void run_kernel(int32_t index, const Step& step, const BoundStep& bound);
  void run_host(int32_t index, const Step& step);
  void run_fetch(int32_t index, const Step& step);
  void run_symbols(int32_t index, const Step& step);
  void run_if(int32_t index, const Step& step);
  void run_loop(int32_t index, const Step& step);
  void run_scan(int32_t index, const Step& step);
  std::vector<Tensor> run_body(int32_t index, const Program& body, std::vector<Tensor> inputs);
  Tensor borrow(const Step& step, const BoundStep& bound, size_t operand) const;
  void keep(int32_t index, const Step& step, size_t first, std::vector<Tensor> results);
  char* address(const Place& p) const { return bases_[static_cast<size_t>(p.base)] + p.offset; }
  char* buffer_start(const Buffer& buffer) const;
  const BoundStep& bound(int32_t index) const;

  const Program& program_;
  RunOptions options_;
  std::shared_ptr<const Binding> binding_;
  int32_t next_ = 0;
  Block arena_;
  std::map<const Program*, Block> body_arenas_;
  std::vector<char*> bases_;
  std::vector<Tensor> inputs_;
  std::vector<std::shared_ptr<Block>> output_blocks_;
  std::vector<Tensor> slots_;
  std::vector<int64_t> symbols_;
  std::unique_ptr<PoolLease> own_lease_;
  PoolLease* lease_ = nullptr;
  std::atomic<int32_t> stop_{0};
};

// Thrown before anything is allocated when arena and outputs would pass RunOptions::max_memory.
struct MemoryLimit {
  int64_t needed = 0, limit = 0;
};

// Copies between a dense tensor and a strided place, element by element or by runs.
void copy_strided(const std::vector<int64_t>& dims, int64_t element, const char* from,
                  const std::vector<int64_t>& from_strides, char* to, const std::vector<int64_t>& to_strides);

}  // namespace arenaut
