// Runs one row on given memory: what the kernel tests and the kernel bench call.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "exec/pool.h"
#include "exec/registry.h"
#include "python/tile.h"

extern "C" {
double arn_peak_baseline(int64_t rounds, float* sink);
void arn_read_baseline(const float* from, int64_t floats, float* sink);
#ifdef ARN_HAS_X86_TIERS
double arn_peak_v3(int64_t rounds, float* sink);
void arn_read_v3(const float* from, int64_t floats, float* sink);
#endif
#if ARN_HAS_X86_TIERS >= 2
double arn_peak_v4(int64_t rounds, float* sink);
void arn_read_v4(const float* from, int64_t floats, float* sink);
#endif
#ifdef ARN_HAS_VNNI
double arn_peak_dots_v4_vnni(int64_t rounds, int32_t* sink);
#endif
#ifdef ARN_HAS_AVX_VNNI
double arn_peak_dots_v3_avx_vnni(int64_t rounds, int32_t* sink);
#endif
#ifdef ARN_HAS_AMX_INT8
double arn_peak_dots_v4_amx_int8(int64_t rounds, int32_t* sink);
#endif
#ifdef ARN_HAS_AMX_BF16
double arn_peak_dots_v4_amx_bf16(int64_t rounds, int32_t* sink);
#endif
}

