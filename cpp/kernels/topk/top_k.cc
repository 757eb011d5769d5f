// TopK: the k best of a line, kept in order where they are few, else in a heap that is sorted at the end. Elements are
// compared as integers in their order, ties by index.
#include "kernels/copy/runs.h"
#include "kernels/order.h"
#include "kernels/topk/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL <= 1

namespace ARN_NS {
namespace {

struct TopKBound {
  Walk<3> lines;  // operand 0: x, 1: values, 2: indices; bytes
  int64_t length, k, step[3];
  int64_t units, tasks;
  int32_t dtype, bytes, largest, few;
};

constexpr int64_t kFew = 16;
constexpr int64_t kChunk = 32;  // elements that are looked at together: most have none that is better

struct Entry {
  uint64_t key;  // greater is better
  int64_t index;
};

inline bool better(const Entry& a, const Entry& b) { return a.key != b.key ? a.key > b.key : a.index < b.index; }

// The worst entry is at the root.
void sift_down(Entry* heap, int64_t n, int64_t at, Entry e) {
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= n) break;
    if (child + 1 < n && better(heap[child], heap[child + 1])) ++child;
    if (!better(e, heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = e;
}

// Calls offer(index, key) for the elements from `from` on, leaving out chunks in which none is above worst().
template <typename U, typename F, typename Worst, typename Offer>
inline void offer_rest(const TopKBound& b, const char* x, int64_t from, F&& key, U flip, Worst&& worst, Offer&& offer) {
  int64_t i = from;
  if (b.step[0] == static_cast<int64_t>(sizeof(U)))
    for (; i + kChunk <= b.length; i += kChunk) {
      U chunk[kChunk], most = 0;
      for (int64_t l = 0; l < kChunk; ++l) {
        chunk[l] = static_cast<U>(key(get<U>(x + (i + l) * static_cast<int64_t>(sizeof(U)))) ^ flip);
        most = chunk[l] > most ? chunk[l] : most;
      }
      if (most > worst())
        for (int64_t l = 0; l < kChunk; ++l) offer(i + l, chunk[l]);
    }
  for (; i < b.length; ++i) offer(i, static_cast<U>(key(get<U>(x + i * b.step[0])) ^ flip));
}

// A few best ones are kept in order. Where a new one belongs is no branch: all take part in moving to make room.
template <typename U, typename F>
void select_few(const TopKBound& b, const char* x, Entry* best, F&& key, U flip) {
  const int64_t last = b.k - 1;
  for (int64_t i = 0; i < b.k; ++i) {
    Entry e = {static_cast<U>(key(get<U>(x + i * b.step[0])) ^ flip), i};
    int64_t at = i;
    for (; at > 0 && best[at - 1].key < e.key; --at) best[at] = best[at - 1];
    best[at] = e;
  }
  const auto worst = [&] { return best[last].key; };
  offer_rest<U>(b, x, b.k, key, flip, worst, [&](int64_t i, uint64_t now) {
    if (now <= worst()) return;
    Entry here = best[last];
    for (int64_t at = last; at > 0; --at) {
      const Entry above = best[at - 1];
      const bool lands = here.key < now, moves = above.key < now;
      here.key = lands ? now : here.key;
      here.index = lands ? i : here.index;
      best[at].key = moves ? above.key : here.key;
      best[at].index = moves ? above.index : here.index;
      here = above;
    }
    if (here.key < now) best[0] = {now, i};
  });
}

template <typename U, typename F>
void select(const TopKBound& b, const char* x, Entry* heap, F&& key) {
  const U flip = b.largest ? U{0} : static_cast<U>(~U{0});
  if (b.few != 0) {
    select_few<U>(b, x, heap, key, flip);
    return;
  }
  for (int64_t i = 0; i < b.k; ++i) heap[i] = {static_cast<U>(key(get<U>(x + i * b.step[0])) ^ flip), i};
  for (int64_t i = b.k / 2 - 1; i >= 0; --i) sift_down(heap, b.k, i, heap[i]);
  const auto offer = [&](int64_t i, uint64_t now) {
    if (now > heap[0].key) sift_down(heap, b.k, 0, {now, i});  // an equal one comes later: it is not better
  };
  offer_rest<U>(b, x, b.k, key, flip, [&] { return heap[0].key; }, offer);
  for (int64_t n = b.k - 1; n > 0; --n) {
    const Entry worst = heap[0];
    sift_down(heap, n, 0, heap[n]);
    heap[n] = worst;
  }
}

void select_line(const TopKBound& b, const char* x, Entry* heap) {
  with_order(b.dtype, [&](auto bits, auto key) { select<decltype(bits)>(b, x, heap, key); });
}

int32_t top_k_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                    const arn_state* state) {
  const TopKBound& b = *static_cast<const TopKBound*>(bound);
  Entry* heap = static_cast<Entry*>(scratch);
  const char* x = static_cast<const char*>(operand[0]);
  char *values = static_cast<char*>(operand[1]), *indices = static_cast<char*>(operand[2]);
  return for_tasks(begin, end, b.tasks, b.units, state, [&](int64_t from, int64_t to) -> int32_t {
    Cursor<3> c;
    walk_seek(b.lines, from, &c);
    for (int64_t unit = from; unit < to; ++unit) {
      const char* line = x + c.offset[0];
      select_line(b, line, heap);
      for (int64_t i = 0; i < b.k; ++i) {
        copy_run(values + c.offset[1] + i * b.step[1], line + heap[i].index * b.step[0], b.bytes);
        put(indices + c.offset[2] + i * b.step[2], heap[i].index);
      }
      walk_next(b.lines, &c);
    }
    return ARN_OK;
  });
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(top_k) {
  using namespace ARN_NS;
  const auto* p = static_cast<const arn_top_k_params*>(args->params);
  const arn_desc &x = args->operand[0], &values = args->operand[1], &indices = args->operand[2];
  if (p->axis < 0 || p->axis >= x.rank || !same_dims(values, indices) || values.rank != x.rank)
    return ARN_SHAPE_MISMATCH;
  if (values.dtype != x.dtype) return ARN_SHAPE_MISMATCH;
  TopKBound* b = static_cast<TopKBound*>(bound);
  b->dtype = x.dtype;
  b->bytes = static_cast<int32_t>(element_bytes(x.dtype));
  b->largest = p->largest != 0;
  walk_clear(&b->lines);
  for (int i = 0; i < x.rank; ++i) {
    const int64_t step[3] = {x.strides[i] * b->bytes, values.strides[i] * b->bytes, indices.strides[i] * 8};
    if (i == p->axis) {
      b->length = x.dims[i];
      b->k = values.dims[i];
      for (int k = 0; k < 3; ++k) b->step[k] = step[k];
    } else {
      if (values.dims[i] != x.dims[i]) return ARN_SHAPE_MISMATCH;
      walk_push(&b->lines, x.dims[i], step);
    }
  }
  if (b->k > b->length) return ARN_SHAPE_MISMATCH;
  b->units = b->k == 0 ? 0 : walk_count(b->lines);
  b->tasks = tasks_for(b->units, b->units * b->length * b->bytes * 4);
  b->few = ARN_CHOICE("topk/few", b->k <= kFew);
  bind_done(out, top_k_tasks, b->tasks, sizeof(TopKBound), b->few != 0 ? "few" : "heap");
  out->thread_scratch = b->k * static_cast<int64_t>(sizeof(Entry));
  return ARN_OK;
}
#endif
