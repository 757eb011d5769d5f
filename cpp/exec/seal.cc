// A program is complete: what it says of itself is checked, and every expression gets the stage that knows it.
#include <algorithm>
#include <stdexcept>

#include "exec/audit.h"
#include "exec/program.h"
#include "exec/registry.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

}  // namespace

void Program::seal() {
  expr_stage_.assign(exprs.size(), 0);
  const auto n_symbols = static_cast<int64_t>(symbol_stage.size());
  for (size_t i = 0; i < exprs.size(); ++i) {
    const Expr& e = exprs[i];
    const auto earlier = [i](int64_t j) { return j >= 0 && j < static_cast<int64_t>(i); };
    if (e.op == ExprOp::kConst) continue;
    if (e.op == ExprOp::kSymbol) {
      require(e.a >= 0 && e.a < n_symbols, "expression names no symbol");
      expr_stage_[i] = symbol_stage[at(e.a)];
      continue;
    }
    require(earlier(e.a) && earlier(e.b), "expression uses a later one");
    expr_stage_[i] = std::max(expr_stage_[at(e.a)], expr_stage_[at(e.b)]);
    if (e.op == ExprOp::kSelect) {
      require(earlier(e.c), "expression uses a later one");
      expr_stage_[i] = std::max(expr_stage_[i], expr_stage_[at(e.c)]);
    }
  }
  const auto is_expr = [this](int32_t e) { return e >= 0 && e < static_cast<int32_t>(exprs.size()); };
  for (Check& c : checks) {
    require(is_expr(c.condition), "a check without a condition");
    c.stage = expr_stage_[at(c.condition)];
    for (const int32_t value : c.values) {
      require(is_expr(value), "a check shows no expression");
      c.stage = std::max(c.stage, expr_stage_[at(value)]);
    }
  }
  for (Buffer& b : buffers) {
    if (b.segment == Segment::kHost) continue;
    require(is_expr(b.bytes), "buffer without a size");
    b.stage = expr_stage_[at(b.bytes)];
    if (b.region >= 0) require(at(b.region) < regions.size() && is_expr(b.region_offset), "bad region of a buffer");
  }
  const auto is_output = [this](int32_t b) {
    return b < static_cast<int32_t>(buffers.size()) && (b < 0 || buffers[at(b)].segment == Segment::kOutput);
  };
  for (Region& r : regions) {
    require(is_expr(r.bytes) && is_output(r.output) && is_output(r.reuses), "bad region");
    r.stage = expr_stage_[at(r.bytes)];
    if (r.output >= 0) r.stage = std::max(r.stage, buffers[at(r.output)].stage);
  }
  for (const Place& v : places) {
    require(v.buffer >= 0 && v.buffer < static_cast<int32_t>(buffers.size()), "place without a buffer");
    require(std::all_of(v.dims.begin(), v.dims.end(), is_expr), "bad dims of a place");  // inputs on the host have some
    if (buffers[at(v.buffer)].segment == Segment::kHost) continue;
    require(v.dims.size() == v.strides.size() && v.dims.size() <= ARN_MAX_RANK && is_expr(v.offset), "bad place");
    require(std::all_of(v.strides.begin(), v.strides.end(), is_expr), "bad strides of a place");
  }
  require(!stage_ends.empty() && stage_ends.back() == static_cast<int32_t>(steps.size()), "bad stages");
  for (const Step& s : steps) {
    require(s.operands.size() <= ARN_MAX_OPERANDS || s.kind != StepKind::kKernel, "too many operands");
    require(s.n_in >= 0 && at(s.n_in) <= s.operands.size(), "bad operand counts");
    for (const int32_t v : s.operands) {
      require(v >= -1 && v < static_cast<int32_t>(places.size()), "bad operand");
      const Buffer* b = v < 0 ? nullptr : &buffers[at(places[at(v)].buffer)];
      require(b == nullptr || b->segment != Segment::kArena || b->region >= 0, "a used buffer without a region");
    }
    require(is_output(s.reuses), "scratch lies in no output");
    require(s.kind != StepKind::kKernel || (s.row >= 0 && at(s.row) < rows().size()), "step names no row");
  }
  for (const int32_t i : placement)
    require(i >= 0 && at(i) < regions.size() + steps.size(), "placement names no region");
  for (const Input& input : inputs) {
    require(input.place >= 0 && at(input.place) < places.size(), "an input names no place");
    require(input.whole >= -1 && input.whole < static_cast<int32_t>(places.size()), "an input is part of no place");
  }
  for (const int32_t output : outputs) require(output >= 0 && at(output) < places.size(), "an output names no place");
  audit(*this);
  list_reads();
}

void Program::list_reads() {
  std::vector<bool> varies(exprs.size(), false);
  for (size_t i = 0; i < exprs.size(); ++i) {
    const Expr& e = exprs[i];
    if (e.op == ExprOp::kConst) continue;
    varies[i] =
        e.op == ExprOp::kSymbol || varies[at(e.a)] || varies[at(e.b)] || (e.op == ExprOp::kSelect && varies[at(e.c)]);
  }
  reads_.clear();
  starts_.assign(1, 0);
  for (const Step& step : steps) {
    const size_t start = reads_.size();
    const auto read = [&](int32_t expr) {
      if (varies[at(expr)] &&
          std::find(reads_.begin() + static_cast<std::ptrdiff_t>(start), reads_.end(), expr) == reads_.end())
        reads_.push_back(expr);
    };
    for (const int32_t operand : step.operands) {
      if (operand < 0) continue;
      const Place& v = places[at(operand)];
      const Buffer& b = buffers[at(v.buffer)];
      if (b.segment == Segment::kHost) continue;
      for (const int32_t e : v.dims) read(e);
      for (const int32_t e : v.strides) read(e);
      read(v.offset);
      read(b.bytes);
      if (b.region >= 0) read(b.region_offset);
    }
    for (const Patch& patch : step.patches) read(patch.expr);
    starts_.push_back(static_cast<int32_t>(reads_.size()));
  }
}

}  // namespace arenaut
