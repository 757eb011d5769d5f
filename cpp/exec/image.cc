#include "exec/image.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "exec/packing.h"
#include "exec/registry.h"

namespace arenaut {
namespace {

constexpr int kDeepest = 64;  // bodies within bodies

size_t at(int64_t i) { return static_cast<size_t>(i); }

[[noreturn]] void damaged(const char* what) { throw std::invalid_argument(what); }

class Writer {
 public:
  explicit Writer(WeightBlock* weights) : weights_(weights) {}

  std::string finish(const Program& p) {
    program(p);
    Writer head(nullptr);
    head.number(static_cast<int64_t>(rows_.size()));
    for (const int32_t row : rows_) {
      head.text(rows()[at(row)].name);
      head.number(rows()[at(row)].tier);
      head.number(rows()[at(row)].features);
    }
    return head.out_ + out_;
  }

 private:
  // Seven bits a byte, the lowest first; the sign in the lowest bit.
  void number(int64_t n) {
    uint64_t bits = (static_cast<uint64_t>(n) << 1) ^ (n < 0 ? ~uint64_t{0} : 0);
    for (; bits >= 128; bits >>= 7) out_.push_back(static_cast<char>(bits | 128));
    out_.push_back(static_cast<char>(bits));
  }
  void word(uint64_t bits) {
    for (int i = 0; i < 8; ++i) out_.push_back(static_cast<char>(bits >> (8 * i)));
  }
  void text(std::string_view s) {
    number(static_cast<int64_t>(s.size()));
    out_.append(s);
  }
  template <typename List>
  void numbers(const List& list) {
    number(static_cast<int64_t>(list.size()));
    for (const auto n : list) number(n);
  }

  void program(const Program& p) {
    for (const int64_t n : {int64_t{p.target.tier}, int64_t{p.target.features}, p.target.l1d_bytes, p.target.l2_bytes,
                            p.target.l3_bytes, int64_t{p.threads}, int64_t{p.slots}})
      number(n);
    number(static_cast<int64_t>(p.exprs.size()));
    for (const Expr& e : p.exprs) number(static_cast<int64_t>(e.op)), number(e.a), number(e.b), number(e.c);
    numbers(p.symbol_stage);
    number(static_cast<int64_t>(p.buffers.size()));
    for (const Buffer& b : p.buffers) buffer(p, b);
    number(static_cast<int64_t>(p.regions.size()));
    for (const Region& r : p.regions)
      number(r.bytes), number(r.first), number(r.last), number(r.output), number(r.reuses);
    number(static_cast<int64_t>(p.checks.size()));
    for (const Check& c : p.checks) number(c.condition), numbers(c.values), text(c.text);
    number(static_cast<int64_t>(p.places.size()));
    for (const Place& v : p.places)
      number(v.buffer), number(v.dtype), number(v.offset), numbers(v.dims), numbers(v.strides);
    number(static_cast<int64_t>(p.steps.size()));
    for (const Step& s : p.steps) step(s);
    numbers(p.stage_ends);
    number(static_cast<int64_t>(p.inputs.size()));
    for (const Input& i : p.inputs) number(i.place), number(i.host ? 1 : 0), number(i.whole);
    numbers(p.outputs);
    numbers(p.placement);
  }

  void buffer(const Program& p, const Buffer& b) {
    number(static_cast<int64_t>(b.segment)), number(b.bytes), number(b.index);
    number(b.region), number(b.region_offset);
    if (b.segment != Segment::kWeight) return;
    number(b.data == nullptr ? -1 : weights_->place(b.data, p.exprs[at(b.bytes)].a));
  }

