#include "exec/run.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "exec/denormals.h"
#include "exec/registry.h"
#include "kernels/element.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

std::vector<int64_t> dense_strides(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size());
  int64_t step = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = step;
    step *= dims[i];
  }
  return strides;
}

int64_t count(const std::vector<int64_t>& dims) {
  int64_t n = 1;
  for (const int64_t d : dims) n *= d;
  return n;
}

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The first runs of a binding time its steps: the first as guessed, the others on one thread where that is quick.
constexpr int32_t kTimedRuns = 3;
constexpr int64_t kQuick = 200'000;  // nanoseconds
// A stage with that much to share is worth waking sleeping threads for, which takes them a while.
constexpr int64_t kWorthOfWaking = 60'000;  // nanoseconds
// Pieces of each thread's range, so that a thread that a neighbour slows leaves some to the others.
constexpr int32_t kPieces = 4;
// Pieces of each thread's range where a run may be stopped, at least and at most, and what one of them may take.
constexpr int64_t kStoppablePieces = 16, kMostStoppablePieces = 1024;
constexpr int64_t kStoppable = 20'000'000;  // nanoseconds

struct ParallelCall {
  const BoundStep* bound;
  void* const* operand;
  char* scratch;
  int64_t thread_bytes;
  int32_t pieces;
  const RunOptions* options;
  arn_state* state;
  std::atomic<int32_t> status{ARN_OK};
};

void run_piece(void* context, int32_t slot, int32_t piece) {
  auto* c = static_cast<ParallelCall*>(context);
  const RunOptions& o = *c->options;
  if (o.stopped() || (o.deadline != 0 && now() > o.deadline)) arn_stop(c->state);
  if (arn_stopped(c->state)) return c->status.store(ARN_CANCELLED, std::memory_order_relaxed);
  const BoundStep& b = *c->bound;
  const int64_t begin = b.head.tasks * piece / c->pieces, end = b.head.tasks * (piece + 1) / c->pieces;
  const int32_t status = b.head.run(b.blob, c->operand, begin, end, c->scratch + b.step_scratch,
                                    c->scratch + b.thread_scratch + slot * c->thread_bytes, c->state);
  if (status != ARN_OK) c->status.store(status, std::memory_order_relaxed);
}

}  // namespace

int64_t tensor_bytes(const Tensor& t) { return count(t.dims) * element_bytes(t.dtype); }

void copy_strided(const std::vector<int64_t>& dims, int64_t element, const char* from,
                  const std::vector<int64_t>& from_strides, char* to, const std::vector<int64_t>& to_strides) {
  if (count(dims) == 0) return;
  size_t inner = dims.size();
  int64_t run = element;  // bytes that both sides hold without gaps
  while (inner > 0 &&
         (dims[inner - 1] == 1 || (from_strides[inner - 1] * element == run && to_strides[inner - 1] * element == run)))
    run *= dims[--inner];
  std::vector<int64_t> index(inner, 0);
  for (;;) {
    std::memcpy(to, from, at(run));
    size_t axis = inner;
    while (axis-- > 0) {
      from += from_strides[axis] * element;
      to += to_strides[axis] * element;
      if (++index[axis] < dims[axis]) break;
      from -= from_strides[axis] * element * dims[axis];
      to -= to_strides[axis] * element * dims[axis];
      index[axis] = 0;
    }
    if (axis == static_cast<size_t>(-1)) return;
  }
}

Run::Run(const Program& program) : program_(program) {
  inputs_.resize(program_.inputs.size());
  given_.resize(program_.outputs.size());
  results_.resize(program_.outputs.size());
  output_blocks_.resize(program_.outputs.size());
  slots_.resize(at(program_.slots));
  bases_.assign(2 + inputs_.size() + program_.outputs.size(), nullptr);
}

void Run::begin(const RunOptions& options, std::shared_ptr<const Binding> binding) {
  options_ = options;
  active_ = true;
  next_ = 0;
  state_.stop = 0;
  lease_ = options_.lease != nullptr ? options_.lease : &own_lease_;
  if (!binding) {
    key_.clear();
    for (size_t i = 0; i < inputs_.size(); ++i)
      program_.append_key(i, inputs_[i].dims.data(), inputs_[i].dims.size(), &key_);
    binding = located_ && located_->stage == 0 && located_->key == key_ ? located_ : program_.bind(key_);
  }
  for (size_t i = 0; i < inputs_.size(); ++i) {
    bases_[2 + i] = static_cast<char*>(const_cast<void*>(inputs_[i].data));
    if (!program_.inputs[i].host) continue;
    const Place& v = program_.places[at(program_.inputs[i].place)];
    slots_[at(program_.buffers[at(v.buffer)].index)] = inputs_[i];
  }
  enter_stage(std::move(binding));
  if (program_.steps.empty()) collect_results();
}

