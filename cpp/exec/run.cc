#include "exec/run.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>

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

struct ParallelCall {
  const BoundStep* bound;
  const void* blob;
  void* const* operand;
  char* step_scratch;
  char* thread_scratch;
  int64_t thread_bytes;
  int32_t parts;
  const arn_state* state;
  std::atomic<int32_t> status{ARN_OK};
};

void run_part(void* context, int32_t part) {
  auto* c = static_cast<ParallelCall*>(context);
  const int64_t begin = c->bound->head.tasks * part / c->parts, end = c->bound->head.tasks * (part + 1) / c->parts;
  const int32_t status = c->bound->head.run(c->blob, c->operand, begin, end, c->step_scratch,
                                            c->thread_scratch + part * c->thread_bytes, c->state);
  if (status != ARN_OK) c->status.store(status, std::memory_order_relaxed);
}

}  // namespace

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

Run::Run(const Program& program, std::vector<Tensor> inputs, const RunOptions& options, Block arena)
    : program_(program), options_(options), arena_(std::move(arena)), inputs_(std::move(inputs)) {
  std::vector<std::vector<int64_t>> dims;
  for (const Tensor& t : inputs_) dims.push_back(t.dims);
  slots_.resize(at(program_.slots));
  output_blocks_.resize(program_.outputs.size());
  bases_.assign(2 + inputs_.size() + program_.outputs.size(), nullptr);
  for (size_t i = 0; i < inputs_.size(); ++i) {
    bases_[2 + i] = static_cast<char*>(const_cast<void*>(inputs_[i].data));
    if (i < program_.inputs.size() && program_.inputs[i].host) {
      const Value& v = program_.values[at(program_.inputs[i].value)];
      slots_[at(program_.buffers[at(v.buffer)].index)] = inputs_[i];
    }
  }
  enter_stage(program_.bind(dims));
  if (options_.lease == nullptr) own_lease_ = std::make_unique<PoolLease>(options_.threads);
  lease_ = options_.lease != nullptr ? options_.lease : own_lease_.get();
}

void Run::enter_stage(std::shared_ptr<const Binding> binding) {
  binding_ = std::move(binding);
  symbols_ = binding_->symbols;
  int64_t outputs = 0;
  for (size_t i = 0; i < program_.buffers.size(); ++i)
    if (program_.buffers[i].segment == Segment::kOutput && program_.buffers[i].stage <= binding_->stage)
      outputs += binding_->buffer_bytes[i];
  if (options_.max_memory >= 0 && binding_->arena_bytes + outputs > options_.max_memory)
    throw MemoryLimit{binding_->arena_bytes + outputs, options_.max_memory};
  if (arena_.bytes() < binding_->arena_bytes) {
    Block larger(binding_->arena_bytes);
    if (binding_->stage > 0 && arena_.bytes() > 0) std::memcpy(larger.data(), arena_.data(), at(arena_.bytes()));
    arena_ = std::move(larger);
  }
  bases_[0] = arena_.data();
  for (size_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer& b = program_.buffers[i];
    if (b.segment != Segment::kOutput || b.stage != binding_->stage) continue;
    output_blocks_[at(b.index)] = std::make_shared<Block>(std::max<int64_t>(1, binding_->buffer_bytes[i]));
    bases_[2 + inputs_.size() + at(b.index)] = output_blocks_[at(b.index)]->data();
  }
}

void Run::finish() {
  while (step()) {
  }
}

bool Run::step() {
  if (next_ >= static_cast<int32_t>(program_.steps.size())) return false;
  while (next_ >= program_.stage_ends[at(binding_->stage)]) enter_stage(program_.bind_next(binding_, symbols_));
  if (options_.profile == nullptr) {
    run_step(next_);
  } else {
    const auto begin = std::chrono::steady_clock::now();
    run_step(next_);
    StepTime& t = (*options_.profile)[at(next_)];
    t.nanoseconds +=
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin).count();
    ++t.runs;
  }
  ++next_;
  return true;
}

