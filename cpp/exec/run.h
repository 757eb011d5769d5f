// One running call of a program: the whole loop, or step by step. A Run is used for one call after another and keeps
// what it can: a call of the same sizes as the one before allocates nothing but outputs.
#pragma once

#include <memory>
#include <vector>

#include "exec/follow.h"
#include "exec/pool.h"
#include "exec/program.h"

namespace arenaut {

class Run {
 public:
  explicit Run(const Program& program);

  // A call: fill every input, begin(), finish() or step() until false, read outputs, end(). After a throw: end().

  Tensor& input(size_t i) { return inputs_[i]; }
  // Memory for output i, dense, for outputs whose size the input dims decide: of the size that the binding says, or of
  // `bytes`, and then used only if the binding says the same. The run allocates the others.
  void give_output(size_t i, void* data, int64_t bytes = kAsBound) { given_[i] = {data, bytes}; }
  // binding: that of stage 0 for these inputs, when the caller has it.
  // Throws StepError, std::invalid_argument, MemoryLimit, std::bad_alloc.
  void begin(const RunOptions& options, std::shared_ptr<const Binding> binding = nullptr);
  // The binding of a key that grows from call to call; the next begin() gets it.
  const std::shared_ptr<const Binding>& follow(const std::vector<int64_t>& key, const Growth& growth);
  // Runs every step that is left.
  void finish();
  // Runs the next step; false when none is left.
  bool step();
  // Between steps: others may use the thread pool meanwhile.
  void pause() { own_lease_.give_back(); }
  // What the program returns; valid until end(), its memory as long as `owned` is held.
  const Tensor& output(size_t i) const { return results_[i]; }
  // The same, with its memory: the run holds it no more.
  Tensor take_output(size_t i);
  void end();
  // end(), but the inputs stay for the next iteration.
  void end_iteration();

  const std::shared_ptr<const Binding>& binding() const { return binding_; }
  // A copy of the elements at a place, dense; after the step that wrote it and before its memory is reused.
  Tensor read(int32_t place) const;
  // Overwrites a place with dense elements of the same size.
  void write(int32_t place, const Tensor& tensor);
  // Bytes of memory kept for the next call: the arena, bodies and held results.
  int64_t kept_bytes() const;
  // Of these, the arena's own.
  int64_t arena_bytes() const { return arena_.bytes(); }