namespace arenaut {
namespace {

// Time this thread has had a processor: other processes' turns do not count.
double seconds_now() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// What `pass` gives a second, called again and again for about so many seconds.
template <typename Pass>
double rate(const Pass& pass, double seconds) {
  const double from = seconds_now();
  double done = 0, taken = 0;
  while (taken < seconds) {
    done += pass();
    taken = seconds_now() - from;
  }
  return done / taken;
}

// The rate that a loop of this tier's multiply-adds reaches over about `seconds`, in floating point operations a
// second.
double peak_flops(int tier, double seconds) {
  if (tier < 0 || tier > cpu().target.tier) throw std::invalid_argument("this machine does not run that tier");
  auto* loop = arn_peak_baseline;
#ifdef ARN_HAS_X86_TIERS
  if (tier == ARN_TIER_V3) loop = arn_peak_v3;
#endif
#if ARN_HAS_X86_TIERS >= 2
  if (tier == ARN_TIER_V4) loop = arn_peak_v4;
#endif
  alignas(ARN_ALIGN) float sink[16];
  return rate([&] { return loop(10000, sink); }, seconds);
}

// The rate that a loop of this feature's dot products reaches over about `seconds`: two operations a product.
double peak_dots(uint32_t feature, double seconds) {
  double (*loop)(int64_t, int32_t*) = nullptr;
#ifdef ARN_HAS_VNNI
  if (feature == ARN_FEATURE_VNNI) loop = arn_peak_dots_v4_vnni;
#endif
#ifdef ARN_HAS_AVX_VNNI
  if (feature == ARN_FEATURE_AVX_VNNI) loop = arn_peak_dots_v3_avx_vnni;
#endif
#ifdef ARN_HAS_AMX_INT8
  if (feature == ARN_FEATURE_AMX_INT8) loop = arn_peak_dots_v4_amx_int8;
#endif
#ifdef ARN_HAS_AMX_BF16
  if (feature == ARN_FEATURE_AMX_BF16) loop = arn_peak_dots_v4_amx_bf16;
#endif
  if (loop == nullptr || (cpu().target.features & feature) == 0)
    throw std::invalid_argument("this machine has no such dot products");
  alignas(ARN_ALIGN) int32_t sink[16];
  return rate([&] { return loop(10000, sink); }, seconds);
}

struct Block {  // 64-byte aligned bytes
  explicit Block(int64_t bytes) {
    if (bytes > 0 && posix_memalign(&data, ARN_ALIGN, static_cast<size_t>((bytes + 63) / 64 * 64)) != 0)
      throw std::bad_alloc();
    if (data != nullptr) std::memset(data, 0xA5, static_cast<size_t>(bytes));
  }
  ~Block() { free(data); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  void* data = nullptr;
};

// The rate at which loads of this tier read a buffer of `bytes` again and again over about `seconds`, in bytes a
// second: that of the smallest cache that holds it, or of memory.
double read_bandwidth(int tier, int64_t bytes, double seconds) {
  if (tier < 0 || tier > cpu().target.tier) throw std::invalid_argument("this machine does not run that tier");
  if (bytes < 1) throw std::invalid_argument("nothing to read");
  auto* loop = arn_read_baseline;
#ifdef ARN_HAS_X86_TIERS
  if (tier == ARN_TIER_V3) loop = arn_read_v3;
#endif
#if ARN_HAS_X86_TIERS >= 2
  if (tier == ARN_TIER_V4) loop = arn_read_v4;
#endif
  constexpr int64_t kStep = 2048;  // bytes of 32 vectors of the widest tier
  const int64_t whole = (bytes + kStep - 1) / kStep * kStep;
  const Block block(whole);
  std::memset(block.data, 0, static_cast<size_t>(whole));
  const auto* from = static_cast<const float*>(block.data);
  alignas(ARN_ALIGN) float sink[16];
  loop(from, whole / 4, sink);
  const auto pass = [&] {
    double done = 0;
    for (int64_t part = 0; part < 1 << 20; part += whole) {
      loop(from, whole / 4, sink);
      done += static_cast<double>(whole);
    }
    return done;
  };
  return rate(pass, seconds);
}

// One operand: None, or (address, dtype, dims, strides in elements, is_constant).
struct Operand {
  arn_desc desc{};
  void* data = nullptr;
  bool constant = false;
};

Operand read_operand(const py::handle& h) {
  Operand o;
  if (h.is_none()) return o;
  const auto t = h.cast<std::tuple<uintptr_t, int32_t, std::vector<int64_t>, std::vector<int64_t>, bool>>();
  const auto& dims = std::get<2>(t);
  const auto& strides = std::get<3>(t);
  if (dims.size() > ARN_MAX_RANK || strides.size() != dims.size()) throw std::invalid_argument("bad operand rank");
  o.data = reinterpret_cast<void*>(std::get<0>(t));
  o.desc.dtype = std::get<1>(t);
  o.desc.rank = static_cast<int32_t>(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) {
    o.desc.dims[i] = dims[i];
    o.desc.strides[i] = strides[i];
  }
  o.constant = std::get<4>(t);
  return o;
}

struct Bound {
  alignas(ARN_ALIGN) char bytes[ARN_BOUND_MAX];
};

// Binds row `index` and runs its tasks in `parts` contiguous ranges (each with its own thread scratch), `repeat` times.
py::dict call_row(int index, const py::list& inputs, const py::list& outputs, const py::object& params,
                  const TileProgram* tile, const std::vector<int>& pack, int parts, int repeat, int64_t features) {
  const arn_row& row = rows().at(static_cast<size_t>(index));
  std::vector<Operand> operands;
  for (const auto& h : inputs) operands.push_back(read_operand(h));
  for (const auto& h : outputs) operands.push_back(read_operand(h));
  std::vector<arn_desc> descs;
  std::vector<const void*> constants;
  std::vector<void*> data;
  for (const Operand& o : operands) {
    descs.push_back(o.desc);
    constants.push_back(o.constant ? o.data : nullptr);
    data.push_back(o.data);
  }
  arn_target target = cpu().target;
  target.tier = row.tier;
  target.features &= static_cast<uint32_t>(features);
  const std::string blob = params.is_none() ? std::string() : params.cast<std::string>();
  arn_bind_args args{
      static_cast<int32_t>(inputs.size()),  static_cast<int32_t>(outputs.size()), descs.data(), constants.data(),
      blob.empty() ? nullptr : blob.data(), tile ? &tile->tile : nullptr,         &target,      0};
  std::vector<std::unique_ptr<Block>> packed;
  for (int i : pack) {
    const int64_t bytes = row.pack_bytes ? row.pack_bytes(&args, i) : 0;
    if (bytes <= 0) continue;
    packed.push_back(std::make_unique<Block>(bytes));
    row.pack(&args, i, packed.back()->data);
    data[static_cast<size_t>(i)] = packed.back()->data;
    args.packed |= 1u << i;
  }
  auto bound = std::make_unique<Bound>();
  arn_bound head{};
  py::dict result;
  int32_t status = row.bind(&args, &head, bound->bytes);
  result["bind_status"] = status;
  if (status == ARN_OK) {
    const Block step(head.step_scratch);
    const arn_state state{0};
    std::vector<std::unique_ptr<Block>> threads;
    for (int p = 0; p < parts; ++p) threads.push_back(std::make_unique<Block>(head.thread_scratch));
    double best = 0, total = 0;
    for (int r = 0; r < repeat && status == ARN_OK; ++r) {
      const double start = seconds_now();
      for (int p = 0; p < parts && status == ARN_OK; ++p) {
        const int64_t from = head.tasks * p / parts, to = head.tasks * (p + 1) / parts;
        if (from == to) continue;
        status =
            head.run(bound->bytes, data.data(), from, to, step.data, threads[static_cast<size_t>(p)]->data, &state);
      }
      const double taken = seconds_now() - start;
      best = r == 0 ? taken : std::min(best, taken);
      total += taken;
    }
    result["seconds"] = best;
    result["total_seconds"] = total;
    result["tasks"] = head.tasks;
    result["step_scratch"] = head.step_scratch;
    result["thread_scratch"] = head.thread_scratch;
    result["bound_bytes"] = head.bound_bytes;
    result["variant"] = head.variant ? head.variant : "";
  }
  result["status"] = status;
  return result;
}

int64_t nanoseconds_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// What handing one piece of work to each of `threads` threads costs: nanoseconds of each of `jobs` jobs, whose pieces
// keep their thread busy for `busy` nanoseconds.
std::vector<int64_t> fork_join(int32_t threads, int32_t jobs, int64_t busy) {
  PoolLease lease;
  if (lease.take(threads) != threads) throw std::runtime_error("the thread pool has no such many threads now");
  std::vector<int64_t> taken;
  for (int32_t i = 0; i < jobs; ++i) {
    const int64_t start = nanoseconds_now();
    const auto piece = [](void* context, int32_t, int32_t) {
      const int64_t until = nanoseconds_now() + *static_cast<int64_t*>(context);
      while (nanoseconds_now() < until) {
      }
    };
    lease.run(piece, &busy, threads, threads, true);
    taken.push_back(nanoseconds_now() - start);
  }
  return taken;
}

}  // namespace

void register_probe(py::module_& m) {
  py::class_<TileProgram>(m, "TileProgram", "An elementwise program over tile registers; see cpp/contract.h.")
      .def(py::init(&make_tile), py::arg("reg_dtypes"), py::arg("n_in"), py::arg("immediates"), py::arg("instructions"),
           py::arg("out_regs"), py::arg("first_operand") = 0);
  m.def("peak_flops", &peak_flops, py::arg("tier"), py::arg("seconds") = 0.002,
        "Floating point operations a second of a loop of f32 multiply-adds in one thread, over that processor time.");
  m.def("peak_dots", &peak_dots, py::arg("feature"), py::arg("seconds") = 0.002,
        "Operations a second of a loop of that feature's dot products of bytes in one thread, two a product.");
  m.def("read_bandwidth", &read_bandwidth, py::arg("tier"), py::arg("bytes"), py::arg("seconds") = 0.002,
        "Bytes a second at which one thread reads a buffer of that size again and again, over that processor time.");
  m.def("fork_join", &fork_join, py::arg("threads"), py::arg("jobs"), py::arg("busy"),
        "Nanoseconds of each of `jobs` jobs on `threads` threads, each of which is busy for so many nanoseconds.");
  m.def("call_row", &call_row, py::arg("row"), py::arg("inputs"), py::arg("outputs"), py::arg("params") = py::none(),
        py::arg("tile") = nullptr, py::arg("pack") = std::vector<int>{}, py::arg("parts") = 1, py::arg("repeat") = 1,
        py::arg("features") = -1,
        "Binds and runs one row on raw memory, with those of the machine's features that the mask names; 'seconds' is "
        "the fastest repetition. The caller vouches for the "
        "addresses: for tests and benches only.");
}

}  // namespace arenaut