const std::shared_ptr<const Binding>& Run::follow(const std::vector<int64_t>& key, const Growth& growth) {
  if (!growth.lengths.empty()) {  // what is bound again is held by nobody, and what was located by it lies elsewhere
    binding_.reset();
    located_.reset();
  }
  binding_ = follower_.bind(program_, key, growth);
  return binding_;
}

void Run::end() {
  end_iteration();
  own_lease_.give_back();
  for (Tensor& t : inputs_) t.owned.reset(), t.host.reset();
  for (Tensor& t : states_) t.owned.reset(), t.host.reset();
  for (Tensor& t : opened_) t.owned.reset(), t.host.reset();
  for (Stack& s : stacks_) s.result.owned.reset(), s.count = 0;
  for (auto& body : bodies_)
    if (body.second->active_) body.second->end();  // after a throw
  active_ = false;
}

void Run::end_iteration() {
  for (Tensor& t : results_) t.owned.reset(), t.host.reset();
  for (Tensor& t : slots_) t.owned.reset(), t.host.reset();
  for (auto& block : output_blocks_) block.reset();
  std::fill(given_.begin(), given_.end(), Given());
}

void Run::check_stop(int32_t index) const {
  if (arn_stopped(&state_) || options_.stopped() || (options_.deadline != 0 && now() > options_.deadline))
    throw StepError{{index, ARN_CANCELLED, false, ""}};
}

int64_t Run::kept_bytes() const {
  int64_t bytes = arena_.bytes();
  for (const auto& block : spares_) bytes += block->bytes();
  for (const auto& body : bodies_) bytes += body.second->kept_bytes();
  return bytes;
}

std::shared_ptr<Block> Run::spare_block(int64_t bytes) {
  std::shared_ptr<Block>*best = nullptr, *small = nullptr;
  for (auto& block : spares_) {
    if (block.use_count() != 1) continue;
    if (block->bytes() < bytes)
      small = &block;
    else if (best == nullptr || block->bytes() < (*best)->bytes())
      best = &block;
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  if (best != nullptr) return *best;
  auto fresh = std::make_shared<Block>(std::max<int64_t>(1, bytes));
  if (small != nullptr)
    *small = fresh;
  else
    spares_.push_back(fresh);
  return fresh;
}

void Run::enter_stage(std::shared_ptr<const Binding> binding) {
  binding_ = std::move(binding);
  symbols_ = binding_->symbols;
  stage_end_ = program_.stage_ends[at(binding_->stage)];
  const int64_t needed = binding_->arena_bytes + binding_->output_bytes;
  if (options_.max_memory >= 0 && needed > options_.max_memory) throw MemoryLimit{needed, options_.max_memory};
  if (options_.arena == nullptr && arena_.bytes() < binding_->arena_bytes) {
    if (binding_->stage == 0) arena_ = Block();  // nothing to keep: never two arenas at once
    Block larger(binding_->arena_bytes);
    if (binding_->stage > 0 && arena_.bytes() > 0) std::memcpy(larger.data(), arena_.data(), at(arena_.bytes()));
    arena_ = std::move(larger);
    located_.reset();
  }
  base_ = options_.arena != nullptr ? options_.arena : arena_.data();
  bases_[0] = base_;
  provide_outputs();
  locate_operands();
  timing_ = binding_->cost != nullptr && options_.needed == nullptr &&
            binding_->timed.load(std::memory_order_relaxed) < kTimedRuns;
}

void Run::provide_outputs() {
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    const auto id = at(program_.places[at(program_.outputs[i])].buffer);
    const Buffer& b = program_.buffers[id];
    if (b.segment != Segment::kOutput || b.stage != binding_->stage) continue;
    char*& base = bases_[2 + inputs_.size() + at(b.index)];
    const Given& given = given_[i];
    if (given.data != nullptr && (given.bytes == kAsBound || given.bytes == binding_->buffer_bytes[id])) {
      base = static_cast<char*>(given.data);
      continue;
    }
    const int64_t bytes = std::max<int64_t>(1, binding_->buffer_bytes[id]);
    auto& block = output_blocks_[at(b.index)];
    if (options_.lease != nullptr)
      block = spare_block(bytes);
    else
      block = std::make_shared<Block>(options_.outputs != nullptr ? options_.outputs->take(bytes) : Block(bytes));
    base = block->data();
  }
}

