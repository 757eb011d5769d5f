// Binding: symbols known, a stage's expressions become numbers, its kernels are bound, its buffers get offsets.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "exec/binder.h"
#include "exec/bodies.h"
#include "exec/checks.h"
#include "exec/pool.h"
#include "exec/program.h"
#include "exec/registry.h"
#include "kernels/element.h"

namespace arenaut {
namespace {

constexpr int64_t kGuessedBytesPerNanosecond = 8;
// Placements tried where the planned one misses the lower bound.
constexpr int kRetries = 24;

size_t at(int64_t i) { return static_cast<size_t>(i); }

int64_t rounded(int64_t n) { return (n + ARN_ALIGN - 1) / ARN_ALIGN * ARN_ALIGN; }

// A pointer-free bound blob per thread: kernels write here, the used bytes are copied out.
struct alignas(ARN_ALIGN) BlobSpace {
  char bytes[ARN_BOUND_MAX];
};

}  // namespace

class Binder {
 public:
  Binder(const Program& p, Binding* b) : p_(p), b_(b) {}

  // Sizes and kernels without memory: what Program::measure asks.
  std::vector<int64_t> scratch_bytes() {
    std::vector<int64_t> out;
    for (size_t i = 0; i < p_.exprs.size(); ++i)
      if (!evaluate(p_.exprs[i], b_->values.data(), b_->symbols.data(), &b_->values[i])) b_->values[i] = 0;
    for (size_t i = 0; i < p_.buffers.size(); ++i)
      if (p_.buffers[i].segment != Segment::kHost) b_->buffer_bytes[i] = value_of(p_.buffers[i].bytes);
    BlobSpace space;
    for (size_t s = 0; s < p_.steps.size(); ++s) {
      out.push_back(0);
      const Step& step = p_.steps[s];
      if (step.kind != StepKind::kKernel && step.bodies.empty()) continue;
      try {
        BoundStep bound;
        const std::vector<arn_desc>& descs = describe_all(static_cast<int32_t>(s));
        if (step.kind == StepKind::kKernel)
          bind_kernel(static_cast<int32_t>(s), step, descs, &bound, &space);
        else
          bind_bodies(static_cast<int32_t>(s), step, descs, &bound, false);
        out.back() = b_->rects[p_.regions.size() + s].bytes;
      } catch (const StepError&) {
        out.back() = 1;
      } catch (const std::invalid_argument&) {
        out.back() = 1;
      }
    }
    return out;
  }

  void run() {
    evaluate_exprs();
    check_conditions();
    size_buffers();
    size_regions();
    check_buffers(p_, *b_);
    bind_steps();
    place();
    resolve_scratch();
  }

  // The same for other symbols, in the memory that is there; see Program::bind_again.
  bool run_again() {
    if (p_.stages() != 1) return false;
    b_->space.changed.assign(p_.exprs.size(), 0);
    for (size_t i = 0; i < p_.exprs.size(); ++i) {
      const int64_t before = b_->values[i];
      if (!evaluate(p_.exprs[i], b_->values.data(), b_->symbols.data(), &b_->values[i]))
        throw std::invalid_argument("a size overflows 64 bits");
      b_->space.changed[i] = b_->values[i] != before;
    }
    check_conditions();
    if (!resize()) return false;
    check_buffers(p_, *b_);
    BlobSpace space;
    for (size_t s = 0; s < p_.steps.size(); ++s)
      if (is_changed(s) && !bind_step_again(static_cast<int32_t>(s), &space)) return false;
    return true;
  }

 private:
  bool is_changed(size_t s) const {
    for (int32_t i = p_.starts_[s]; i < p_.starts_[s + 1]; ++i)
      if (b_->space.changed[at(p_.reads_[at(i)])] != 0) return true;
    return false;
  }

