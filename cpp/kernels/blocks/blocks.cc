// The BlockMatMul row: task grid and epilogue around products with weights in blocks. Weights stay codes in memory;
// with accuracy 4 rows of A become bytes block by block and products are of integers, else codes become f32 in
// registers (few rows), bfloat16 planes or panels in cache (many).
#include "kernels/blocks/dots.h"
#include "kernels/blocks/form.h"
#include "kernels/blocks/planes.h"
#include "kernels/blocks/tile.h"
#include "kernels/matmul/gemm.h"
#include "kernels/tile/epilogue.h"
#include "kernels/units.h"
#include "simd/pairs.h"

extern "C" {
#ifdef ARN_HAS_VNNI
const arn_blocks_kernel* arn_blocks_v4_vnni();
#endif
#ifdef ARN_HAS_AVX_VNNI
const arn_blocks_kernel* arn_blocks_v3_avx_vnni();
#endif
#ifdef ARN_HAS_AMX_INT8
const arn_blocks_kernel* arn_blocks_v4_amx_int8();
#endif
}

namespace ARN_NS {
namespace {

// Without dot products of bytes: pairs of codes of at most four bits do not saturate, wider ones are widened.
struct Plain {
  template <int kBits>
  static vi32 dot(vi32 sum, vi32 codes, vi32 a) {
#if defined(__AVX512BW__)
    if constexpr (kBits <= 4) {
      const __m512i pairs = _mm512_maddubs_epi16((__m512i)codes, (__m512i)a);
      return sum + (vi32)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
    }
#elif defined(__AVX2__) && ARN_VECTOR_BYTES == 32
    if constexpr (kBits <= 4) {
      const __m256i pairs = _mm256_maddubs_epi16((__m256i)codes, (__m256i)a);
      return sum + (vi32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
#endif
    const vi16 even = (vi16)(codes & 0x00ff00ff), odd = (vi16)(codes >> 8 & 0x00ff00ff);
    return sum + multiply_pairs((vi16)((vi16)a << 8) >> 8, even) + multiply_pairs((vi16)a >> 8, odd);
  }
};

const arn_blocks_kernel kPlain = {"plain", 16, 0, nullptr, run_blocks<Plain>, nullptr};

enum : int32_t { kPlainKernel, kVnniKernel, kAmxKernel };
enum : int32_t { kBytes, kFloatRows, kFloatPanels, kFloatPlanes };
[[maybe_unused]] constexpr int64_t kRowsForTiles = 17;     // from so many on AMX is worth it
constexpr int64_t kRowsForPlanes = 16;                     // ... and, where bytes may be multiplied, planes of bfloat16
constexpr int64_t kFloatDepth = 384, kFloatColumns = 192;  // of panels
constexpr int64_t kTile = 16;

const arn_blocks_kernel& kernel_of(int32_t kernel) {
#ifdef ARN_HAS_AMX_INT8
  if (kernel == kAmxKernel) return *arn_blocks_v4_amx_int8();
#endif
#if defined(ARN_HAS_VNNI)
  if (kernel == kVnniKernel) return *arn_blocks_v4_vnni();
#elif defined(ARN_HAS_AVX_VNNI)
  if (kernel == kVnniKernel) return *arn_blocks_v3_avx_vnni();
#endif
  (void)kernel;
  return kPlain;
}

int32_t choose_kernel(const arn_target& target, int64_t rows) {
  (void)target;
  (void)rows;
#ifdef ARN_HAS_AMX_INT8
  if ((target.features & ARN_FEATURE_AMX_INT8) != 0 && ARN_CHOICE("blocks/amx", rows >= kRowsForTiles))
    return kAmxKernel;
#endif
#if defined(ARN_HAS_VNNI)
  if ((target.features & ARN_FEATURE_VNNI) != 0 && ARN_CHOICE("blocks/vnni", true)) return kVnniKernel;
#elif defined(ARN_HAS_AVX_VNNI)
  if ((target.features & ARN_FEATURE_AVX_VNNI) != 0 && ARN_CHOICE("blocks/vnni", true)) return kVnniKernel;
#endif
  return kPlainKernel;
}

struct BlocksBound {
  BlockForm form;
  int64_t m, m_block, n_block, m_blocks, n_blocks, units, units_per_task;
  int64_t tall;                                          // rows of a tile of bytes
  int64_t scales, sums, shifts, unpacked, panels, edge;  // offsets in thread scratch, in bytes
  int64_t block, epilogue_scratch;
  int32_t mode, kernel, zeros, zero;  // zeros: whether operand 3 is there
  BlockPlanes planes;
  Epilogue epilogue;
};

class Run {
 public:
  Run(const BlocksBound& b, void* const* operand, void* scratch)
      : b_(b),
        f_(b.form),
        operand_(operand),
        scratch_(static_cast<char*>(scratch)),
        after_(scratch_ + b.epilogue_scratch) {
    epilogue_begin(b.epilogue, operand, after_);
  }

  void unit(int64_t u) {
    const int64_t m0 = u / b_.n_blocks * b_.m_block, n0 = u % b_.n_blocks * b_.n_block;
    const int64_t m = min64(b_.m_block, b_.m - m0), n = min64(b_.n_block, f_.n - n0), panel = n0 / kTile;
    const float* a = static_cast<const float*>(operand_[0]) + m0 * f_.k;
    const BlockWeights w{static_cast<const uint8_t*>(operand_[1]) + panel * f_.panel,
                         static_cast<const float*>(operand_[2]) + panel * f_.per_panel,
                         b_.zeros == 0 ? nullptr : static_cast<const uint8_t*>(operand_[3]) + panel * f_.per_panel,
                         b_.zero};
    const int64_t panels = ceil_div(n, kTile);
    float* out = at<float>(b_.block);
    if (b_.mode == kBytes)
      bytes(w, a, m0, m, panels, out);
    else if (b_.mode == kFloatRows)
      multiply_floats(f_, w, a, f_.k, m, panels, out, b_.n_block);
    else if (b_.mode == kFloatPlanes)
      planes(w, a, m, panels, out);
    else
      floats(w, a, m, panels, out);
    epilogue_run(b_.epilogue, operand_, m0, m, n0, n, out, b_.n_block, after_);
  }

 private:
  template <typename T>
  T* at(int64_t offset) const {
    return reinterpret_cast<T*>(scratch_ + offset);
  }

  void bytes(const BlockWeights& w, const float* a, int64_t m0, int64_t m, int64_t panels, float* out) {
    const arn_blocks_kernel& kernel = kernel_of(b_.kernel);
    if (m0 != held_)
      quantize_rows(f_, a, f_.k, m, b_.tall, b_.zero, at<int8_t>(0), at<float>(b_.scales), at<float>(b_.sums),
                    at<int32_t>(b_.shifts));
    held_ = m0;
    arn_blocks d{};
    d.tall = b_.tall;
    d.a_step = b_.tall * f_.block;
    d.panel = f_.panel;
    d.per_panel = f_.per_panel;
    d.blocks = f_.blocks;
    d.block = f_.block;
    d.bits = f_.bits;
    d.out_row = b_.n_block;
    d.unpacked = at<uint8_t>(b_.unpacked);
    if (kernel.begin != nullptr) kernel.begin(b_.tall, f_.block);
    const int64_t each = kernel.unpacks != 0 ? 1 : panels;
    for (int64_t p = 0; p < panels; p += each) {
      d.panels = each;
      d.b = w.codes + p * f_.panel;
      d.scale = w.scales + p * f_.per_panel;
      d.zero = w.zeros == nullptr ? nullptr : w.zeros + p * f_.per_panel;
      for (int64_t t = 0; t * b_.tall < m; ++t) {
        const int64_t first = t * f_.blocks * b_.tall;
        d.a = at<int8_t>(0) + first * f_.block;
        d.a_scale = at<float>(b_.scales) + first;
        d.a_sum = at<float>(b_.sums) + first;
        d.a_shift = at<int32_t>(b_.shifts) + first;
        d.rows = min64(b_.tall, m - t * b_.tall);
        d.out = out + t * b_.tall * b_.n_block + p * kTile;
        kernel.run(&d, t == 0 ? 1 : 0);
      }
    }
    if (kernel.end != nullptr) kernel.end();
  }

  void planes(const BlockWeights& w, const float* a, int64_t m, int64_t panels, float* out) {
    const uint8_t* whole = multiply_planes(b_.planes, f_, w, a, f_.k, m, panels, out, b_.n_block, scratch_);
    for (int64_t s = 0; s * kHalfStrip < m; ++s) {
      const int64_t row = s * kHalfStrip;
      if (whole[s] != 0) continue;
      for (int64_t p = 0; p < panels; p += kFloatColumns / kTile) {
        const int64_t from = p * f_.per_panel;
        const BlockWeights some{w.codes + p * f_.panel, w.scales + from, w.zeros == nullptr ? nullptr : w.zeros + from,
                                w.zero};
        floats(some, a + row * f_.k, min64(kHalfStrip, m - row), min64(kFloatColumns / kTile, panels - p),
               out + row * b_.n_block + p * kTile);
      }
    }
  }

  void floats(const BlockWeights& w, const float* a, int64_t m, int64_t panels, float* out) {
    GemmPass<float> p{};
    p.m = m;
    p.n = panels * kTile;
    p.a_row = f_.k;
    p.a_k = 1;
    p.b = at<float>(b_.panels);
    p.b_k = kLanesF32;
    p.partial = p.out = out;
    p.partial_row = p.out_row = b_.n_block;
    p.out_col = 1;
    p.alpha = 1;
    p.edge = at<float>(b_.edge);
    for (int64_t k = 0; k < f_.k; k += kFloatDepth) {
      p.depth = min64(kFloatDepth, f_.k - k);
      p.first = k == 0;
      p.last = k + p.depth >= f_.k;
      p.a = a + k;
      p.b_vec = p.depth * kLanesF32;
      expand_panels(f_, w, k, p.depth, panels, at<float>(b_.panels));
      gemm_pass(p);
    }
  }

  const BlocksBound& b_;
  const BlockForm& f_;
  void* const* operand_;
  char *scratch_, *after_;
  int64_t held_ = -1;  // the first row of those that scratch holds as bytes
};

int32_t blocks_run(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* thread_scratch,
                   const arn_state* state) {
  const BlocksBound& b = *static_cast<const BlocksBound*>(bound);
  Run run(b, operand, thread_scratch);
  return for_units(begin, end, b.units, b.units_per_task, state, [&](int64_t u) { run.unit(u); });
}

bool has_zeros(const arn_bind_args* args) { return args->n_in > 3 && args->operand[3].dtype != ARN_NONE; }

// The operands have the sizes that the parameters say.
bool sizes_fit(const arn_bind_args* args, const BlockForm& f) {
  const arn_desc &a = args->operand[0], &o = args->operand[args->n_in];
  if (a.rank < 1 || o.rank != a.rank || a.dims[a.rank - 1] != f.k || o.dims[o.rank - 1] != f.n) return false;
  for (int i = 0; i + 1 < a.rank; ++i)
    if (a.dims[i] != o.dims[i]) return false;
  return element_count(args->operand[1]) == f.n * f.blocks * (f.block * f.stored_bits / 8) &&
         element_count(args->operand[2]) == f.n * f.blocks &&
         (!has_zeros(args) || element_count(args->operand[3]) == f.n * stored_zero_bytes(f));
}

// Offsets of what a thread needs.
void lay_out(BlocksBound* b) {
  const BlockForm& f = b->form;
  int64_t at = 0;
  const auto take = [&](int64_t bytes) {
    const int64_t from = at;
    at += round_up(bytes, ARN_ALIGN);
    return from;
  };
  if (b->mode == kBytes) {
    const int64_t rows = round_up(b->m_block, b->tall), each = rows * f.blocks * 4;
    take(rows * f.blocks * f.block);
    b->scales = take(each);
    b->sums = take(each);
    b->shifts = take(each);
    b->unpacked = take(kernel_of(b->kernel).unpacks != 0 ? f.blocks * f.block * kTile : 0);
  } else if (b->mode != kFloatRows) {
    if (b->mode == kFloatPlanes) {
      lay_out_planes(b->m_block, b->n_block, &b->planes);
      take(b->planes.bytes);
    }
    b->panels = take(kFloatDepth * min64(b->n_block, kFloatColumns) * 4);
    b->edge = take(edge_elements() * 4);
  }
  b->block = take(round_up(b->m_block, kTile) * b->n_block * 4);
  b->epilogue_scratch = at;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(block_matmul) {
  using namespace ARN_NS;
  auto* b = cleared<BlocksBound>(bound);
  if (args->params == nullptr || args->n_in < 3) return ARN_UNSUPPORTED;
  const arn_block_matmul_params& p = *static_cast<const arn_block_matmul_params*>(args->params);
  if (!block_form(p, &b->form)) return ARN_UNSUPPORTED;
  if (!sizes_fit(args, b->form)) return ARN_SHAPE_MISMATCH;
  const uint32_t packed = has_zeros(args) ? 14u : 6u;
  if ((args->packed & packed) != packed) return ARN_UNSUPPORTED;
  const arn_desc& o = args->operand[args->n_in];
  if (args->tile != nullptr ? args->tile->reg_dtype[0] != ARN_F32 : args->n_out != 1) return ARN_UNSUPPORTED;
  const int32_t bad = epilogue_bind(args, o.rank - 1, o.rank - 1, &b->epilogue);
  if (bad != ARN_OK) return bad;
  b->zeros = has_zeros(args) ? 1 : 0;
  b->zero = b->zeros != 0 ? 0 : 1 << (b->form.stored_bits - 1);
  const BlockForm& f = b->form;
  b->m = 1;
  for (int i = 0; i + 1 < o.rank; ++i) b->m *= o.dims[i];
  b->mode = p.accuracy == 4 ? kBytes : ARN_CHOICE("blocks/f32", b->m <= kFewFloatRows) ? kFloatRows : kFloatPanels;
  // Where A may become bytes, it may become bfloat16 as well, with weights that are: a sum errs by less (2^-8 of the
  // sum of magnitudes, beside 1/254 of the largest of a block for each).
  const bool allowed = p.accuracy == 4 ? b->m >= kRowsForPlanes : p.rounded != 0;
  const bool rounded = allowed && choose_planes(f, b->m, true, *args->target, &b->planes);
  if (rounded && ARN_CHOICE("blocks/rounded", true))
    b->mode = kFloatPlanes;
  else if (b->mode == kFloatPanels && choose_planes(f, b->m, false, *args->target, &b->planes))
    b->mode = kFloatPlanes;
  b->kernel = choose_kernel(*args->target, b->m);
  // Rows of a block: as bytes they take a quarter of L2.
  const int64_t most = max64(32, min64(256, args->target->l2_bytes / 4 / f.k / kTile * kTile));
  b->m_block = max64(1, min64(b->m, b->mode == kBytes ? most : b->mode == kFloatPlanes ? kPlaneRows : 256));
  b->tall = b->mode == kBytes && b->kernel == kAmxKernel ? kTile : min64(kTile, b->m_block);
  if (b->m > b->m_block) b->m_block = round_up(ceil_div(b->m, ceil_div(b->m, b->m_block)), kTile);
  b->m_blocks = ceil_div(b->m, b->m_block);
  // Columns: a few panels, what the f32 core likes best when it reads panels, or so many that splitting rows pays.
  const int64_t wide = b->mode == kFloatPlanes ? kPlaneColumns : b->mode == kFloatPanels ? kFloatColumns : 64;
  b->n_block = min64(wide, round_up(f.n, kTile));
  if (b->mode == kFloatPlanes) b->n_block = round_up(ceil_div(f.n, ceil_div(f.n, wide)), kTile);
  b->n_blocks = ceil_div(f.n, b->n_block);
  b->units = b->m_blocks * b->n_blocks;
  const double work = static_cast<double>(max64(b->m, 8)) * static_cast<double>(f.n) * static_cast<double>(f.k);
  b->units_per_task = units_for_task(work, b->units, 1 << 22);
  lay_out(b);
  static const char* const kNames[] = {nullptr, "f32", "f32 panels", "bf16 planes"};
  out->run = blocks_run;
  out->tasks = ceil_div(b->units, b->units_per_task);
  out->step_scratch = 0;
  out->thread_scratch = b->epilogue_scratch + b->epilogue.core.scratch_bytes;
  out->bound_bytes = sizeof(BlocksBound);
  out->variant = b->mode == kBytes                                        ? kernel_of(b->kernel).name
                 : b->mode == kFloatPlanes && b->planes.gemm.rounded != 0 ? "bf16"
                                                                          : kNames[b->mode];
  return ARN_OK;
}

ARN_DEFINE_PACK_BYTES(block_matmul) {
  using namespace ARN_NS;
  BlockForm f;
  if (operand < 1 || operand > 3 || operand >= args->n_in || args->params == nullptr ||
      !block_form(*static_cast<const arn_block_matmul_params*>(args->params), &f))
    return 0;
  const int64_t count = element_count(args->operand[operand]);
  if (operand == 1) return count == f.n * f.blocks * (f.block * f.stored_bits / 8) ? f.panels * f.panel : 0;
  if (operand == 2) return count == f.n * f.blocks ? f.panels * f.per_panel * 4 : 0;
  return has_zeros(args) && count == f.n * stored_zero_bytes(f) ? f.panels * f.per_panel : 0;
}

ARN_DEFINE_PACK(block_matmul) {
  using namespace ARN_NS;
  BlockForm f;
  if (!block_form(*static_cast<const arn_block_matmul_params*>(args->params), &f)) return;
  const void* from = args->constant[operand];
  if (operand == 1) pack_codes(f, static_cast<const uint8_t*>(from), static_cast<uint8_t*>(dst));
  if (operand == 2) pack_scales(f, from, args->operand[2].dtype, static_cast<float*>(dst));
  if (operand == 3) pack_zeros(f, static_cast<const uint8_t*>(from), static_cast<uint8_t*>(dst));
}