Tensor Run::take_output(size_t i) {
  const Buffer& buffer = program_.buffers[at(program_.places[at(program_.outputs[i])].buffer)];
  if (buffer.segment == Segment::kOutput) output_blocks_[at(buffer.index)].reset();
  return std::exchange(results_[i], Tensor());
}

void Run::locate_operands() {
  const std::vector<Location>& locations = binding_->locations;
  operands_.resize(locations.size());
  if (located_ == binding_ && located_arena_ == base_) {
    for (const int32_t i : binding_->moving) operands_[at(i)] = address(locations[at(i)]);
    return;
  }
  for (size_t i = 0; i < locations.size(); ++i) operands_[i] = locations[i].base < 0 ? nullptr : address(locations[i]);
  located_ = binding_;
  located_arena_ = base_;
}

void Run::finish() {
  const FlushDenormals flush;
  const auto steps = static_cast<int32_t>(program_.steps.size());
  const bool each = options_.profile != nullptr || options_.deadline != 0 || options_.needed != nullptr;
  const bool timed = options_.lease == nullptr && options_.needed == nullptr &&
                     binding_->timed.load(std::memory_order_relaxed) < kTimedRuns;
  const auto first = binding_;
  const int64_t began = timed ? now() : 0;
  while (next_ < steps) {
    if (each || timing_) {
      step();
      continue;
    }
    if (next_ >= stage_end_) {
      enter_stage(program_.bind_next(binding_, symbols_));
      continue;
    }
    run_kernels();
    if (next_ < stage_end_) {
      run_other(next_);
      ++next_;
    }
  }
  if (!each) collect_results();
  own_lease_.give_back();
  if (!timed) return;
  const int64_t took = now() - began, best = first->fastest.load(std::memory_order_relaxed);
  if (best < 0 || took < best) first->fastest.store(took, std::memory_order_relaxed);
  if (first->cost == nullptr) first->timed.fetch_add(1, std::memory_order_relaxed);
}

bool Run::step() {
  if (next_ >= static_cast<int32_t>(program_.steps.size())) return false;
  const FlushDenormals flush;
  while (next_ >= stage_end_) enter_stage(program_.bind_next(binding_, symbols_));
  const int64_t began = now();
  if (options_.needed != nullptr && (*options_.needed)[at(next_)] == 0)
    ;  // nobody asked for what it makes
  else if (bound(next_).kind != StepKind::kKernel)
    run_other(next_);
  else if (timing_)
    run_timed(next_);
  else
    run_kernel(next_, bound(next_), binding_->cost ? binding_->cost[at(next_ - first_step())].parts.load() : 1);
  if (options_.profile != nullptr) {
    StepTime& t = (*options_.profile)[at(next_)];
    t.nanoseconds += now() - began;
    ++t.runs;
  }
  ++next_;
  if (timing_ && next_ == stage_end_) finish_timing();
  if (next_ == static_cast<int32_t>(program_.steps.size())) collect_results();
  return true;
}

const BoundStep& Run::bound(int32_t index) const { return binding_->steps[at(index - first_step())]; }

// Until a step that is no kernel, or the end of the stage.
void Run::run_kernels() {
  const BoundStep* s = binding_->steps.data() + (next_ - first_step());
  const StepCost* cost = binding_->cost ? binding_->cost.get() + (next_ - first_step()) : nullptr;
  void* const* operands = operands_.data();
  const int64_t fastest = binding_->fastest.load(std::memory_order_relaxed);
  const bool pieces = options_.watched() && (fastest < 0 || fastest > kStoppable);
  int32_t index = next_;
  for (; index < stage_end_ && s->kind == StepKind::kKernel; ++index, ++s) {
    const int32_t parts = cost != nullptr ? (cost++)->parts.load(std::memory_order_relaxed) : 1;
    if (parts > 1 || pieces) {
      run_kernel(index, *s, parts);
      continue;
    }
    if (s->head.tasks == 0) continue;
    char* scratch = scratch_start(*s);
    const int32_t status = s->head.run(s->blob, operands + s->first_location, 0, s->head.tasks,
                                       scratch + s->step_scratch, scratch + s->thread_scratch, &state_);
    if (status != ARN_OK) throw StepError{{index, status, false, ""}};
  }
  next_ = index;
}