const BoundStep& Run::bound(int32_t index) const {
  return binding_->steps[at(index - program_.stage_begin(binding_->stage))];
}

void Run::run_step(int32_t index) {
  const Step& step = program_.steps[at(index)];
  switch (step.kind) {
    case StepKind::kKernel:
      return run_kernel(index, step, bound(index));
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
  }
}

void Run::run_kernel(int32_t index, const Step& step, const BoundStep& bound) {
  if (bound.head.tasks == 0) return;
  void* operand[ARN_MAX_OPERANDS];
  const Place* places = &binding_->places[at(bound.first_place)];
  for (size_t i = 0; i < step.operands.size(); ++i) operand[i] = places[i].base < 0 ? nullptr : address(places[i]);
  const char* blob = binding_->blobs.data() + bound.blob;
  char* arena = arena_.data();
  const arn_state* state = reinterpret_cast<const arn_state*>(&stop_);
  const int64_t parts = std::min<int64_t>(lease_->threads(), bound.head.tasks);
  int32_t status = ARN_OK;
  if (parts <= 1) {
    status = bound.head.run(blob, operand, 0, bound.head.tasks, arena + bound.step_scratch,
                            arena + bound.thread_scratch, state);
  } else {
    ParallelCall call{&bound,
                      blob,
                      operand,
                      arena + bound.step_scratch,
                      arena + bound.thread_scratch,
                      (bound.head.thread_scratch + ARN_ALIGN - 1) / ARN_ALIGN * ARN_ALIGN,
                      static_cast<int32_t>(parts),
                      state};
    lease_->run(run_part, &call, static_cast<int32_t>(parts));
    status = call.status.load(std::memory_order_relaxed);
  }
  if (status != ARN_OK) throw StepError{{index, status, false, ""}};
}

Tensor Run::borrow(const Step& step, const BoundStep& bound, size_t operand) const {
  Tensor t;
  if (step.operands[operand] < 0) return t;
  const Value& v = program_.values[at(step.operands[operand])];
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  if (buffer.segment == Segment::kHost) return slots_[at(buffer.index)];
  t.dtype = v.dtype;
  for (const int32_t d : v.dims) t.dims.push_back(binding_->values[at(d)]);
  t.data = address(binding_->places[at(bound.first_place) + operand]);
  return t;
}

