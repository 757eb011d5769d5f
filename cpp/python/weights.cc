#include "python/weights.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "exec/pool.h"
#include "kernels/element.h"

namespace arenaut {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }

// Bytes copied between two looks at the pages they came from.
constexpr int64_t kChunk = int64_t{4} << 20;

int64_t rounded(int64_t n) { return (n + ARN_ALIGN - 1) / ARN_ALIGN * ARN_ALIGN; }

// The elements that an operand reaches, relative to its first: [low, high].
void reach(const arn_desc& d, int64_t* low, int64_t* high) {
  *low = *high = 0;
  for (int i = 0; i < d.rank; ++i) {
    if (d.dims[i] <= 0) continue;
    const int64_t end = (d.dims[i] - 1) * d.strides[i];
    *(end < 0 ? low : high) += end;
  }
}

// The whole pages inside [from, from + bytes).
void advise(const char* from, int64_t bytes, int advice) {
  static const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t begin = (reinterpret_cast<intptr_t>(from) + page - 1) / page * page;
  const int64_t end = (reinterpret_cast<intptr_t>(from) + bytes) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), at(end - begin), advice);
}

void populate(const char* from, int64_t bytes) {
#ifdef MADV_POPULATE_READ
  advise(from, bytes, MADV_POPULATE_READ);
#else
  advise(from, bytes, MADV_WILLNEED);
#endif
}

}  // namespace

std::shared_ptr<PackedWeight> PyWeights::request(const arn_row& row, const arn_bind_args& args, int32_t operand,
                                                 const std::string& params, int64_t weight, int64_t offset) {
  const int64_t bytes = row.pack_bytes(&args, operand);
  if (bytes <= 0) return nullptr;
  std::string key =
      std::string(row.name) + "/" + std::to_string(row.tier) + "/" + std::to_string(operand) + "/" + params;
  key.append(reinterpret_cast<const char*>(&weight), sizeof weight);
  key.append(reinterpret_cast<const char*>(&offset), sizeof offset);
  key.append(reinterpret_cast<const char*>(&args.operand[operand]), sizeof(arn_desc));
  std::shared_ptr<PackedWeight>& known = known_[key];
  if (known) return known;
  known = std::make_shared<PackedWeight>();
  known->bytes = bytes;
  Job job;
  job.row = &row;
  job.source = weight;
  job.n_in = args.n_in;
  job.n_out = args.n_out;
  job.operand = operand;
  job.descs.assign(args.operand, args.operand + args.n_in + args.n_out);
  job.constants.assign(args.constant, args.constant + args.n_in + args.n_out);
  job.params = params;
  if (args.tile != nullptr) job.tile = std::make_unique<arn_tile>(*args.tile);
  job.target = *args.target;
  job.weight = known;
  jobs_.push_back(std::move(job));
  return known;
}

py::list PyWeights::jobs() {
  if (!jobs_.empty() && jobs_.front().weight->data == nullptr) {  // one slab for all: no slack between, huge pages
    int64_t total = 0;
    for (const Job& job : jobs_) total += rounded(job.weight->bytes);
    const auto slab = std::make_shared<Slab>(total);
    int64_t used = 0;
    for (Job& job : jobs_) {
      job.weight->data = slab->data() + used;
      job.weight->slab = slab;
      used += rounded(job.weight->bytes);
    }
    packed_bytes_ += total;
  }
  // What a job needs beside its result, an aligned copy or the array it packs, is gone when it is done: the largest
  // come while little else is there.
  std::stable_sort(jobs_.begin(), jobs_.end(),
                   [](const Job& a, const Job& b) { return source_bytes(a) > source_bytes(b); });
  py::list out;
  for (const Job& job : jobs_) out.append(py::make_tuple(job.source, job.weight->bytes, job.row->family));
  return out;
}

struct PyWeights::Batch {
  const PyWeights* owner;
  int32_t first;
  std::vector<std::unique_ptr<Slab>> rooms;  // by thread: aligned copies
  std::atomic<bool> failed{false};

  static void piece(void* context, int32_t slot, int32_t piece) {
    auto* batch = static_cast<Batch*>(context);
    try {
      batch->owner->do_job(batch->owner->jobs_[at(batch->first + piece)], &batch->rooms[at(slot)]);
    } catch (const std::bad_alloc&) {
      batch->failed = true;
    }
  }
};

void PyWeights::pack(int32_t first, int32_t last, int32_t threads) {
  if (first < 0 || last > static_cast<int32_t>(jobs_.size())) throw std::out_of_range("no such weights");
  const py::gil_scoped_release nogil;
  PoolLease lease;
  const int32_t parts = lease.take(std::max(1, std::min(threads, last - first)));
  Batch batch{this, first, {}, {}};
  batch.rooms.resize(at(parts));
  for (; batch.first < last; batch.first += kMaxPieces)
    lease.run(Batch::piece, &batch, parts, std::min(last - batch.first, kMaxPieces), true);
  if (batch.failed) throw std::bad_alloc();
}

int64_t PyWeights::source_bytes(const Job& job) {
  const arn_desc& desc = job.descs[at(job.operand)];
  int64_t low = 0, high = 0;
  reach(desc, &low, &high);
  return (high - low + 1) * element_bytes(desc.dtype);
}

// Rows read whole elements: what a file holds at an odd place is packed from an aligned copy.
void PyWeights::do_job(const Job& job, std::unique_ptr<Slab>* room) const {
  const arn_desc& desc = job.descs[at(job.operand)];
  const int64_t element = element_bytes(desc.dtype);
  int64_t low = 0, high = 0;
  reach(desc, &low, &high);
  const char* from = static_cast<const char*>(job.constants[at(job.operand)]) + low * element;
  const int64_t bytes = (high - low + 1) * element;
  const bool from_file = mapped(from, bytes);
  std::vector<const void*> constants = job.constants;
  if (reinterpret_cast<intptr_t>(from) % element != 0) {
    if (!*room || (*room)->bytes() < bytes) {
      room->reset();
      *room = std::make_unique<Slab>(bytes);
    }
    for (int64_t done = 0; done < bytes; done += kChunk) {
      const int64_t n = std::min(kChunk, bytes - done);
      if (from_file) populate(from + done, n);
      std::memcpy((*room)->data() + done, from + done, at(n));
      if (from_file) advise(from + done, n, MADV_DONTNEED);
    }
    constants[at(job.operand)] = (*room)->data() - low * element;
  } else if (from_file) {
    populate(from, bytes);
  }
  arn_bind_args args{};
  args.n_in = job.n_in;
  args.n_out = job.n_out;
  args.operand = job.descs.data();
  args.constant = constants.data();
  args.params = job.params.empty() ? nullptr : job.params.data();
  args.tile = job.tile.get();
  args.target = &job.target;
  job.row->pack(&args, job.operand, job.weight->data);
  if (from_file) advise(from, bytes, MADV_DONTNEED);
}

bool PyWeights::mapped(const char* from, int64_t bytes) const {
  const auto address = static_cast<int64_t>(reinterpret_cast<intptr_t>(from));
  for (const auto& [begin, size] : maps_)
    if (address >= begin && address + bytes <= begin + size) return true;
  return false;
}

void PyWeights::finish(bool keep) {
  jobs_.clear();
  if (!keep) known_.clear();
}

void PyWeights::drop_maps() const {
  for (const auto& [begin, size] : maps_) {
    char* first = reinterpret_cast<char*>(begin);
    advise(first, size, MADV_DONTNEED);
  }
}

}  // namespace arenaut
