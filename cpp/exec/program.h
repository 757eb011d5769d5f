// A lowered, planned program: what Python built, what a binding of its symbols makes of it, and what a run needs.
//
//   Program   immutable after build: expressions, buffers, places, steps, packed weights
//   Binding   one segment of a program with its symbols known: bound kernels, addresses, arena size. Cached, shared.
//   Context   one running call: arena, outputs, held results. Pooled by the program, never shared.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "contract.h"
#include "exec/expr.h"
#include "exec/memory.h"
#include "exec/resolve.h"

namespace arenaut {

ARN_ENUM_CLASS(Segment, kArena, kWeight, kInput, kOutput, kHost);

struct Buffer {
  Segment segment = Segment::kArena;
  int32_t bytes = -1;          // expression; unused for host
  int32_t index = 0;           // which input, output or host slot
  int32_t stage = 0;           // the program segment in which its size becomes known
  int32_t region = -1;         // arena, and outputs: the region that holds it
  int32_t region_offset = -1;  // expression: bytes from the region's start
  const void* data = nullptr;  // weights
  int64_t held = 0;            // weights: bytes at data
};

// Memory that one or more buffers share, alive during steps first..last. output: the buffer in whose memory it lies
// (from its start), or -1 for the arena. reuses: an output that is first written after `last`, in whose memory the
// region lies until then if it fits there; -1: none.
struct Region {
  int32_t bytes = -1;  // expression
  int32_t first = 0, last = 0;
  int32_t output = -1;
  int32_t reuses = -1;
  int32_t stage = 0;
};

// A view of a buffer: what a step reads or writes.
struct Place {
  int32_t buffer = -1;
  int32_t dtype = 0;
  int32_t offset = -1;                 // expression, in elements
  std::vector<int32_t> dims, strides;  // expressions
};

ARN_ENUM_CLASS(StepKind, kKernel, kHost, kFetch, kSymbols, kIf, kLoop, kScan, kOpen);

struct Patch {         // a parameter that is an expression
  int32_t offset = 0;  // bytes into the parameter struct
  int32_t expr = 0;
  bool is_float = false;
};

class Program;
class PoolLease;

// A weight in the form its row wants; filled once, before the program runs. Steps that want the same form share it.
struct PackedWeight {
  int64_t bytes = 0;
  char* data = nullptr;
  std::shared_ptr<Slab> slab;  // what data lies in
};

struct Step {
  StepKind kind = StepKind::kKernel;
  int32_t row = -1;
  int32_t n_in = 0;
  std::vector<int32_t> operands;  // places, -1 where absent: inputs, then outputs
  std::string params;
  std::vector<Patch> patches;
  std::unique_ptr<arn_tile> tile;
  uint32_t packed = 0;
  std::vector<std::shared_ptr<PackedWeight>> packed_weights;  // per operand, null where not packed
  std::vector<std::array<int32_t, 3>> sets;  // kSymbols: (operand, element, symbol); others: (output, axis, symbol)
  std::vector<std::shared_ptr<Program>> bodies;
  std::array<int32_t, 2> counts{0, 0};  // Loop, Scan: carried values, scanned inputs
  int32_t reuses = -1;                  // the output buffer in which a kernel's scratch may lie before that is written
};

// Where an operand lies at run time: bases[base] + offset. Base 0 is the arena, base 1 address zero, then inputs and
// outputs in order.
struct Location {
  int32_t base = -1;
  int64_t offset = 0;
};

struct BoundStep {
  arn_bound head{};
  char* blob = nullptr;  // in Binding::blobs
  StepKind kind = StepKind::kKernel;
  int32_t first_location = 0;
  int32_t control = -1;                          // in Binding::controls; -1: bodies find memory of their own
  int32_t scratch_base = 0;                      // what scratch lies in, as in Location; its start is rounded up to 64
  int64_t step_scratch = 0, thread_scratch = 0;  // offsets there
};

struct Binding;

// What a body program uses of the scratch of its step: its arena from the start on, then memory for what it returns.
struct BoundBody {
  std::shared_ptr<const Binding> binding;  // of every iteration; null: sizes that change or that only running decides
  // Per output of the body: an offset in the scratch; -1: it is written where the step's result lies; -2: it is held.
  std::vector<int64_t> outputs;
  std::vector<int64_t> seconds;  // per carried value of a Loop or Scan: its second buffer, in the scratch
  int64_t bytes = 0;
};
constexpr int64_t kInResult = -1, kHeld = -2;

// What is known of a step's time, for how many threads it is worth. Written by the first runs of a binding, read by
// all; which thread computes what never changes a byte.
struct StepCost {
  std::atomic<int32_t> parts{1};
  std::atomic<int64_t> nanoseconds{0};  // on one thread
};

// What a binding is made with, kept to make it once more for other sizes without allocating.
struct BindSpace {
  std::vector<arn_desc> descs;
  std::vector<const void*> constants;
  std::string params;
  std::vector<uint8_t> changed;  // per expression: has another value than in the binding before
};

struct Binding {
  int32_t stage = 0;
  int32_t threads = 1;
  std::vector<int64_t> key;              // input dims, as Program::append_key lists them
  std::vector<int64_t> symbols, values;  // of all stages up to this one
  std::vector<int64_t> buffer_bytes;
  std::vector<Rect> rects;       // regions, then the scratch of each step
  std::vector<bool> in_output;   // per rect: its offset counts from the start of the output that it reuses
  std::vector<BoundStep> steps;  // of this stage only
  std::vector<std::vector<BoundBody>> controls;  // per step with bodies that has a plan for them: of each body
  std::vector<Location> locations;
  std::vector<int32_t> moving;  // locations whose base is an input or output: the others stay while the arena does
  Block blobs;
  BindSpace space;
  int64_t arena_bytes = 0;   // up to and including this stage
  int64_t output_bytes = 0;  // likewise