  // False where a region is larger than where it lies.
  bool resize() {
    b_->output_bytes = 0;
    size_buffers();
    for (size_t i = 0; i < p_.regions.size(); ++i) {
      const Region& region = p_.regions[i];
      const int64_t bytes = value_of(region.bytes);
      if (bytes < 0) throw std::invalid_argument("a shared region has an impossible size");
      if (bytes > b_->rects[i].bytes) return false;
      const int32_t output = region.output >= 0 ? region.output : b_->in_output[i] ? region.reuses : -1;
      const int64_t end = region.output >= 0 ? bytes : b_->rects[i].offset + bytes;
      if (output >= 0 && end > b_->buffer_bytes[at(output)]) return false;
    }
    for (size_t i = p_.regions.size(); i < b_->rects.size(); ++i)
      if (b_->in_output[i] && b_->rects[i].offset + room_in_output(i) > b_->buffer_bytes[at(reused_by(i))])
        return false;
    return true;
  }

  bool bind_step_again(int32_t s, BlobSpace* space) {
    const Step& step = p_.steps[at(s)];
    BoundStep& bound = b_->steps[at(s)];
    if (!step.bodies.empty()) return false;
    const std::vector<arn_desc>& descs = describe_all(s);
    if (step.kind == StepKind::kKernel) {
      const BoundStep before = bound;
      const Rect room = b_->rects[p_.regions.size() + at(s)];
      bind_kernel(s, step, descs, &bound, space);
      const int64_t wanted = b_->rects[p_.regions.size() + at(s)].bytes;
      b_->rects[p_.regions.size() + at(s)] = room;
      if (bound.head.bound_bytes != before.head.bound_bytes || wanted > room.bytes) return false;
      std::memcpy(bound.blob, space->bytes, at(bound.head.bound_bytes));
      bound.thread_scratch = bound.step_scratch + rounded(bound.head.step_scratch);
    }
    for (size_t i = 0; i < step.operands.size(); ++i)
      if (step.operands[i] >= 0 && !is_host(step.operands[i]))
        b_->locations[at(bound.first_location) + i] = locate(step, i);
    return true;
  }

  void evaluate_exprs() {
    for (size_t i = 0; i < p_.exprs.size(); ++i) {
      if (p_.expr_stage_[i] != b_->stage) continue;
      if (!evaluate(p_.exprs[i], b_->values.data(), b_->symbols.data(), &b_->values[i]))
        throw std::invalid_argument("a size overflows 64 bits");
    }
  }

  void check_conditions() const {
    for (const Check& check : p_.checks) {
      if (check.stage != b_->stage || value_of(check.condition) != 0) continue;
      std::string shown;
      for (const int32_t value : check.values) shown += (shown.empty() ? "" : ", ") + std::to_string(value_of(value));
      throw StepError{{-1, kRefused, true, check.text + shown}};
    }
  }

  int64_t value_of(int32_t expr) const { return b_->values[at(expr)]; }

  void size_buffers() {
    for (size_t i = 0; i < p_.buffers.size(); ++i) {
      const Buffer& buffer = p_.buffers[i];
      if (buffer.stage != b_->stage || buffer.segment == Segment::kHost) continue;
      const int64_t bytes = value_of(buffer.bytes);
      if (bytes < 0 || bytes > ARN_MAX_BYTES) throw std::invalid_argument("a buffer has an impossible size");
      b_->buffer_bytes[i] = bytes;
      if (buffer.segment == Segment::kOutput) b_->output_bytes += bytes;
    }
  }

  void size_regions() {
    for (size_t i = 0; i < p_.regions.size(); ++i) {
      const Region& region = p_.regions[i];
      if (region.stage != b_->stage) continue;
      const int64_t bytes = value_of(region.bytes);
      const int64_t limit = region.output >= 0 ? b_->buffer_bytes[at(region.output)] : ARN_MAX_BYTES;
      if (bytes < 0 || bytes > limit) throw std::invalid_argument("a shared region has an impossible size");
      b_->rects[i] = Rect{bytes, region.first, region.last, -1};
    }
  }

  arn_desc describe(int32_t place) const {
    arn_desc d{};
    if (place < 0) return d;
    const Place& v = p_.places[at(place)];
    d.dtype = v.dtype;
    d.rank = static_cast<int32_t>(v.dims.size());
    for (size_t i = 0; i < v.dims.size(); ++i) {
      d.dims[i] = value_of(v.dims[i]);
      d.strides[i] = value_of(v.strides[i]);
      if (d.dims[i] < 0) throw std::invalid_argument("a dim is negative");
    }
    return d;
  }

