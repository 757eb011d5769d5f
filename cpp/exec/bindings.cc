// The bindings of a program: for which sizes there is one, and what becomes of those that nobody uses any more.
#include <algorithm>
#include <stdexcept>

#include "exec/binder.h"

namespace arenaut {
namespace {

// Bytes of the largest arena for each byte of bindings kept beside it.
constexpr int64_t kArenaPerCache = 128;

size_t at(int64_t i) { return static_cast<size_t>(i); }

void require(bool ok, const char* what) {
  if (!ok) throw std::invalid_argument(what);
}

// Nothing is known of any size yet.
void make_blank(const Program& p, Binding* b) {
  b->threads = p.threads;
  b->values.assign(p.exprs.size(), 0);
  b->buffer_bytes.assign(p.buffers.size(), 0);
  b->rects.assign(p.regions.size() + p.steps.size(), Rect{});
  b->in_output.assign(p.regions.size() + p.steps.size(), false);
}

}  // namespace

std::vector<int64_t> Program::measure(const std::vector<int64_t>& symbols) const {
  Binding b;
  make_blank(*this, &b);
  b.symbols = symbols;
  return scratch_bytes(*this, &b);
}

void Program::append_key(size_t i, const int64_t* dims, size_t rank, std::vector<int64_t>* key) const {
  if (inputs[i].host) key->push_back(static_cast<int64_t>(rank));
  key->insert(key->end(), dims, dims + rank);
}

int64_t Binding::footprint() const {
  const auto bytes = [](const auto& v) { return static_cast<int64_t>(v.capacity() * sizeof(v[0])); };
  const auto per_step = cost ? static_cast<int64_t>(sizeof(StepCost)) : 0;
  int64_t others = 0;
  for (const auto& bodies : controls)
    for (const BoundBody& body : bodies) others += body.binding ? body.binding->footprint() : 0;
  const std::lock_guard<std::mutex> lock(mutex);
  for (const auto& each : next) others += each.second->footprint();
  return others + static_cast<int64_t>(sizeof(Binding)) + bytes(symbols) + bytes(values) + bytes(buffer_bytes) +
         bytes(rects) + bytes(steps) + bytes(locations) + bytes(moving) + blobs.bytes() +
         per_step * static_cast<int64_t>(steps.size());
}

void Binding::reset() {
  stage = 0;
  symbols.clear(), values.clear(), buffer_bytes.clear(), rects.clear(), in_output.clear();
  steps.clear(), controls.clear(), locations.clear(), moving.clear(), next.clear();
  arena_bytes = output_bytes = 0;
  shareable = 0, timed = 0, fastest = -1;
}

std::shared_ptr<Binding> Program::bind_anew(const std::vector<int64_t>& key, std::shared_ptr<Binding> b) const {
  if (b)
    b->reset();
  else
    b = std::make_shared<Binding>();
  make_blank(*this, b.get());
  b->key = key;
  set_symbols(key, b.get());
  bind_stage(*this, b.get());
  check_key(key, *b);
  return b;
}

bool Program::bind_again(const std::vector<int64_t>& key, Binding* b) const {
  b->key = key;
  set_symbols(key, b);
  if (!bind_stage_again(*this, b)) return false;
  check_key(key, *b);
  return true;
}

template <typename Visit>
void Program::visit_key(const std::vector<int64_t>& key, const Visit& visit) const {
  size_t next = 0;
  const auto take = [&key, &next] {
    require(next < key.size(), "an input has the wrong rank");
    return key[next++];
  };
  for (const Input& input : inputs)
    for (const int32_t place : {input.place, input.whole}) {
      if (place < 0) continue;
      const Place& v = places[at(place)];
      const auto rank = static_cast<int64_t>(v.dims.size()), got = input.host ? take() : rank;
      for (int64_t k = 0; k < got; ++k) {
        const int64_t size = take();
        if (got == rank) visit(v.dims[at(k)], size);
      }
    }
  require(next == key.size(), "an input has the wrong rank");
}

void Program::set_symbols(const std::vector<int64_t>& key, Binding* b) const {
  constexpr int64_t kOpen = -1;
  b->symbols.assign(symbol_stage.size(), kOpen);
  visit_key(key, [this, b](int32_t expr, int64_t size) {
    require(size >= 0, "an input has a negative dim");
    const Expr& e = exprs[at(expr)];
    if (e.op == ExprOp::kSymbol && b->symbols[at(e.a)] == kOpen) b->symbols[at(e.a)] = size;
  });
  std::replace(b->symbols.begin(), b->symbols.end(), kOpen, int64_t{0});
}

void Program::check_key(const std::vector<int64_t>& key, const Binding& b) const {
  visit_key(key, [&b](int32_t expr, int64_t size) {
    require(b.values[at(expr)] == size, "input dims contradict the model's");
  });
}

std::shared_ptr<const Binding> Program::bind(const std::vector<int64_t>& key) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto it = cache_.begin(); it != cache_.end(); ++it)
    if ((*it)->key == key) {
      cache_.splice(cache_.begin(), cache_, it);
      return cache_.front();
    }
  const std::shared_ptr<Binding> b = bind_anew(key, std::move(spare_));
  cache_.push_front(b);
  int64_t others = -b->footprint(), largest = 0;
  for (const auto& each : cache_) {
    others += each->footprint();
    largest = std::max(largest, each->arena_bytes);
  }
  const int64_t most = cache_bytes + largest / kArenaPerCache;
  while (cache_.size() > 1 && (static_cast<int64_t>(cache_.size()) > cache_limit || others > most)) {
    others -= cache_.back()->footprint();
    // The next one takes over the memory of one that no run uses any more, or the heap would crumble.
    if (cache_.back().use_count() == 1) spare_ = std::move(cache_.back());
    cache_.pop_back();
  }
  return b;
}

std::shared_ptr<const Binding> Program::bind_next(const std::shared_ptr<const Binding>& before,
                                                  const std::vector<int64_t>& symbols) const {
  const std::lock_guard<std::mutex> lock(before->mutex);
  const auto found = before->next.find(symbols);
  if (found != before->next.end()) return found->second;
  std::shared_ptr<Binding> b;
  int64_t held = 0;
  for (const auto& each : before->next) held += each.second->footprint();
  while (!before->next.empty() &&
         (static_cast<int64_t>(before->next.size()) >= cache_limit || held > cache_bytes / 4)) {
    const auto first = before->next.begin();
    held -= first->second->footprint();
    if (first->second.use_count() == 1) b = std::move(first->second);
    before->next.erase(first);
  }
  if (b)
    b->reset();
  else
    b = std::make_shared<Binding>();
  b->stage = before->stage + 1;
  b->threads = before->threads;
  b->symbols = symbols;
  b->values = before->values;
  b->buffer_bytes = before->buffer_bytes;
  b->rects = before->rects;
  b->in_output = before->in_output;
  b->arena_bytes = before->arena_bytes;
  b->output_bytes = before->output_bytes;
  bind_stage(*this, b.get());
  before->next.emplace(symbols, b);
  return b;
}

}  // namespace arenaut
