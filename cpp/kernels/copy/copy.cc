// Copy: dst[i] = src[i] over dims, any strides on either side. Fill: dst[i] = a constant, a copy from stride 0.
// Dims are sorted by the destination's strides and merged; the two best ones form a plane, the rest is walked.
#include "kernels/copy/params.h"
#include "kernels/copy/runs.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL <= 1

namespace ARN_NS {
namespace {

enum Kind : int32_t { kRuns, kTranspose, kStrided, kRepeat };

struct CopyBound {
  Walk<2> outer;    // operand 0: source, 1: destination; strides in bytes
  Plane plane;      // the two innermost dims
  Repeats repeats;  // kRepeat: instead of the plane, of which n1 is the rows in one walk position
  int64_t c1, c0;   // extents of one block of the plane; a unit of work is one block
  int64_t b1, b0;   // blocks along each
  int64_t base[2];  // offsets of the walk's first element, in bytes
  int64_t units, tasks;
  int64_t period, times;  // times > 1: the above makes the first `period` bytes, which follow each other so many times
  int32_t bytes;          // of one element; of one run for kRuns
  Kind kind;
  uint64_t value[2];  // Fill's element
};

constexpr int64_t kBlockBytes = 32 << 10;
constexpr int64_t kTransposeSide = 128;
constexpr int64_t kCopiedBytes = 8 << 10;  // of periods that are copied at once: they stay in L1

// Every dim with a positive destination stride, largest outermost.
bool plan_walk(const arn_desc& to, const int64_t* from_strides, int64_t bytes, CopyBound* b) {
  walk_clear(&b->outer);
  b->base[0] = b->base[1] = 0;
  const int64_t count = element_count(to);
  for (int i = 0; i < to.rank; ++i) {
    const int64_t n = to.dims[i];
    int64_t step[2] = {from_strides[i] * bytes, to.strides[i] * bytes};
    if (n > 1 && step[1] == 0 && count > 0) return false;  // elements of the destination would share memory
    if (step[1] < 0) {
      for (int k = 0; k < 2; ++k) {
        b->base[k] += step[k] * (n - 1);
        step[k] = -step[k];
      }
    }
    walk_push(&b->outer, n, step);
  }
  walk_sort(&b->outer, 1);
  return true;
}

// Takes away an outermost dim that repeats one dense piece of the destination.
void plan_periods(int64_t bytes, CopyBound* b) {
  Walk<2>& w = b->outer;
  b->period = b->times = 1;
  if (w.rank < 2 || w.step[0][0] != 0 || w.dims[0] < 2) return;
  int64_t dense = bytes;
  for (int i = w.rank - 1; i > 0; --i) {
    if (w.step[1][i] != dense) return;
    dense *= w.dims[i];
  }
  if (w.step[1][0] != dense || dense == 0 || dense > kBlockBytes || !ARN_CHOICE("copy/periods", true)) return;
  b->period = dense;
  b->times = w.dims[0];
  walk_remove(&w, 0);
}

void plan_plane(int64_t bytes, CopyBound* b) {
  Walk<2>& w = b->outer;
  int inner = w.rank - 1;
  // A short contiguous run is one wider element.
  if (inner >= 0 && w.step[0][inner] == bytes && w.step[1][inner] == bytes) {
    const int64_t run = bytes * w.dims[inner];
    if (run == 2 || run == 4 || run == 8 || run == 16) {
      bytes = run;
      walk_remove(&w, inner--);
    }
  }
  Plane& p = b->plane;
  p = {1, 1, bytes, bytes, bytes, bytes};
  b->kind = kStrided;
  int second = inner - 1;
  if (inner >= 0) {
    p.n0 = w.dims[inner];
    p.s0 = w.step[0][inner];
    p.d0 = w.step[1][inner];
    if (p.s0 == bytes && p.d0 == bytes && ARN_CHOICE("copy/runs", true)) {
      b->kind = kRuns;
    } else if (p.d0 == bytes && p.s0 != 0) {
      for (int i = 0; i < inner; ++i)
        if (w.step[0][i] == bytes && ARN_CHOICE("copy/transpose", true)) {
          second = i;
          b->kind = kTranspose;
        }
    }
    walk_remove(&w, inner);
  }
  if (second >= 0) {
    p.n1 = w.dims[second];
    p.s1 = w.step[0][second];
    p.d1 = w.step[1][second];
    walk_remove(&w, second);
  }
  b->bytes = static_cast<int32_t>(bytes);
}

// Each element a few times in a row, maybe each line of them several times too: an enlarged image.
bool plan_repeats(int64_t bytes, CopyBound* b) {
  constexpr int64_t kMostTimes = 8;
  Walk<2>& w = b->outer;
  const int times = w.rank - 1, run = w.rank - 2;
  if (run < 0 || bytes > 8 || w.step[0][times] != 0 || w.step[1][times] != bytes || w.dims[times] > kMostTimes)
    return false;
  if (w.step[0][run] != bytes || w.step[1][run] != bytes * w.dims[times] || !ARN_CHOICE("copy/repeats", true))
    return false;
  Repeats& r = b->repeats;
  r = {1, 0, 0, 1, 0, w.dims[run], w.dims[times]};
  w.rank -= 2;
  if (w.rank > 0 && w.step[0][w.rank - 1] == 0 && w.dims[w.rank - 1] <= kMostTimes) {
    r.copies = w.dims[w.rank - 1];
    r.dc = w.step[1][w.rank - 1];
    --w.rank;
  }
  if (w.rank > 0) {
    r.n1 = w.dims[w.rank - 1];
    r.s1 = w.step[0][w.rank - 1];
    r.d1 = w.step[1][w.rank - 1];
    --w.rank;
  }
  b->kind = kRepeat;
  b->bytes = static_cast<int32_t>(bytes);
  const int64_t line = r.n * r.times * r.copies * bytes;
  b->plane = {r.n1, 1, r.s1, 0, r.d1, 0};
  b->c0 = b->b0 = 1;
  b->c1 = max64(1, min64(r.n1, kBlockBytes / max64(1, line)));
  b->b1 = ceil_div(r.n1, b->c1);
  b->units = walk_count(w) * b->b1;
  b->tasks = tasks_for(b->units, walk_count(w) * r.n1 * line);
  return true;
}

void plan_blocks(CopyBound* b) {
  const Plane& p = b->plane;
  const int64_t side = b->kind == kTranspose ? kTransposeSide : kBlockBytes / b->bytes;
  b->c0 = max64(1, min64(p.n0, side));
  b->c1 = max64(1, min64(p.n1, kBlockBytes / (b->bytes * b->c0)));
  b->b0 = ceil_div(p.n0, b->c0);
  b->b1 = ceil_div(p.n1, b->c1);
  b->units = walk_count(b->outer) * b->b1 * b->b0;
  b->tasks = tasks_for(b->units, walk_count(b->outer) * p.n1 * p.n0 * b->bytes);
}

void copy_block(const CopyBound& b, const char* src, char* dst, const Plane& p) {
  if (b.kind == kRuns) {
    const int64_t n = p.n0 * b.bytes;
    for (int64_t i = 0; i < p.n1; ++i) copy_run(dst + i * p.d1, src + i * p.s1, n);
    return;
  }
  if (b.kind == kRepeat) {
    Repeats r = b.repeats;
    r.n1 = p.n1;
    (b.bytes == 1 ? repeat_1 : b.bytes == 2 ? repeat_2 : b.bytes == 4 ? repeat_4 : repeat_8)(src, dst, r);
    return;
  }
  const bool turn = b.kind == kTranspose;
  switch (b.bytes) {
    case 1:
      return turn ? transpose_1(src, dst, p) : strided_1(src, dst, p);
    case 2:
      return turn ? transpose_2(src, dst, p) : strided_2(src, dst, p);
    case 4:
      return turn ? transpose_4(src, dst, p) : strided_4(src, dst, p);
    case 8:
      return turn ? transpose_8(src, dst, p) : strided_8(src, dst, p);
    default:
      return turn ? transpose_16(src, dst, p) : strided_16(src, dst, p);
  }
}

int32_t copy_units(const CopyBound& b, const char* src, char* dst, int64_t from, int64_t to) {
  if (from == to) return ARN_OK;
  const int64_t blocks = b.b1 * b.b0;
  Cursor<2> c;
  walk_seek(b.outer, from / blocks, &c);
  int64_t i1 = from % blocks / b.b0, i0 = from % b.b0;
  src += b.base[0];
  dst += b.base[1];
  if (src == dst) return ARN_OK;  // the plan made the source at its destination
  for (int64_t unit = from; unit < to; ++unit) {
    Plane p = b.plane;
    p.n1 = min64(b.c1, b.plane.n1 - i1 * b.c1);
    p.n0 = min64(b.c0, b.plane.n0 - i0 * b.c0);
    copy_block(b, src + c.offset[0] + i1 * b.c1 * p.s1 + i0 * b.c0 * p.s0,
               dst + c.offset[1] + i1 * b.c1 * p.d1 + i0 * b.c0 * p.d0, p);
    if (++i0 < b.b0) continue;
    i0 = 0;
    if (++i1 < b.b1) continue;
    i1 = 0;
    walk_next(b.outer, &c);
  }
  return ARN_OK;
}

// Periods [from, to): the first from the source, the others from those before.
int32_t copy_periods(const CopyBound& b, const char* src, char* dst, int64_t from, int64_t to) {
  if (from == to) return ARN_OK;
  char* first = dst + from * b.period;
  const int32_t status = copy_units(b, src, first, 0, b.units);
  first += b.base[1];
  const int64_t all = (to - from) * b.period, most = max64(1, kCopiedBytes / b.period) * b.period;
  for (int64_t done = b.period, n = 0; done < all; done += n) {
    n = min64(min64(done, most), all - done);
    __builtin_memcpy(first + done, first, static_cast<size_t>(n));
  }
  return status;
}

int32_t copy_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state* state) {
  const CopyBound& b = *static_cast<const CopyBound*>(bound);
  const bool periods = b.times > 1;
  return for_tasks(begin, end, b.tasks, periods ? b.times : b.units, state, [&](int64_t from, int64_t to) {
    return (periods ? copy_periods : copy_units)(b, static_cast<const char*>(operand[0]),
                                                 static_cast<char*>(operand[1]), from, to);
  });
}

int32_t fill_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                   const arn_state* state) {
  const CopyBound& b = *static_cast<const CopyBound*>(bound);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) {
    return copy_units(b, reinterpret_cast<const char*>(b.value), static_cast<char*>(operand[0]), from, to);
  });
}