  mutable std::unique_ptr<StepCost[]> cost;   // per step of this stage; null where one thread is all there is
  mutable std::atomic<int64_t> shareable{0};  // nanoseconds on one thread of all steps that several threads run
  mutable std::atomic<int32_t> timed{0};      // runs that have measured cost
  mutable std::atomic<int64_t> fastest{-1};   // nanoseconds of the fastest whole run that measured; -1 before
  mutable std::mutex mutex;
  mutable std::map<std::vector<int64_t>, std::shared_ptr<Binding>> next;  // by the symbols that stage sets

  // Bytes that the binding takes, with those of bodies and of later stages.
  int64_t footprint() const;
  // As new, but what its vectors hold stays reserved.
  void reset();
};

// A tensor that a run was given, holds or returns.
struct Tensor {
  int32_t dtype = 0;
  std::vector<int64_t> dims;
  const void* data = nullptr;    // dense
  std::shared_ptr<Block> owned;  // null: borrowed
  std::shared_ptr<void> host;    // a Python object; excludes data

  // Becomes a borrowed scalar.
  void set_scalar(int32_t type, const void* value) {
    dtype = type;
    dims.clear();
    data = value;
    owned.reset();
    host.reset();
  }
};

class Host;

// A program that serves a step of kind kOpen, and its host; both live as long as the step's own host.
struct Opened {
  const Program* program = nullptr;
  Host* host = nullptr;
};

// Python's side of a program, behind an interface so that exec/ knows no Python.
class Host {
 public:
  virtual ~Host() = default;
  // Evaluates the node of step `step` on its inputs. Throws on failure.
  virtual std::vector<Tensor> call(int32_t step, const std::vector<Tensor>& inputs) = 0;
  // The host of a body program of step `step`.
  virtual Host* body(int32_t step, const Program* program) = 0;
  // The program that runs step `step` on inputs of these ranks and sizes, made when they are met first. Throws on
  // failure.
  virtual Opened open(int32_t step, const std::vector<Tensor>& inputs) = 0;
};

// What sizes and elements of shape tensors must fulfil, beyond what memory safety asks: `condition` is not 0.
struct Check {
  int32_t condition = -1;
  std::vector<int32_t> values;  // expressions, what to show
  std::string text;             // which node asks for what
  int32_t stage = 0;
};

// The status of a check that failed; its detail says all.
constexpr int32_t kRefused = 100;

// A failure of bind or run: which step of which program (null: of the one that was run), what status, and what the
// operands were.
struct StepFailure {
  int32_t step = -1;
  int32_t status = 0;
  bool binding = false;
  std::string detail;
  const Program* program = nullptr;
};

struct StepTime {
  int64_t nanoseconds = 0;
  int32_t runs = 0;
};

struct RunOptions {
  int32_t threads = 1;
  int64_t max_memory = -1;  // bytes of arena plus outputs; negative: no limit
  Host* host = nullptr;
  BlockSource* outputs = nullptr;  // memory of outputs whose size data decides; null: new blocks
  PoolLease* lease = nullptr;      // the pool share of the run that this one is part of; null: its own
  int64_t deadline = 0;            // nanoseconds of the steady clock after which tasks stop; 0: none
  char* arena = nullptr;           // memory for a binding's arena; null: the run's own
  std::vector<StepTime>* profile = nullptr;
  // Set from outside while the run lasts, by whoever called it and by a signal: steps then end with ARN_CANCELLED.
  const std::atomic<int32_t>* stop = nullptr;
  const std::atomic<int32_t>* signalled = nullptr;
  const std::vector<uint8_t>* needed = nullptr;  // per step of the program: 0 where it is left out; null: all run