void Run::run_kernel(int32_t index, const BoundStep& bound, int32_t parts) {
  if (bound.head.tasks == 0) return;
  parts = static_cast<int32_t>(std::min<int64_t>(parts, bound.head.tasks));
  if (parts > 1) parts = std::min(parts, lease_->take(binding_->threads));
  int64_t pieces = std::min<int64_t>(bound.head.tasks, parts > 1 ? int64_t{parts} * kPieces : 1);
  if (options_.deadline != 0 || options_.watched()) {
    const int64_t known = binding_->cost ? binding_->cost[at(index - first_step())].nanoseconds.load()
                                         : binding_->fastest.load(std::memory_order_relaxed);
    const int64_t each = std::clamp(known / kStoppable, kStoppablePieces, kMostStoppablePieces);
    pieces = std::max(pieces, std::min<int64_t>(bound.head.tasks, int64_t{parts} * each));
  }
  pieces = std::min<int64_t>(pieces, kMaxPieces);
  const int64_t thread_bytes = (bound.head.thread_scratch + ARN_ALIGN - 1) / ARN_ALIGN * ARN_ALIGN;
  void* const* operands = operands_.data() + bound.first_location;
  ParallelCall call{&bound,    operands, scratch_start(bound), thread_bytes, static_cast<int32_t>(pieces),
                    &options_, &state_};
  if (parts > 1) {
    const bool wake = timing_ || binding_->shareable.load(std::memory_order_relaxed) >= kWorthOfWaking;
    lease_->run(run_piece, &call, parts, call.pieces, wake);
  } else {
    for (int32_t i = 0; i < call.pieces; ++i) run_piece(&call, 0, i);
  }
  const int32_t status = call.status.load(std::memory_order_relaxed);
  if (status != ARN_OK) throw StepError{{index, status, false, ""}};
}

void Run::run_timed(int32_t index) {
  StepCost& cost = binding_->cost[at(index - first_step())];
  const BoundStep& b = bound(index);
  const int32_t round = binding_->timed.load(std::memory_order_relaxed);
  const int64_t known = cost.nanoseconds.load(std::memory_order_relaxed);
  const int32_t parts = round > 0 && known < kQuick ? 1 : cost.parts.load(std::memory_order_relaxed);
  const int64_t began = now();
  run_kernel(index, b, parts);
  // A step for one thread asks for no lease: the first to ask decides for the whole run.
  const int64_t took = (now() - began) * (parts > 1 ? std::min(parts, lease_->take(binding_->threads)) : 1);
  if (round <= 1 || took < known) cost.nanoseconds.store(took, std::memory_order_relaxed);
}

// The stage has been run and timed: its steps get the threads that they are worth.
void Run::finish_timing() {
  int64_t shareable = 0;
  for (size_t i = 0; i < binding_->steps.size(); ++i) {
    StepCost& cost = binding_->cost[i];
    const int64_t nanoseconds = cost.nanoseconds.load(std::memory_order_relaxed);
    const int32_t parts = worthwhile_parts(nanoseconds, binding_->threads, binding_->steps[i].head.tasks);
    cost.parts.store(parts, std::memory_order_relaxed);
    if (parts > 1) shareable += nanoseconds;
  }
  binding_->shareable.store(shareable, std::memory_order_relaxed);
  timing_ = false;
  binding_->timed.fetch_add(1, std::memory_order_relaxed);
}

void Run::run_other(int32_t index) {
  const Step& step = program_.steps[at(index)];
  switch (step.kind) {
    case StepKind::kKernel:
      return;
    case StepKind::kHost:
      return run_host(index, step);
    case StepKind::kFetch:
      return run_fetch(index, step);
    case StepKind::kSymbols:
      return run_symbols(index, step);
    case StepKind::kIf:
      return run_if(index, step);
    case StepKind::kLoop:
      return run_loop(index, step);
    case StepKind::kScan:
      return run_scan(index, step);
    case StepKind::kOpen:
      return run_open(index, step);
  }
}

