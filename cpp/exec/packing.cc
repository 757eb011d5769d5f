#include "exec/packing.h"

#include <algorithm>
#include <stdexcept>

#include "exec/checks.h"
#include "exec/registry.h"
#include "kernels/element.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

// Whether rows may count with its dims: products of those, rounded up to panels, stay far from overflow. An empty
// weight's other dims count too, since partial products leave out the dim that is 0.
bool is_countable(const arn_desc& d) {
  int64_t elements = 1;
  for (int i = 0; i < d.rank; ++i) {
    if (d.dims[i] < 0 || d.dims[i] > ARN_MAX_BYTES / elements) return false;
    elements *= std::max<int64_t>(1, d.dims[i]);
  }
  return true;
}

}  // namespace

std::vector<int64_t> constant_values(const Program& p) {
  std::vector<int64_t> values(p.exprs.size(), -1);
  std::vector<bool> known(p.exprs.size(), false);
  for (size_t i = 0; i < p.exprs.size(); ++i) {
    const Expr& e = p.exprs[i];
    if (e.op == ExprOp::kSymbol) continue;
    const bool binary = e.op != ExprOp::kConst;
    if (binary && !(known[at(e.a)] && known[at(e.b)] && (e.op != ExprOp::kSelect || known[at(e.c)]))) continue;
    known[i] = evaluate(e, values.data(), nullptr, &values[i]);
    if (!known[i]) values[i] = -1;
  }
  return values;
}

PackView::PackView(const Program& p, const Step& step, const std::vector<int64_t>& known)
    : descs(step.operands.size(), arn_desc{}), constants(step.operands.size(), nullptr) {
  for (size_t i = 0; i < step.operands.size(); ++i) {
    if (step.operands[i] < 0) continue;
    const Place& v = p.places[at(step.operands[i])];
    const Buffer& b = p.buffers[at(v.buffer)];
    if (b.segment == Segment::kHost) continue;
    descs[i].dtype = v.dtype;
    descs[i].rank = static_cast<int32_t>(v.dims.size());
    for (size_t k = 0; k < v.dims.size(); ++k) {
      descs[i].dims[k] = known[at(v.dims[k])];
      descs[i].strides[k] = known[at(v.strides[k])];
    }
    const int64_t offset = known[at(v.offset)];
    if (b.segment == Segment::kWeight && b.data != nullptr && -ARN_MAX_BYTES <= offset && offset <= ARN_MAX_BYTES)
      constants[i] = static_cast<const char*>(b.data) + offset * element_bytes(v.dtype);
  }
  args.n_in = step.n_in;
  args.n_out = static_cast<int32_t>(descs.size()) - step.n_in;
  args.operand = descs.data();
  args.constant = constants.data();
  args.params = step.params.empty() ? nullptr : step.params.data();
  args.tile = step.tile.get();
  args.target = &p.target;
}

void check_packed(const Program& p) {
  const std::vector<int64_t> known = constant_values(p);
  for (const Step& step : p.steps) {
    if (step.packed == 0) continue;
    const arn_row& row = rows()[at(step.row)];
    if (row.pack_bytes == nullptr) throw std::invalid_argument("a row packs no weights");
    const PackView view(p, step, known);
    for (size_t i = 0; i < step.packed_weights.size(); ++i) {
      if (!step.packed_weights[i]) continue;
      const arn_desc& d = view.descs[i];
      if (!is_countable(d)) throw std::invalid_argument("a packed weight of no known or of an impossible size");
      if (step.packed_weights[i]->data == nullptr ||
          row.pack_bytes(&view.args, static_cast<int32_t>(i)) != step.packed_weights[i]->bytes)
        throw std::invalid_argument("a packed weight of another size than its row wants");
    }
  }
}

}  // namespace arenaut