  bool watched() const { return stop != nullptr || signalled != nullptr; }
  bool stopped() const {
    return (stop != nullptr && stop->load(std::memory_order_relaxed) != 0) ||
           (signalled != nullptr && signalled->load(std::memory_order_relaxed) != 0);
  }
};

// Thrown by bind and run.
struct StepError {
  StepFailure failure;
};

struct Input {
  int32_t place = -1;  // in the input or host segment
  bool host = false;
  // A place, dense, of all the memory that the input is a part of: memory that outlives the run and that steps may
  // write. Its dims follow those of the input in the key of a binding. -1: the input is dense, and only read.
  int32_t whole = -1;
};

// Which numbers of a binding's key grow from run to run where inputs are parts of memory that outlives it: lengths, and
// what else is as long. total: an expression, what a length is after the run. capacity: the most that it can be.
struct Growth {
  std::vector<int32_t> lengths;  // places in the key
  int32_t total = -1;
  int64_t capacity = 0;
};

class Program {
 public:
  // Filled by the builder, then seal() once; immutable afterwards.
  std::vector<Expr> exprs;
  std::vector<int32_t> symbol_stage;  // per symbol: the stage at whose start it is known; 0 for input dims
  std::vector<Buffer> buffers;
  std::vector<Region> regions;
  std::vector<Check> checks;
  std::vector<Place> places;
  std::vector<Step> steps;
  std::vector<int32_t> stage_ends;  // exclusive step index of each stage
  std::vector<Input> inputs;
  std::vector<int32_t> outputs;    // places in the output, or host, segment
  std::vector<int32_t> placement;  // region ids; regions.size() + s is the scratch of step s
  int32_t slots = 0;               // host slots
  arn_target target{};
  int32_t threads = 1;
  int64_t cache_limit = 16;                // bindings kept per stage
  int64_t cache_bytes = int64_t{1} << 18;  // and bytes of them, the one in use apart; more beside a large arena

  // Checks every index, computes stages, audits the rest. Throws std::invalid_argument.
  void seal();
  // Scratch bytes of every step were the symbols these; 1 where the kernel cannot be bound to such sizes. Binds
  // nothing for good, so weights may still be unpacked.
  std::vector<int64_t> measure(const std::vector<int64_t>& symbols) const;
  // Appends the dims of input i to the key of a binding; a host input's rank may vary and is part of its key.
  void append_key(size_t i, const int64_t* dims, size_t rank, std::vector<int64_t>* key) const;
  // The binding of stage 0 for these input dims, from the cache or new. Throws StepError, std::invalid_argument.
  std::shared_ptr<const Binding> bind(const std::vector<int64_t>& key) const;
  // The same without the cache, in the memory of a binding that nobody uses any more if there is one.
  std::shared_ptr<Binding> bind_anew(const std::vector<int64_t>& key, std::shared_ptr<Binding> b = nullptr) const;
  // Makes a binding of bind_anew() that of another key, with every buffer where it lies: only what hangs on sizes that
  // differ is bound again, and nothing is allocated. False where its memory does not suffice or a step's form changes;
  // then, as after a throw, the binding is of no use any more.
  bool bind_again(const std::vector<int64_t>& key, Binding* b) const;
  // The binding of the stage after `before`, whose symbols (all of them) are given.
  std::shared_ptr<const Binding> bind_next(const std::shared_ptr<const Binding>& before,
                                           const std::vector<int64_t>& symbols) const;
  // The stage at whose start an expression's value is known.
  int32_t stage_of(int32_t expr) const { return expr_stage_[static_cast<size_t>(expr)]; }
  int32_t stages() const { return static_cast<int32_t>(stage_ends.size()); }
  int32_t stage_begin(int32_t stage) const { return stage == 0 ? 0 : stage_ends[static_cast<size_t>(stage - 1)]; }

 private:
  friend class Binder;
  void list_reads();
  // Sets the symbols that input dims name. Throws where the key is none of this program's.
  void set_symbols(const std::vector<int64_t>& key, Binding* b) const;
  // After expressions have values: that all input dims are what the key says.
  void check_key(const std::vector<int64_t>& key, const Binding& b) const;
  template <typename Visit>
  void visit_key(const std::vector<int64_t>& key, const Visit& visit) const;
  std::vector<int32_t> expr_stage_;
  // Per step: the expressions that hang on symbols and that its operands and parameters read, from starts_[step] on.
  std::vector<int32_t> reads_, starts_;
  mutable std::mutex mutex_;
  mutable std::list<std::shared_ptr<Binding>> cache_;  // the latest first
  mutable std::shared_ptr<Binding> spare_;
};

}  // namespace arenaut