void Run::borrow_into(Tensor* t, const Step& step, const BoundStep& bound, size_t operand) const {
  if (step.operands[operand] < 0) {
    *t = Tensor();
    return;
  }
  const Place& v = program_.places[at(step.operands[operand])];
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  if (buffer.segment == Segment::kHost) {
    *t = slots_[at(buffer.index)];
    return;
  }
  t->owned.reset();
  t->host.reset();
  t->dtype = v.dtype;
  t->dims.resize(v.dims.size());
  for (size_t i = 0; i < v.dims.size(); ++i) t->dims[i] = binding_->values[at(v.dims[i])];
  t->data = operands_[at(bound.first_location) + operand];
}

Tensor Run::borrow(const Step& step, const BoundStep& bound, size_t operand) const {
  Tensor t;
  borrow_into(&t, step, bound, operand);
  return t;
}

// The step's output number `output`: to its host slot, or where it lies in memory.
void Run::keep(int32_t index, size_t output, const Tensor& result) {
  const Step& step = program_.steps[at(index)];
  const size_t operand = at(step.n_in) + output;
  if (operand >= step.operands.size() || step.operands[operand] < 0) return;
  const Place& v = program_.places[at(step.operands[operand])];
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  if (buffer.segment == Segment::kHost)
    slots_[at(buffer.index)] = result;
  else
    deliver(index, v, operands_[at(bound(index).first_location) + operand], result);
}

void Run::deliver(int32_t index, const Place& place, void* to, const Tensor& result) const {
  bool same = result.dims.size() == place.dims.size();
  int64_t elements = 1;
  for (size_t i = 0; same && i < place.dims.size(); ++i) elements *= binding_->values[at(place.dims[i])];
  // A loop without iterations cannot know the other dims of what it would have stacked.
  const bool both_empty = same && count(result.dims) == 0 && elements == 0;
  for (size_t i = 0; same && !both_empty && i < place.dims.size(); ++i)
    same = result.dims[i] == binding_->values[at(place.dims[i])];
  if (result.host || !same || result.dtype != place.dtype)
    throw StepError{{index, ARN_SHAPE_MISMATCH, false, "the result has another type or shape than inferred"}};
  const int64_t bytes = elements * element_bytes(result.dtype);
  if (bytes > 0 && to != result.data) std::memcpy(to, result.data, at(bytes));
}

// The symbols that the dims of the step's outputs decide.
void Run::set_kept_symbols(int32_t index, const Step& step) {
  for (const auto& set : step.sets) {
    const Place& v = program_.places[at(step.operands[at(step.n_in) + at(set[0])])];
    const Tensor& t = slots_[at(program_.buffers[at(v.buffer)].index)];
    if (t.host || at(set[1]) >= t.dims.size())
      throw StepError{{index, ARN_BAD_VALUE, false, "an output has another rank than expected"}};
    symbols_[at(set[2])] = t.dims[at(set[1])];
  }
}

void Run::run_host(int32_t index, const Step& step) {
  if (options_.host == nullptr) throw std::logic_error("a HostCall without a host");
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < at(step.n_in); ++i) inputs.push_back(borrow(step, bound(index), i));
  std::vector<Tensor> results;
  check_stop(index);
  {
    const KeepDenormals keep_denormals;
    results = options_.host->call(index, inputs);
  }
  check_stop(index);
  for (size_t i = 0; at(step.n_in) + i < step.operands.size(); ++i) {
    if (step.operands[at(step.n_in) + i] < 0) continue;
    if (i >= results.size()) throw StepError{{index, ARN_BAD_VALUE, false, "the step made fewer outputs than it has"}};
    keep(index, i, results[i]);
  }
  set_kept_symbols(index, step);
}

void Run::run_fetch(int32_t index, const Step& step) {
  const Place& from = program_.places[at(step.operands[0])];
  Tensor& held = slots_[at(program_.buffers[at(from.buffer)].index)];
  deliver(index, program_.places[at(step.operands[1])], operands_[at(bound(index).first_location) + 1], held);
  held.owned.reset();
  held.data = nullptr;
}