  // Every element of the view must lie inside its buffer: nothing a model says can make a kernel leave it. What kernels
  // count, repeated elements (strides of 0) too, must be a number that can be computed with.
  void check_range(int32_t step, const Place& v, const arn_desc& d) const {
    int64_t lo = value_of(v.offset), hi = lo, count = 0;
    if (lo < -ARN_MAX_BYTES || lo > ARN_MAX_BYTES)
      fail(step, ARN_OVERFLOW, "a view's extent overflows");  // also of an empty view
    if (!count_elements(d, &count)) fail(step, ARN_OVERFLOW, "a view has too many elements");
    if (count == 0) return;
    for (int i = 0; i < d.rank; ++i) {
      int64_t reach = 0;
      if (__builtin_mul_overflow(d.dims[i] - 1, d.strides[i], &reach) ||
          __builtin_add_overflow(reach < 0 ? lo : hi, reach, reach < 0 ? &lo : &hi))
        fail(step, ARN_OVERFLOW, "a view's extent overflows");
    }
    const int64_t limit = b_->buffer_bytes[at(v.buffer)] / element_bytes(d.dtype);
    if (lo < 0 || hi >= limit)
      fail(step, ARN_SHAPE_MISMATCH,
           "a view reaches elements " + std::to_string(lo) + ".." + std::to_string(hi) + " of a buffer of " +
               std::to_string(limit));
  }

  // Valid until it is called again.
  const std::vector<arn_desc>& describe_all(int32_t s) const {
    std::vector<arn_desc>& descs = b_->space.descs;
    descs.clear();
    for (const int32_t place : p_.steps[at(s)].operands) {
      const bool host = place >= 0 && is_host(place);
      descs.push_back(host ? arn_desc{} : describe(place));
      if (place >= 0 && !host) check_range(s, p_.places[at(place)], descs.back());
    }
    const Step& step = p_.steps[at(s)];
    const arn_row* row = step.kind == StepKind::kKernel ? &rows()[at(step.row)] : nullptr;
    for (size_t i = 0; i < descs.size(); ++i) {
      const std::string fault = operand_fault(row, step, i, descs[i]);
      if (!fault.empty()) fail(s, ARN_SHAPE_MISMATCH, fault);
    }
    return descs;
  }

  [[noreturn]] void fail(int32_t step, int32_t status, std::string detail) const {
    throw StepError{{step, status, true, std::move(detail)}};
  }

  void bind_steps() {
    const int32_t begin = p_.stage_begin(b_->stage), end = p_.stage_ends[at(b_->stage)];
    std::vector<std::pair<int64_t, std::string>> blobs;
    std::vector<int64_t> work;
    BlobSpace space;
    int64_t total = 0;
    for (int32_t s = begin; s < end; ++s) {
      BoundStep bound;
      bound.first_location = static_cast<int32_t>(b_->locations.size());
      const Step& step = p_.steps[at(s)];
      const std::vector<arn_desc>& descs = describe_all(s);
      b_->locations.resize(b_->locations.size() + step.operands.size());
      if (step.kind == StepKind::kKernel) {
        bind_kernel(s, step, descs, &bound, &space);
        blobs.emplace_back(total, std::string(space.bytes, at(bound.head.bound_bytes)));
        total += rounded(bound.head.bound_bytes);
      } else if (!step.bodies.empty()) {
        bind_bodies(s, step, descs, &bound, true);
      }
      bound.kind = step.kind;
      b_->steps.push_back(bound);
      work.push_back(operand_bytes(descs));
    }
    if (b_->blobs.bytes() < total) b_->blobs = Block(total);
    size_t kernel = 0;
    for (BoundStep& bound : b_->steps) {
      if (bound.kind != StepKind::kKernel) continue;
      const auto& [offset, bytes] = blobs[kernel++];
      bound.blob = b_->blobs.data() + offset;
      std::memcpy(b_->blobs.data() + offset, bytes.data(), bytes.size());
    }
    if (b_->threads > 1) guess_cost(work);
  }

