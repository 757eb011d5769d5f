#include "exec/audit.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "exec/registry.h"
#include "kernels/element.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

constexpr std::string_view kShortNames[] = {
    "",           "f32", "u8",  "i8",     "u16",    "i16",  "i32",  "i64",      "str",        "bool",
    "f16",        "f64", "u32", "u64",    "c64",    "c128", "bf16", "f8e4m3fn", "f8e4m3fnuz", "f8e5m2",
    "f8e5m2fnuz", "u4",  "i4",  "f4e2m1", "f8e8m0", "u2",   "i2",   "f6e2m3",   "f6e3m2"};
constexpr auto kDtypes = static_cast<int32_t>(std::size(kShortNames));

bool is_array_type(int32_t dtype) { return dtype > ARN_NONE && dtype < kDtypes && dtype != ARN_STRING; }

// Takes what stands before the next `mark` off the front of `text`.
std::string_view next_part(std::string_view* text, char mark) {
  const size_t end = std::min(text->find(mark), text->size());
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

bool matches(std::string_view pattern, int32_t dtype) {
  while (!pattern.empty()) {
    const std::string_view option = next_part(&pattern, '|');
    if (option == "any" || option == kShortNames[dtype]) return true;
    if (option.size() > 1 && option[0] == '*' && std::to_string(element_bytes(dtype)) == option.substr(1)) return true;
  }
  return false;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// may_be_empty: whether a pattern that repeats also stands for no operand.
bool side_accepts(std::string_view side, const int32_t* dtypes, size_t count, bool may_be_empty) {
  size_t i = 0;
  std::string_view last;
  bool repeated = false;
  while (!side.empty()) {
    std::string_view pattern = next_part(&side, ',');
    repeated = ends_with(pattern, "...");
    if (repeated) pattern.remove_suffix(3);
    const bool optional = ends_with(pattern, "?") || (repeated && may_be_empty);
    if (ends_with(pattern, "?")) pattern.remove_suffix(1);
    const int32_t dtype = i < count ? dtypes[i] : ARN_NONE;
    if (dtype == ARN_NONE ? !optional : !matches(pattern, dtype)) return false;
    last = pattern;
    ++i;
  }
  if (i < count && !repeated) return false;
  for (; i < count; ++i)
    if (dtypes[i] != ARN_NONE && !matches(last, dtypes[i])) return false;
  return true;
}

class Auditor {
 public:
  explicit Auditor(const Program& p) : p_(p) {}

  void run() {
    check_target();
    check_symbols();
    check_buffers();
    check_regions();
    check_interface();
    first_use_.assign(p_.buffers.size(), static_cast<int32_t>(p_.steps.size()));
    int32_t stage = 0;
    for (size_t s = 0; s < p_.steps.size(); ++s) {
      while (static_cast<int32_t>(s) >= p_.stage_ends[at(stage)]) ++stage;
      check_step(static_cast<int32_t>(s), stage);
    }
    check_guests();
  }

 private:
  const Buffer& buffer_of(int32_t value) const { return p_.buffers[at(p_.places[at(value)].buffer)]; }

  void check_target() const {
    const arn_target& here = cpu().target;
    require(p_.target.tier >= 0 && p_.target.tier <= here.tier && (p_.target.features & ~here.features) == 0,
            "a program for a processor with more instructions");
    require(p_.threads >= 1, "a program for no thread");
  }

  void check_symbols() const {
    for (const int32_t stage : p_.symbol_stage) require(stage >= 0 && stage < p_.stages(), "bad stage of a symbol");
    int32_t before = 0;
    for (const int32_t end : p_.stage_ends) {
      require(end >= before, "stages out of order");
      before = end;
    }
  }

  void check_buffers() const {
    for (const Buffer& b : p_.buffers) {
      switch (b.segment) {
        case Segment::kHost:
          require(b.index >= 0 && b.index < p_.slots, "a buffer names no slot");
          continue;
        case Segment::kWeight: {
          const Expr& bytes = p_.exprs[at(b.bytes)];
          require(b.region < 0 && bytes.op == ExprOp::kConst && bytes.a >= 0, "bad weight");
          require(b.data == nullptr || b.held >= bytes.a, "a weight is shorter than its buffer");
          continue;
        }
        case Segment::kInput:
          require(b.region < 0 && b.index >= 0 && at(b.index) < p_.inputs.size(), "a buffer names no input");
          require(&buffer_of(p_.inputs[at(b.index)].place) == &b, "a buffer of another input");
          continue;
        case Segment::kOutput:
          require(b.index >= 0 && at(b.index) < p_.outputs.size(), "a buffer names no output");
          require(&buffer_of(p_.outputs[at(b.index)]) == &b, "a buffer of another output");
          continue;
        case Segment::kArena:
          continue;
      }
      throw std::invalid_argument("a buffer in no segment");
    }
    for (const Place& v : p_.places)
      require(p_.buffers[at(v.buffer)].segment == Segment::kHost ? v.dtype >= 0 && v.dtype < kDtypes
                                                                 : is_array_type(v.dtype),
              "a value of no type");
  }

  // Binding packs regions by when they live.
  void check_regions() const {
    const auto steps = static_cast<int32_t>(p_.steps.size());
    for (const Region& r : p_.regions)
      require(r.first >= 0 && r.first <= r.last && r.last < std::max(1, steps), "a region lives at no step");
  }

  void check_interface() const {
    for (size_t i = 0; i < p_.inputs.size(); ++i) {
      const Buffer& b = buffer_of(p_.inputs[i].place);
      require(p_.inputs[i].host == (b.segment == Segment::kHost), "an input in the wrong segment");
      require(p_.inputs[i].host || (b.segment == Segment::kInput && at(b.index) == i), "bad input");
      const int32_t whole = p_.inputs[i].whole;
      require(whole < 0 || (!p_.inputs[i].host && &buffer_of(whole) == &b), "an input is part of another buffer");
    }
    for (size_t i = 0; i < p_.outputs.size(); ++i) {
      const Buffer& b = buffer_of(p_.outputs[i]);
      require(b.segment == Segment::kHost || (b.segment == Segment::kOutput && at(b.index) == i), "bad output");
    }
  }

  void check_step(int32_t s, int32_t stage) {
    const Step& step = p_.steps[at(s)];
    for (size_t i = 0; i < step.operands.size(); ++i)
      if (step.operands[i] >= 0 && buffer_of(step.operands[i]).segment != Segment::kHost)
        check_operand(s, stage, step, i);
    for (const Patch& patch : step.patches) {
      require(patch.expr >= 0 && at(patch.expr) < p_.exprs.size(), "a parameter is no expression");
      require(p_.stage_of(patch.expr) <= stage, "a parameter is known later than its step");
    }
    if (step.kind == StepKind::kKernel)
      check_kernel(step);
    else
      check_other(step);
  }

  void check_operand(int32_t s, int32_t stage, const Step& step, size_t i) {
    const Place& v = p_.places[at(step.operands[i])];
    const Buffer& b = p_.buffers[at(v.buffer)];
    bool known = p_.stage_of(v.offset) <= stage && b.stage <= stage;
    for (size_t k = 0; k < v.dims.size(); ++k)
      known = known && p_.stage_of(v.dims[k]) <= stage && p_.stage_of(v.strides[k]) <= stage;
    require(known, "an operand is known later than its step");
    int32_t& first = first_use_[at(v.buffer)];
    first = std::min(first, s);
    const bool written = i >= at(step.n_in);
    const bool lasting = b.segment == Segment::kInput && p_.inputs[at(b.index)].whole >= 0;
    require(!written || lasting || b.segment == Segment::kArena || b.segment == Segment::kOutput,
            "a step writes what is given");
    const bool is_packed = i < step.packed_weights.size() && step.packed_weights[i] != nullptr;
    require(is_packed == ((step.packed >> i & 1) != 0), "a packed operand without its weight");
    if (b.segment == Segment::kWeight) require(is_packed || b.data != nullptr, "an operand without its weight");
    if (is_packed) require(b.segment == Segment::kWeight, "a packed operand is no weight");
    if (b.segment != Segment::kArena) return;
    const Region& r = p_.regions[at(b.region)];
    require(r.stage <= stage && p_.stage_of(b.region_offset) <= stage, "a region is known later than a step");
    require(r.output >= 0 || (r.first <= s && s <= r.last), "a region is used outside its life");
    if (r.output < 0) return;
    int32_t& output = first_use_[at(r.output)];
    output = std::min(output, s);
  }

  // What lies in an output must be gone before that output is used.
  void check_guests() const {
    for (const Region& r : p_.regions)
      if (r.reuses >= 0)
        require(r.output < 0 && r.last < first_use_[at(r.reuses)], "a region outlives its place in an output");
    for (size_t s = 0; s < p_.steps.size(); ++s)
      if (p_.steps[s].reuses >= 0)
        require(static_cast<int32_t>(s) < first_use_[at(p_.steps[s].reuses)],
                "scratch outlives its place in an output");
  }

  void check_kernel(const Step& step) const {
    const arn_row& row = rows()[at(step.row)];
    require(row.tier <= p_.target.tier && (row.features & ~p_.target.features) == 0, "a row that does not run here");
    std::vector<int32_t> dtypes;
    for (const int32_t v : step.operands) {
      require(v < 0 || buffer_of(v).segment != Segment::kHost, "a kernel's operand is a Python object");
      dtypes.push_back(v < 0 ? ARN_NONE : p_.places[at(v)].dtype);
    }
    require(accepts(row, dtypes, step.n_in), "operands of other types than the row takes");
    require(step.sets.empty() && step.bodies.empty(), "a kernel with bodies");
    require(step.tile == nullptr || (row.flags & ARN_ROW_TILE) != 0, "a row takes no tile program");
    check_params(row, step);
    if (step.tile) check_tile(*step.tile, step);
  }

  static void check_params(const arn_row& row, const Step& step) {
    const arn_params_table* table = nullptr;
    for (const arn_params_table& t : params_tables())
      if (std::strcmp(t.family, row.family) == 0) table = &t;
    require(step.params.size() == (table == nullptr ? 0 : at(table->bytes)), "parameters of another family");
    require(table != nullptr || step.patches.empty(), "a parameter outside its struct");
    for (const Patch& patch : step.patches) {
      bool found = false;
      for (int32_t i = 0; i < table->n_fields; ++i) {
        const arn_field& f = table->fields[i];
        found = found || (patch.offset >= f.offset && patch.offset < f.offset + 8 * f.count &&
                          (patch.offset - f.offset) % 8 == 0 && patch.is_float == (f.is_float != 0));
      }
      require(found, "a parameter outside its struct");
    }
  }

  // The registers that instructions name; the driver checks their types at every binding.
  static void check_tile(const arn_tile& t, const Step& step) {
    const auto functions = static_cast<int32_t>(tile_functions().size());
    require(t.n_in >= 0 && t.n_imm >= 0 && t.n_regs >= 0 && t.n_instr >= 0 && t.n_out >= 0 && t.first_operand >= 0,
            "bad tile program");
    require(t.n_regs <= ARN_TILE_MAX_REGS && t.n_in <= t.n_regs && t.n_imm <= t.n_regs - t.n_in &&
                t.n_instr <= ARN_TILE_MAX_INSTR && at(t.n_out) <= step.operands.size() - at(step.n_in) &&
                t.first_operand <= step.n_in,
            "a tile program over its limits");
    for (int32_t i = 0; i < t.n_regs; ++i) require(is_array_type(t.reg_dtype[i]), "a tile register of no type");
    for (int32_t i = 0; i < t.n_instr; ++i) {
      const arn_tile_instr& c = t.instr[i];
      require(c.fn < functions && std::max({c.dst, c.a, c.b, c.c}) < t.n_regs, "a tile instruction without register");
    }
    for (int32_t i = 0; i < t.n_out; ++i) require(t.out_reg[i] < t.n_regs, "a tile output without register");
  }

  void check_other(const Step& step) const {
    require(step.packed == 0 && !step.tile && step.patches.empty(), "a step without kernel has a kernel's parts");
    const size_t n_in = at(step.n_in), n_out = step.operands.size() - n_in;
    const auto symbols = static_cast<int32_t>(p_.symbol_stage.size());
    for (const auto& set : step.sets) {
      require(set[0] >= 0 && set[1] >= 0 && set[2] >= 0 && set[2] < symbols, "a step sets no symbol");
      const size_t operand = at(set[0]) + (step.kind == StepKind::kSymbols ? 0 : n_in);
      require(operand < step.operands.size() && step.operands[operand] >= 0, "a symbol is read from no operand");
      const Place& v = p_.places[at(step.operands[operand])];
      if (step.kind == StepKind::kSymbols)
        require(v.dtype == ARN_I32 || v.dtype == ARN_I64, "a symbol is read from no integer");
      else
        require(buffer_of(step.operands[operand]).segment == Segment::kHost, "a symbol is the size of no result");
    }
    const size_t bodies = step.kind == StepKind::kIf                                     ? 2
                          : step.kind == StepKind::kLoop || step.kind == StepKind::kScan ? 1
                                                                                         : 0;
    require(step.bodies.size() == bodies, "a step with another number of bodies");
    require(step.counts[0] >= 0 && step.counts[1] >= 0, "negative counts of a step");
    const size_t carried = at(step.counts[0]), scanned = at(step.counts[1]);
    switch (step.kind) {
      case StepKind::kFetch:
        require(n_in == 1 && n_out == 1 && step.operands[0] >= 0 && step.operands[1] >= 0 &&
                    buffer_of(step.operands[0]).segment == Segment::kHost &&
                    buffer_of(step.operands[1]).segment != Segment::kHost,
                "bad fetch");
        return;
      case StepKind::kIf:
        require(n_in >= 1 && step.operands[0] >= 0, "an If without a condition");
        for (const auto& body : step.bodies) require(body->inputs.size() == n_in - 1, "a branch with other inputs");
        return;
      case StepKind::kLoop:
        require(n_in >= 2 + carried && scanned == 0, "a Loop with too few operands");
        require(step.bodies[0]->inputs.size() == n_in && step.bodies[0]->outputs.size() > carried,
                "a Loop's body with other inputs or outputs");
        return;
      case StepKind::kScan:
        require(n_in >= carried + scanned && scanned > 0, "a Scan with too few operands");
        for (size_t i = carried; i < carried + scanned; ++i) require(step.operands[i] >= 0, "a Scan of nothing");
        require(step.bodies[0]->inputs.size() == n_in && step.bodies[0]->outputs.size() >= carried,
                "a Scan's body with other inputs or outputs");
        return;
      default:
        return;
    }
  }

  const Program& p_;
  std::vector<int32_t> first_use_;  // per buffer: of itself or of what lies in it for good
};

}  // namespace

bool accepts(const arn_row& row, const std::vector<int32_t>& dtypes, int32_t n_in) {
  const std::string_view signature(row.signature);
  const size_t middle = std::min(signature.find('>'), signature.size());
  const std::string_view outputs = signature.substr(std::min(middle + 1, signature.size()));
  return side_accepts(signature.substr(0, middle), dtypes.data(), at(n_in), true) &&
         side_accepts(outputs, dtypes.data() + n_in, dtypes.size() - at(n_in), false);  // kernels read the first
}

void audit(const Program& p) { Auditor(p).run(); }

}  // namespace arenaut