// Stores results in the host slots of operands [first, ...) and sets the symbols that their dims decide.
void Run::keep(int32_t index, const Step& step, size_t first, std::vector<Tensor> results) {
  for (size_t i = 0; first + i < step.operands.size(); ++i) {
    const int32_t operand = step.operands[first + i];
    if (operand < 0) continue;
    if (i >= results.size()) throw StepError{{index, ARN_BAD_VALUE, false, "the step made fewer outputs than it has"}};
    const Value& v = program_.values[at(operand)];
    slots_[at(program_.buffers[at(v.buffer)].index)] = std::move(results[i]);
  }
  for (const auto& set : step.sets) {
    const Value& v = program_.values[at(step.operands[first + at(set[0])])];
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
  keep(index, step, at(step.n_in), options_.host->call(index, inputs));
}

void Run::run_fetch(int32_t index, const Step& step) {
  const Tensor held = borrow(step, bound(index), 0);
  const Tensor target = borrow(step, bound(index), 1);
  // A loop without iterations cannot know the other dims of what it would have stacked.
  const bool both_empty = held.dims.size() == target.dims.size() && count(held.dims) == 0 && count(target.dims) == 0;
  if (held.host || (held.dims != target.dims && !both_empty) || held.dtype != target.dtype)
    throw StepError{{index, ARN_SHAPE_MISMATCH, false, "the result has another type or shape than inferred"}};
  const int64_t bytes = count(held.dims) * element_size(held.dtype);
  if (bytes > 0) std::memcpy(const_cast<void*>(target.data), held.data, at(bytes));
  const Value& v = program_.values[at(step.operands[0])];
  slots_[at(program_.buffers[at(v.buffer)].index)] = Tensor();
}

void Run::run_symbols(int32_t index, const Step& step) {
  for (const auto& set : step.sets) {
    const Tensor t = borrow(step, bound(index), at(set[0]));
    if (set[1] >= count(t.dims)) throw StepError{{index, ARN_BAD_VALUE, false, "a shape tensor is too short"}};
    int64_t n = 0;
    if (t.dtype == ARN_I32) {
      int32_t narrow = 0;
      std::memcpy(&narrow, static_cast<const char*>(t.data) + set[1] * 4, 4);
      n = narrow;
    } else {
      std::memcpy(&n, static_cast<const char*>(t.data) + set[1] * 8, 8);
    }
    symbols_[at(set[2])] = n;
  }
}

char* Run::buffer_start(const Buffer& buffer) const {
  const size_t outputs = 2 + inputs_.size();
  if (buffer.segment == Segment::kInput) return bases_[2 + at(buffer.index)];
  if (buffer.segment == Segment::kOutput) return bases_[outputs + at(buffer.index)];
  const int64_t offset = binding_->values[at(buffer.region_offset)];
  const int32_t output = program_.regions[at(buffer.region)].output;
  if (output >= 0) return bases_[outputs + at(program_.buffers[at(output)].index)] + offset;
  if (binding_->hosted[at(buffer.region)]) {
    const int32_t host = program_.buffers[at(program_.regions[at(buffer.region)].host)].index;
    return bases_[outputs + at(host)] + binding_->rects[at(buffer.region)].offset + offset;
  }
  return arena_.data() + binding_->rects[at(buffer.region)].offset + offset;
}

Tensor Run::read(int32_t value) const {
  const Value& v = program_.values.at(at(value));
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  if (buffer.segment == Segment::kHost) return slots_[at(buffer.index)];
  Tensor t;
  t.dtype = v.dtype;
  std::vector<int64_t> strides;
  for (size_t i = 0; i < v.dims.size(); ++i) {
    t.dims.push_back(binding_->values[at(v.dims[i])]);
    strides.push_back(binding_->values[at(v.strides[i])]);
  }
  const int64_t element = element_size(v.dtype);
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

void Run::write(int32_t value, const Tensor& tensor) {
  const Value& v = program_.values.at(at(value));
  const Buffer& buffer = program_.buffers[at(v.buffer)];
  if (buffer.segment != Segment::kArena && buffer.segment != Segment::kOutput)
    throw std::invalid_argument("only arena and output values can be written");
  std::vector<int64_t> dims, strides;
  for (size_t i = 0; i < v.dims.size(); ++i) {
    dims.push_back(binding_->values[at(v.dims[i])]);
    strides.push_back(binding_->values[at(v.strides[i])]);
  }
  if (dims != tensor.dims || v.dtype != tensor.dtype) throw std::invalid_argument("another type or shape");
  char* base = buffer_start(buffer);
  const int64_t element = element_size(v.dtype);
  copy_strided(dims, element, static_cast<const char*>(tensor.data), dense_strides(dims),
               base + binding_->values[at(v.offset)] * element, strides);
}

std::vector<Tensor> Run::take_outputs() {
  std::vector<Tensor> out;
  // An output may belong to a stage without steps of its own.
  while (binding_->stage + 1 < program_.stages()) enter_stage(program_.bind_next(binding_, symbols_));
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    const Value& v = program_.values[at(program_.outputs[i])];
    const Buffer& buffer = program_.buffers[at(v.buffer)];
    if (buffer.segment == Segment::kHost) {
      out.push_back(slots_[at(buffer.index)]);
      continue;
    }
    Tensor t;
    t.dtype = v.dtype;
    for (const int32_t d : v.dims) t.dims.push_back(binding_->values[at(d)]);
    t.owned = output_blocks_[at(buffer.index)];
    t.data = t.owned->data();
    out.push_back(std::move(t));
  }
  return out;
}

}  // namespace arenaut