  static int64_t operand_bytes(const std::vector<arn_desc>& descs) {
    int64_t bytes = 0;
    for (const arn_desc& d : descs) {
      int64_t n = element_bytes(d.dtype);
      for (int i = 0; i < d.rank; ++i)  // beside a dim of 0 the others may be of any size
        if (__builtin_mul_overflow(n, d.dims[i], &n)) n = ARN_MAX_BYTES;
      bytes += std::min(n, ARN_MAX_BYTES);
    }
    return bytes;
  }

  // Before anything is timed, the bytes of a step's operands stand for its work.
  void guess_cost(const std::vector<int64_t>& work) {
    if (!b_->cost) b_->cost = std::make_unique<StepCost[]>(b_->steps.size());
    for (size_t i = 0; i < b_->steps.size(); ++i) {
      if (b_->steps[i].kind != StepKind::kKernel) continue;
      const int64_t nanoseconds = work[i] / kGuessedBytesPerNanosecond;
      b_->cost[i].nanoseconds = nanoseconds;
      b_->cost[i].parts = worthwhile_parts(nanoseconds, b_->threads, b_->steps[i].head.tasks);
      if (b_->cost[i].parts > 1) b_->shareable += nanoseconds;
    }
  }

  bool is_host(int32_t place) const { return p_.buffers[at(p_.places[at(place)].buffer)].segment == Segment::kHost; }

  void bind_kernel(int32_t s, const Step& step, const std::vector<arn_desc>& descs, BoundStep* bound,
                   BlobSpace* space) {
    std::vector<const void*>& constants = b_->space.constants;
    constants.assign(descs.size(), nullptr);
    for (size_t i = 0; i < descs.size(); ++i) {
      if (step.operands[i] < 0) continue;
      const Place& v = p_.places[at(step.operands[i])];
      const Buffer& buffer = p_.buffers[at(v.buffer)];
      if (buffer.segment == Segment::kWeight && buffer.data != nullptr)
        constants[i] = static_cast<const char*>(buffer.data) + value_of(v.offset) * element_bytes(v.dtype);
    }
    std::string& params = b_->space.params;
    params = step.params;
    for (const Patch& patch : step.patches) {
      const int64_t n = value_of(patch.expr);
      const double f = static_cast<double>(n);
      std::memcpy(&params[at(patch.offset)], patch.is_float ? static_cast<const void*>(&f) : &n, 8);
    }
    arn_bind_args args{};
    args.n_in = step.n_in;
    args.n_out = static_cast<int32_t>(descs.size()) - step.n_in;
    args.operand = descs.data();
    args.constant = constants.data();
    args.params = params.empty() ? nullptr : params.data();
    args.tile = step.tile.get();
    args.target = &p_.target;
    args.packed = step.packed;
    check_packed_sizes(s, step, args);
    const int32_t status = rows()[at(step.row)].bind(&args, &bound->head, space->bytes);
    if (status != ARN_OK) fail(s, status, describe_operands(descs));
    if (bound->head.bound_bytes < 0 || bound->head.bound_bytes > ARN_BOUND_MAX || bound->head.tasks < 0 ||
        bound->head.step_scratch < 0 || bound->head.thread_scratch < 0)
      fail(s, ARN_OVERFLOW, "the kernel asked for impossible sizes");
    const int64_t used = std::max<int64_t>(1, std::min<int64_t>(p_.threads, bound->head.tasks));
    set_scratch(s, rounded(bound->head.step_scratch) + used * rounded(bound->head.thread_scratch));
  }

  // A packed form may hang on parameters: those that sizes decide must not change it.
  void check_packed_sizes(int32_t s, const Step& step, const arn_bind_args& args) const {
    if (step.packed == 0 || step.patches.empty()) return;
    for (size_t i = 0; i < step.packed_weights.size(); ++i)
      if (step.packed_weights[i] &&
          rows()[at(step.row)].pack_bytes(&args, static_cast<int32_t>(i)) != step.packed_weights[i]->bytes)
        fail(s, ARN_SHAPE_MISMATCH, "a packed weight of another size");
  }

  void set_scratch(int32_t s, int64_t bytes) {
    if (bytes < 0 || bytes > ARN_MAX_BYTES) fail(s, ARN_OVERFLOW, "scratch");
    b_->rects[p_.regions.size() + at(s)] = Rect{bytes, s, s, -1};
  }