void Run::run_symbols(int32_t index, const Step& step) {
  for (const auto& set : step.sets) {
    const Place& v = program_.places[at(step.operands[at(set[0])])];
    const Buffer& buffer = program_.buffers[at(v.buffer)];
    int64_t elements = 1;
    if (buffer.segment == Segment::kHost)
      elements = count(slots_[at(buffer.index)].dims);
    else
      for (const int32_t d : v.dims) elements *= binding_->values[at(d)];
    if (set[1] >= elements) throw StepError{{index, ARN_BAD_VALUE, false, "a shape tensor is too short"}};
    const auto* data = static_cast<const char*>(operand_data(step, bound(index), at(set[0])));
    if (data == nullptr || (buffer.segment == Segment::kHost && slots_[at(buffer.index)].dtype != v.dtype))
      throw StepError{{index, ARN_BAD_VALUE, false, "a shape tensor of another type"}};
    int64_t n = 0;
    if (v.dtype == ARN_I32) {
      int32_t narrow = 0;
      std::memcpy(&narrow, data + set[1] * 4, 4);
      n = narrow;
    } else {
      std::memcpy(&n, data + set[1] * 8, 8);
    }
    symbols_[at(set[2])] = n;
  }
}

char* Run::buffer_start(const Buffer& buffer) const {
  const size_t outputs = 2 + inputs_.size();
  if (buffer.segment == Segment::kInput) return bases_[2 + at(buffer.index)];
  if (buffer.segment == Segment::kOutput) return bases_[outputs + at(buffer.index)];
  const Region& region = program_.regions[at(buffer.region)];
  const int64_t offset = binding_->values[at(buffer.region_offset)];
  if (region.output >= 0) return bases_[outputs + at(program_.buffers[at(region.output)].index)] + offset;
  const bool guest = binding_->in_output[at(buffer.region)];
  char* base = guest ? bases_[outputs + at(program_.buffers[at(region.reuses)].index)] : base_;
  return base + binding_->rects[at(buffer.region)].offset + offset;
}

Tensor Run::read(int32_t place) const {
  const Place& v = program_.places.at(at(place));
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  if (buffer.segment == Segment::kHost) return slots_[at(buffer.index)];
  Tensor t;
  t.dtype = v.dtype;
  std::vector<int64_t> strides;
  for (size_t i = 0; i < v.dims.size(); ++i) {
    t.dims.push_back(binding_->values[at(v.dims[i])]);
    strides.push_back(binding_->values[at(v.strides[i])]);
  }
  const int64_t element = element_bytes(v.dtype);
  t.owned = std::make_shared<Block>(std::max<int64_t>(1, count(t.dims) * element));
  t.data = t.owned->data();
  const char* base = nullptr;
  if (buffer.segment == Segment::kWeight)
    base = static_cast<const char*>(buffer.data);
  else
    base = buffer_start(buffer);
  copy_strided(t.dims, element, base + binding_->values[at(v.offset)] * element, strides, t.owned->data(),
               dense_strides(t.dims));
  return t;
}

void Run::write(int32_t place, const Tensor& tensor) {
  const Place& v = program_.places.at(at(place));
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  if (buffer.segment != Segment::kArena && buffer.segment != Segment::kOutput)
    throw std::invalid_argument("only places in the arena and outputs can be written");
  std::vector<int64_t> dims, strides;
  for (size_t i = 0; i < v.dims.size(); ++i) {
    dims.push_back(binding_->values[at(v.dims[i])]);
    strides.push_back(binding_->values[at(v.strides[i])]);
  }
  if (dims != tensor.dims || v.dtype != tensor.dtype) throw std::invalid_argument("another type or shape");
  char* base = buffer_start(buffer);
  const int64_t element = element_bytes(v.dtype);
  copy_strided(dims, element, static_cast<const char*>(tensor.data), dense_strides(dims),
               base + binding_->values[at(v.offset)] * element, strides);
}

void Run::collect_results() {
  // An output may belong to a stage without steps of its own.
  while (binding_->stage + 1 < program_.stages()) enter_stage(program_.bind_next(binding_, symbols_));
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    const Place& v = program_.places[at(program_.outputs[i])];
    const Buffer& buffer = program_.buffers[at(v.buffer)];
    Tensor& t = results_[i];
    if (buffer.segment == Segment::kHost) {
      t = slots_[at(buffer.index)];
      continue;
    }
    t.dtype = v.dtype;
    t.dims.resize(v.dims.size());
    for (size_t k = 0; k < v.dims.size(); ++k) t.dims[k] = binding_->values[at(v.dims[k])];
    t.owned = output_blocks_[at(buffer.index)];
    t.data = bases_[2 + inputs_.size() + at(buffer.index)];
  }
}

}  // namespace arenaut