  void step(const Step& s) {
    number(static_cast<int64_t>(s.kind));
    number(s.kind == StepKind::kKernel ? row(s.row) : -1);
    number(s.n_in), numbers(s.operands);
    text(s.params);
    number(static_cast<int64_t>(s.patches.size()));
    for (const Patch& x : s.patches) number(x.offset), number(x.expr), number(x.is_float ? 1 : 0);
    number(s.tile ? 1 : 0);
    if (s.tile) tile(*s.tile);
    number(std::count_if(s.packed_weights.begin(), s.packed_weights.end(), [](const auto& w) { return w != nullptr; }));
    for (size_t i = 0; i < s.packed_weights.size(); ++i) {
      if (!s.packed_weights[i]) continue;
      const PackedWeight& w = *s.packed_weights[i];
      number(static_cast<int64_t>(i)), number(weights_->place(w.data, w.bytes)), number(w.bytes);
    }
    number(static_cast<int64_t>(s.sets.size()));
    for (const auto& set : s.sets)
      for (const int32_t n : set) number(n);
    number(s.counts[0]), number(s.counts[1]), number(s.reuses);
    number(static_cast<int64_t>(s.bodies.size()));
    for (const auto& body : s.bodies) program(*body);
  }

  void tile(const arn_tile& t) {
    for (const int32_t n : {t.n_instr, t.n_in, t.n_imm, t.n_regs, t.n_out, t.first_operand}) number(n);
    for (int32_t i = 0; i < t.n_regs; ++i) number(t.reg_dtype[i]);
    for (int32_t i = 0; i < t.n_out; ++i) number(t.out_reg[i]);
    for (int32_t i = 0; i < t.n_imm; ++i) word(t.imm[i]);
    for (int32_t i = 0; i < t.n_instr; ++i) {
      const arn_tile_instr& c = t.instr[i];
      number(c.fn), number(c.dst), number(c.a), number(c.b), number(c.c);
    }
  }

  int64_t row(int32_t index) {
    const auto found = std::find(rows_.begin(), rows_.end(), index);
    const int64_t number = found - rows_.begin();
    if (found == rows_.end()) rows_.push_back(index);
    return number;
  }

  WeightBlock* weights_;
  std::vector<int32_t> rows_;  // those in use, by their numbers in the image
  std::string out_;
};

class Reader {
 public:
  Reader(std::string_view image, std::string_view weights, int32_t threads)
      : left_(image), weights_(weights), threads_(threads) {}

  std::shared_ptr<Program> read() {
    for (size_t n = count(3); n > 0; --n) {
      const std::string_view name = text();
      const int32_t tier = small();
      const auto features = static_cast<uint32_t>(small());
      const auto& all = rows();
      const auto found = std::find_if(all.begin(), all.end(), [&](const arn_row& r) {
        return r.tier == tier && r.features == features && name == r.name;
      });
      if (found == all.end()) damaged("it names a kernel that this build does not have");
      rows_.push_back(static_cast<int32_t>(found - all.begin()));
    }
    auto p = program(0);
    if (!left_.empty()) damaged("it goes on after its end");
    return p;
  }

 private:
  int64_t number() {
    uint64_t bits = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (left_.empty()) damaged("it ends too early");
      const auto byte = static_cast<uint8_t>(left_.front());
      left_.remove_prefix(1);
      bits |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return static_cast<int64_t>(bits >> 1) ^ -static_cast<int64_t>(bits & 1);
    }
    damaged("a number without an end");
  }
  int32_t small() {
    const int64_t n = number();
    if (n < std::numeric_limits<int32_t>::min() || n > std::numeric_limits<int32_t>::max())
      damaged("a number too large");
    return static_cast<int32_t>(n);
  }
  // How many items of at least `each` bytes follow.
  size_t count(size_t each) {
    const int64_t n = number();
    if (n < 0 || at(n) > left_.size() / each) damaged("a list longer than the file");
    return at(n);
  }
  std::string_view text() {
    const size_t n = count(1);
    const std::string_view s = left_.substr(0, n);
    left_.remove_prefix(n);
    return s;
  }
  std::vector<int32_t> numbers() {
    std::vector<int32_t> list(count(1));
    for (int32_t& n : list) n = small();
    return list;
  }
  int32_t below(int64_t limit) {
    const int32_t n = small();
    if (n < 0 || n >= limit) damaged("a number out of range");
    return n;
  }