  // Binds the bodies of a step whose sizes are those of its operands, and lets them lie in the step's scratch: all
  // from its start, since one body runs at a time. keep: false only measures.
  void bind_bodies(int32_t s, const Step& step, const std::vector<arn_desc>& descs, BoundStep* bound, bool keep) {
    std::vector<BoundBody> bodies;
    int64_t bytes = 0;
    for (const auto& body : step.bodies) {
      bodies.push_back(bind_body(step, *body, descs, keep));
      bytes = std::max(bytes, bodies.back().bytes);
    }
    set_scratch(s, bytes);
    if (!keep) return;
    bound->control = static_cast<int32_t>(b_->controls.size());
    b_->controls.push_back(std::move(bodies));
  }

  static std::string describe_operands(const std::vector<arn_desc>& descs) {
    std::string text;
    for (const arn_desc& d : descs) {
      text += text.empty() ? "[" : ", [";
      for (int i = 0; i < d.rank; ++i) text += (i ? " " : "") + std::to_string(d.dims[i]);
      text += "]";
    }
    return text;
  }

  // What this stage can place: regions whose size it knows and the scratch of its steps.
  bool placeable(size_t i) const {
    if (i < p_.regions.size()) return in_arena(i) && p_.regions[i].stage == b_->stage;
    const auto s = static_cast<int32_t>(i - p_.regions.size());
    return s >= p_.stage_begin(b_->stage) && s < p_.stage_ends[at(b_->stage)];
  }

  // The output in which a region or the scratch of a step may lie, or -1.
  int32_t reused_by(size_t i) const {
    return i < p_.regions.size() ? p_.regions[i].reuses : p_.steps[i - p_.regions.size()].reuses;
  }

  // Bytes that a rect takes in an output, which starts anywhere, while scratch does not.
  int64_t room_in_output(size_t i) const {
    const int64_t bytes = b_->rects[i].bytes;
    return i < p_.regions.size() || bytes == 0 ? bytes : bytes + ARN_ALIGN;
  }

  // What lies in an output until it is written, each at the lowest offset where it fits among those before it.
  void place_guests() {
    for (const int32_t i : p_.placement) {
      const int32_t output = reused_by(at(i));
      if (output < 0 || !placeable(at(i)) || p_.buffers[at(output)].stage > b_->stage) continue;
      std::vector<Rect> rects(b_->rects.size());
      const auto take = [this, &rects](size_t k) {
        rects[k] = b_->rects[k];
        rects[k].bytes = room_in_output(k);
      };
      for (size_t k = 0; k < rects.size(); ++k)
        if (b_->in_output[k] && reused_by(k) == output) take(k);
      take(at(i));
      first_fit(&rects, {i});
      if (rects[at(i)].offset + rects[at(i)].bytes > b_->buffer_bytes[at(output)]) continue;
      b_->in_output[at(i)] = true;
      b_->rects[at(i)].offset = rects[at(i)].offset;
    }
  }

  void place() {
    place_guests();
    std::vector<int32_t> planned, by_size;
    for (const int32_t i : p_.placement)
      if (placeable(at(i))) planned.push_back(i);
    for (size_t i = 0; i < b_->rects.size(); ++i)
      if (placeable(i)) by_size.push_back(static_cast<int32_t>(i));
    std::stable_sort(by_size.begin(), by_size.end(),
                     [this](int32_t x, int32_t y) { return b_->rects[at(x)].bytes > b_->rects[at(y)].bytes; });
    std::vector<Rect> rects = arena_rects();
    std::vector<Rect> other = rects;
    int64_t end = first_fit(&rects, by_size);
    if (!planned.empty()) {
      std::vector<bool> listed(b_->rects.size(), false);
      for (const int32_t i : planned) listed[at(i)] = true;
      for (const int32_t i : by_size)
        if (!listed[at(i)]) planned.push_back(i);
      const int64_t alternative = first_fit(&other, planned);
      if (alternative <= end) {
        end = alternative;
        rects.swap(other);
      }
    }
    end = lower_top(planned.empty() ? by_size : planned, end, &rects);
    for (size_t i = 0; i < rects.size(); ++i)
      if (in_arena(i)) b_->rects[i].offset = rects[i].offset;
    b_->arena_bytes = std::max(b_->arena_bytes, end);
  }