int32_t plan(const arn_desc& to, const int64_t* from_strides, CopyBound* b) {
  const int64_t bytes = element_bytes(to.dtype);
  if (!plan_walk(to, from_strides, bytes, b)) return ARN_UNSUPPORTED;
  plan_periods(bytes, b);
  if (!plan_repeats(bytes, b)) {
    plan_plane(bytes, b);
    plan_blocks(b);
  }
  if (b->times > 1) b->tasks = tasks_for(b->times, b->times * b->period);
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(copy) {
  using namespace ARN_NS;
  const arn_desc &from = args->operand[0], &to = args->operand[1];
  if (from.dtype != to.dtype || !same_dims(from, to)) return ARN_SHAPE_MISMATCH;
  CopyBound* b = static_cast<CopyBound*>(bound);
  const int32_t status = plan(to, from.strides, b);
  if (status != ARN_OK) return status;
  static const char* const kVariants[] = {"runs", "transpose", "strided", "repeats"};
  const char* variant = b->times > 1 ? "periods" : kVariants[b->kind];
  return bind_done(out, copy_tasks, b->tasks, sizeof(CopyBound), variant);
}

ARN_DEFINE_BIND(fill) {
  using namespace ARN_NS;
  const arn_fill_params* params = static_cast<const arn_fill_params*>(args->params);
  const int64_t still[ARN_MAX_RANK] = {};
  CopyBound* b = static_cast<CopyBound*>(bound);
  const int32_t status = plan(args->operand[0], still, b);
  if (status != ARN_OK) return status;
  __builtin_memcpy(b->value, params->bits, sizeof(b->value));
  return bind_done(out, fill_tasks, b->tasks, sizeof(CopyBound), "fill");
}
#endif