  std::shared_ptr<Program> program(int depth) {
    if (depth > kDeepest) damaged("bodies nest too deeply");
    auto made = std::make_shared<Program>();
    Program& p = *made;
    p.target.tier = small();
    p.target.features = static_cast<uint32_t>(small());
    p.target.l1d_bytes = number(), p.target.l2_bytes = number(), p.target.l3_bytes = number();
    if (std::min({p.target.l1d_bytes, p.target.l2_bytes, p.target.l3_bytes}) < 0) damaged("a cache of no size");
    p.threads = small();
    if (threads_ > 0) p.threads = threads_;
    p.slots = below(static_cast<int64_t>(left_.size()) + 1);
    p.exprs.resize(count(4));
    for (Expr& e : p.exprs) {
      e.op = static_cast<ExprOp>(below(static_cast<int64_t>(ExprOp::kSelect) + 1));
      e.a = number(), e.b = number(), e.c = number();
    }
    p.symbol_stage = numbers();
    p.buffers.resize(count(5));
    for (Buffer& b : p.buffers) buffer(p, &b);
    p.regions.resize(count(5));
    for (Region& r : p.regions) r = Region{small(), small(), small(), small(), small(), 0};
    p.checks.resize(count(3));
    for (Check& c : p.checks) c.condition = small(), c.values = numbers(), c.text = text();
    p.places.resize(count(5));
    for (Place& v : p.places)
      v.buffer = small(), v.dtype = small(), v.offset = small(), v.dims = numbers(), v.strides = numbers();
    p.steps.resize(count(12));
    for (Step& s : p.steps) step(&s, depth);
    p.stage_ends = numbers();
    p.inputs.resize(count(3));
    for (Input& i : p.inputs) i.place = small(), i.host = below(2) != 0, i.whole = small();
    p.outputs = numbers();
    p.placement = numbers();
    p.seal();
    check_packed(p);
    return made;
  }

  void buffer(const Program& p, Buffer* b) {
    b->segment = static_cast<Segment>(below(static_cast<int64_t>(Segment::kHost) + 1));
    b->bytes = small(), b->index = small(), b->region = small(), b->region_offset = small();
    if (b->segment != Segment::kWeight) return;
    const int64_t offset = number();
    if (b->bytes < 0 || at(b->bytes) >= p.exprs.size() || p.exprs[at(b->bytes)].op != ExprOp::kConst)
      damaged("a weight of no size");
    if (offset < 0) return;
    b->held = p.exprs[at(b->bytes)].a;
    b->data = weight(offset, b->held);
  }

  const char* weight(int64_t offset, int64_t bytes) const {
    const auto size = static_cast<int64_t>(weights_.size());
    if (offset < 0 || bytes < 0 || offset % ARN_ALIGN != 0 || offset > size || bytes > size - offset)
      damaged("a weight lies outside the weights");
    return weights_.data() + offset;
  }

  void step(Step* s, int depth) {
    s->kind = static_cast<StepKind>(below(static_cast<int64_t>(StepKind::kOpen) + 1));
    const int32_t row = small();
    if (s->kind == StepKind::kKernel) {
      if (row < 0 || at(row) >= rows_.size()) damaged("a step names no kernel");
      s->row = rows_[at(row)];
    }
    s->n_in = small(), s->operands = numbers();
    s->params = text();
    for (size_t n = count(3); n > 0; --n) {
      const Patch x{small(), small(), below(2) != 0};
      if (x.offset < 0 || at(x.offset) + 8 > s->params.size()) damaged("a parameter outside its struct");
      s->patches.push_back(x);
    }
    if (below(2) != 0) tile(s);
    const size_t packed = count(3);
    if (packed > 0) s->packed_weights.resize(s->operands.size());
    for (size_t n = 0; n < packed; ++n) {
      const int32_t operand = below(std::min<int64_t>(32, static_cast<int64_t>(s->operands.size())));
      auto w = std::make_shared<PackedWeight>();
      const int64_t offset = number();
      w->bytes = number();
      w->data = const_cast<char*>(weight(offset, w->bytes));  // of constants: nobody writes them
      s->packed_weights[at(operand)] = std::move(w);
      s->packed |= uint32_t{1} << operand;
    }
    s->sets.resize(count(3));
    for (auto& set : s->sets) set = {small(), small(), small()};
    s->counts = {small(), small()};
    s->reuses = small();
    for (size_t n = count(1); n > 0; --n) s->bodies.push_back(program(depth + 1));
  }