  // Where a placement planned for other sizes misses the lower bound: what lies highest is placed first, again and
  // again. Returns the lowest end found, and leaves its offsets in `rects`.
  int64_t lower_top(std::vector<int32_t> order, int64_t end, std::vector<Rect>* rects) const {
    const int64_t bound = most_live(*rects);
    std::vector<Rect> tried = *rects;
    for (int left = kRetries; left > 0 && end > bound; --left) {
      const auto top = std::max_element(order.begin(), order.end(), [&tried](int32_t x, int32_t y) {
        return tried[at(x)].offset + tried[at(x)].bytes < tried[at(y)].offset + tried[at(y)].bytes;
      });
      if (top == order.end()) break;
      std::rotate(order.begin(), top, top + 1);
      tried = arena_rects();
      const int64_t reached = first_fit(&tried, order);
      if (reached >= end) continue;
      end = reached;
      *rects = tried;
    }
    return end;
  }

  bool in_arena(size_t i) const { return !b_->in_output[i] && (i >= p_.regions.size() || p_.regions[i].output < 0); }

  // Only arena blocks take part in packing.
  std::vector<Rect> arena_rects() const {
    std::vector<Rect> rects = b_->rects;
    for (size_t i = 0; i < rects.size(); ++i)
      if (!in_arena(i)) rects[i] = Rect{};
    return rects;
  }

  void resolve_scratch() {
    const int32_t begin = p_.stage_begin(b_->stage);
    for (size_t k = 0; k < b_->steps.size(); ++k) {
      BoundStep& bound = b_->steps[k];
      const Step& step = p_.steps[at(begin) + k];
      for (size_t i = 0; i < step.operands.size(); ++i)
        if (step.operands[i] >= 0 && !is_host(step.operands[i]))
          set_location(bound.first_location + static_cast<int32_t>(i), locate(step, i));
      const size_t rect = p_.regions.size() + at(begin) + k;
      const int64_t scratch = b_->rects[rect].offset;
      bound.scratch_base = b_->in_output[rect] ? output_base(step.reuses) : 0;
      bound.step_scratch = scratch;
      bound.thread_scratch = scratch + rounded(bound.head.step_scratch);
    }
  }

  // The base of an output buffer, as in Location.
  int32_t output_base(int32_t buffer) const {
    return 2 + static_cast<int32_t>(p_.inputs.size()) + p_.buffers[at(buffer)].index;
  }

  void set_location(int32_t index, const Location& location) {
    b_->locations[at(index)] = location;
    if (location.base >= 2) b_->moving.push_back(index);
  }

  Location locate(const Step& step, size_t i) const {
    if (i < step.packed_weights.size() && step.packed_weights[i])
      return {1, static_cast<int64_t>(reinterpret_cast<intptr_t>(step.packed_weights[i]->data))};
    const Place& v = p_.places[at(step.operands[i])];
    const Buffer& buffer = p_.buffers[at(v.buffer)];
    const int64_t bytes = value_of(v.offset) * element_bytes(v.dtype);
    switch (buffer.segment) {
      case Segment::kArena: {
        const int64_t offset = value_of(buffer.region_offset) + bytes;
        const int32_t output = p_.regions[at(buffer.region)].output;
        if (output >= 0) return {output_base(output), offset};
        const int64_t start = b_->rects[at(buffer.region)].offset;
        if (b_->in_output[at(buffer.region)])
          return {output_base(p_.regions[at(buffer.region)].reuses), start + offset};
        return {0, start + offset};
      }
      case Segment::kWeight:
        return {1, static_cast<int64_t>(reinterpret_cast<intptr_t>(buffer.data)) + bytes};
      case Segment::kInput:
        return {2 + buffer.index, bytes};
      default:
        return {output_base(v.buffer), bytes};
    }
  }

  const Program& p_;
  Binding* b_;
};

std::vector<int64_t> scratch_bytes(const Program& program, Binding* binding) {
  return Binder(program, binding).scratch_bytes();
}

void bind_stage(const Program& program, Binding* binding) { Binder(program, binding).run(); }

bool bind_stage_again(const Program& program, Binding* binding) { return Binder(program, binding).run_again(); }

}  // namespace arenaut