 private:
  static constexpr int64_t kAsBound = -1;
  void enter_stage(std::shared_ptr<const Binding> binding);
  void provide_outputs();
  void locate_operands();
  void collect_results();
  void run_kernels();
  void run_kernel(int32_t index, const BoundStep& bound, int32_t parts);
  // What offsets of a step's scratch count from: 64-byte aligned.
  char* scratch_start(const BoundStep& bound) const {
    char* start = bases_[static_cast<size_t>(bound.scratch_base)];
    return start + (-reinterpret_cast<intptr_t>(start) & (ARN_ALIGN - 1));
  }
  void run_timed(int32_t index);
  void finish_timing();
  void run_other(int32_t index);
  void run_host(int32_t index, const Step& step);
  void run_fetch(int32_t index, const Step& step);
  void run_symbols(int32_t index, const Step& step);
  // What a body of step `index` was given is of the types that it takes.
  void check_body_inputs(int32_t index, const Program& body) const;
  void run_if(int32_t index, const Step& step);
  void run_loop(int32_t index, const Step& step);
  void run_scan(int32_t index, const Step& step);
  // A fragment of the graph whose ranks its inputs decide: runs the program that its host finds for them.
  void run_open(int32_t index, const Step& step);
  bool give_result(const Step& step, const BoundStep& bound, const Binding& inner, const Program& body, size_t output,
                   Run* run) const;
  Run& body_run(const Program& body);
  template <typename Find>
  void within(const RunOptions& options, const Find& find);
  // planned: where the binding lets the body lie; null: it finds memory of its own.
  RunOptions body_options(int32_t index, const Program& body, const BoundBody* planned) const;
  const BoundBody* planned_body(const BoundStep& bound, size_t body) const;
  // Iteration n of a Loop or Scan writes what it returns where the plan says. leading: outputs before the carried ones;
  // parity: of the iterations whose carried values go to the first of their two buffers.
  void give_outputs(int32_t index, const BoundBody& planned, const Program& body, size_t leading, int64_t n,
                    int64_t parity, Run* run) const;
  void take_outputs(int32_t index, const BoundBody* planned, size_t leading, int64_t expected, Run* run);
  // After the last iteration: carried values and stacked results become what the step returns.
  void keep_outputs(int32_t index, const BoundBody* planned, const Program& body, size_t leading, int64_t iterations,
                    Run* run);
  Tensor borrow(const Step& step, const BoundStep& bound, size_t operand) const;
  void borrow_into(Tensor* t, const Step& step, const BoundStep& bound, size_t operand) const;
  void keep(int32_t index, size_t output, const Tensor& result);
  void set_kept_symbols(int32_t index, const Step& step);
  // Copies a dense result to a place. Throws StepError where type or dims are not the place's.
  void deliver(int32_t index, const Place& place, void* to, const Tensor& result) const;
  // A tensor that outlives the memory that it may borrow.
  void own(Tensor* t);
  const void* operand_data(const Step& step, const BoundStep& bound, size_t operand) const;
  // The same of an operand that holds one element of this type, which is checked; null where it is absent.
  const void* scalar_data(int32_t index, const Step& step, size_t operand, int32_t dtype) const;
  struct Stack {
    Tensor result;  // owns the elements so far
    int64_t count = 0;
    std::vector<int64_t> element_dims;
  };
  void stack(Stack* s, const Tensor& t, int64_t expected, int32_t step);
  const Tensor& stacked(Stack* s, const Program& body, size_t output);
  void check_stop(int32_t index) const;
  // At least that many bytes, from what earlier calls used and nobody holds any more, or new.
  std::shared_ptr<Block> spare_block(int64_t bytes);
  char* address(const Location& p) const { return bases_[static_cast<size_t>(p.base)] + p.offset; }
  char* buffer_start(const Buffer& buffer) const;
  int32_t first_step() const { return program_.stage_begin(binding_->stage); }
  const BoundStep& bound(int32_t index) const;

  const Program& program_;
  RunOptions options_;
  std::shared_ptr<const Binding> binding_;
  Follower follower_;
  int32_t next_ = 0;
  int32_t stage_end_ = 0;
  Block arena_;
  char* base_ = nullptr;  // where the arena lies: arena_, or what the options give
  std::map<const Program*, std::unique_ptr<Run>> bodies_;
  std::vector<char*> bases_;
  std::vector<void*> operands_;             // addresses of binding_->locations
  std::shared_ptr<const Binding> located_;  // whose locations, and
  const char* located_arena_ = nullptr;     // on which arena
  std::vector<Tensor> inputs_;
  struct Given {
    void* data = nullptr;
    int64_t bytes = kAsBound;
  };
  std::vector<Given> given_;
  std::vector<std::shared_ptr<Block>> output_blocks_;
  std::vector<Tensor> results_;
  std::vector<Tensor> slots_;
  std::vector<std::shared_ptr<Block>> spares_;
  std::vector<Tensor> opened_;  // inputs of the fragment that runs
  std::vector<Tensor> states_;  // of a body: carried values between its iterations
  std::vector<Stack> stacks_;
  std::vector<int64_t> symbols_, key_;
  PoolLease own_lease_;
  PoolLease* lease_ = nullptr;
  bool active_ = false;  // between begin() and end()
  bool timing_ = false;  // this stage's steps are being timed
  arn_state state_{0};
};

// Thrown before anything is allocated when arena and outputs would pass RunOptions::max_memory.
struct MemoryLimit {
  int64_t needed = 0, limit = 0;
};

// Copies between a dense tensor and a strided place, element by element or by runs.
void copy_strided(const std::vector<int64_t>& dims, int64_t element, const char* from,
                  const std::vector<int64_t>& from_strides, char* to, const std::vector<int64_t>& to_strides);

// Bytes of a dense tensor.
int64_t tensor_bytes(const Tensor& t);

}  // namespace arenaut