  void tile(Step* s) {
    s->tile = std::make_unique<arn_tile>();
    arn_tile& t = *s->tile;
    t.n_instr = below(ARN_TILE_MAX_INSTR + 1), t.n_in = below(ARN_TILE_MAX_REGS + 1);
    t.n_imm = below(ARN_TILE_MAX_REGS + 1), t.n_regs = below(ARN_TILE_MAX_REGS + 1);
    t.n_out = below(ARN_MAX_OPERANDS + 1), t.first_operand = below(ARN_MAX_OPERANDS + 1);
    for (int32_t i = 0; i < t.n_regs; ++i) t.reg_dtype[i] = static_cast<uint8_t>(below(256));
    for (int32_t i = 0; i < t.n_out; ++i) t.out_reg[i] = static_cast<uint8_t>(below(256));
    for (int32_t i = 0; i < t.n_imm; ++i) t.imm[i] = word();
    for (int32_t i = 0; i < t.n_instr; ++i) {
      arn_tile_instr& c = t.instr[i];
      c.fn = static_cast<uint16_t>(below(1 << 16)), c.dst = static_cast<uint8_t>(below(256));
      c.a = static_cast<uint8_t>(below(256)), c.b = static_cast<uint8_t>(below(256));
      c.c = static_cast<uint8_t>(below(256));
    }
  }

  uint64_t word() {
    if (left_.size() < 8) damaged("it ends too early");
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= static_cast<uint64_t>(static_cast<uint8_t>(left_[at(i)])) << (8 * i);
    left_.remove_prefix(8);
    return bits;
  }

  std::string_view left_, weights_;
  int32_t threads_;
  std::vector<int32_t> rows_;
};

}  // namespace

int64_t WeightBlock::place(const void* data, int64_t bytes) {
  const auto [found, fresh] = known_.try_emplace({data, bytes}, bytes_);
  if (!fresh) return found->second;
  items_.push_back({static_cast<const char*>(data), bytes, bytes_});
  bytes_ += (bytes + ARN_ALIGN - 1) / ARN_ALIGN * ARN_ALIGN;
  return found->second;
}

std::string write_image(const Program& program, WeightBlock* weights) { return Writer(weights).finish(program); }

std::shared_ptr<Program> read_image(std::string_view image, std::string_view weights, int32_t threads) {
  if (!weights.empty() && reinterpret_cast<intptr_t>(weights.data()) % ARN_ALIGN != 0)
    damaged("the weights are not aligned");
  return Reader(image, weights, threads).read();
}

uint64_t build_fingerprint() {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  for (const arn_row& r : rows())
    for (const std::string_view text : {std::string_view(r.name), std::string_view(r.family),
                                        std::string_view(r.signature), std::string_view(r.access)})
      add(text);
  for (const arn_params_table& t : params_tables()) {
    add(t.family);
    for (int32_t i = 0; i < t.n_fields; ++i)
      add(std::string(t.fields[i].name) + "@" + std::to_string(t.fields[i].offset) + "*" +
          std::to_string(t.fields[i].count));
  }
  for (const TileFunction& f : tile_functions()) add(f.name);
  return hash;
}

}  // namespace arenaut
