// NonMaxSuppression in two steps: what each class keeps, and the list of all of it, whose length is known then.
#include "kernels/vision/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

// Strides in elements.
struct SelectBound {
  int64_t batches, classes, boxes, most;
  int64_t box_step[3], score_step[3], chosen_step[3], count_step[2];
  int64_t tasks;
  int32_t centered, has_limit, has_overlap, has_least;
};

struct Candidate {
  uint32_t key;  // greater is better
  int32_t box;
};

struct Box {
  float low[2], high[2], area;
};

inline bool before(const Candidate& a, const Candidate& b) { return a.key != b.key ? a.key > b.key : a.box < b.box; }

// A score's bits in the order of its values, 0 and -0 being one, NaN below everything.
inline uint32_t score_key(float score) {
  uint32_t bits;
  __builtin_memcpy(&bits, &score, 4);
  const uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return 0;
  if (size == 0) return 0x80000000u;
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

// The best candidate is at the root.
void sift(Candidate* heap, int64_t n, int64_t at) {
  const Candidate moved = heap[at];
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= n) break;
    if (child + 1 < n && before(heap[child + 1], heap[child])) ++child;
    if (!before(heap[child], moved)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = moved;
}

Box box_of(const SelectBound& b, const float* boxes, int64_t at) {
  const float* p = boxes + at * b.box_step[1];
  float v[4];
  for (int i = 0; i < 4; ++i) v[i] = p[i * b.box_step[2]];
  Box box;
  for (int i = 0; i < 2; ++i) {
    if (b.centered) {
      const float half = v[2 + i] / 2;
      box.low[i] = v[i] - half;
      box.high[i] = v[i] + half;
    } else {
      box.low[i] = v[i] < v[2 + i] ? v[i] : v[2 + i];
      box.high[i] = v[i] < v[2 + i] ? v[2 + i] : v[i];
    }
  }
  box.area = (box.high[0] - box.low[0]) * (box.high[1] - box.low[1]);
  return box;
}

bool overlaps(const Box& a, const Box& b, float most) {
  float side[2];
  for (int i = 0; i < 2; ++i) {
    const float low = a.low[i] > b.low[i] ? a.low[i] : b.low[i], high = a.high[i] < b.high[i] ? a.high[i] : b.high[i];
    if (!(high > low)) return false;
    side[i] = high - low;
  }
  const float common = side[0] * side[1];
  return common > 0 && common / (a.area + b.area - common) > most;
}

int64_t select(const SelectBound& b, const float* boxes, const float* scores, int64_t limit, float overlap,
               const float* least, Candidate* heap, Box* kept, int32_t* chosen) {
  int64_t n = 0;
  for (int64_t i = 0; i < b.boxes; ++i) {
    const float score = scores[i * b.score_step[2]];
    if (least == nullptr || score > *least) heap[n++] = {score_key(score), static_cast<int32_t>(i)};
  }
  for (int64_t i = n / 2 - 1; i >= 0; --i) sift(heap, n, i);
  int64_t count = 0;
  while (n > 0 && count < limit) {
    const int32_t best = heap[0].box;
    heap[0] = heap[--n];
    sift(heap, n, 0);
    const Box box = box_of(b, boxes, best);
    bool keep = true;
    for (int64_t i = 0; keep && i < count; ++i) keep = !overlaps(kept[i], box, overlap);
    if (!keep) continue;
    kept[count] = box;
    chosen[count * b.chosen_step[2]] = best;
    ++count;
  }
  return count;
}

int32_t select_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                     const arn_state* state) {
  const SelectBound& b = *static_cast<const SelectBound*>(bound);
  Candidate* heap = static_cast<Candidate*>(scratch);
  Box* kept = reinterpret_cast<Box*>(static_cast<char*>(scratch) + round_up(b.boxes * 8, ARN_ALIGN));
  int64_t limit = b.has_limit ? *static_cast<const int64_t*>(operand[2]) : 0;
  limit = min64(limit, b.most);
  const float overlap = b.has_overlap ? *static_cast<const float*>(operand[3]) : 0.0f;
  const float* least = b.has_least ? static_cast<const float*>(operand[4]) : nullptr;
  return for_tasks(begin, end, b.tasks, b.batches * b.classes, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t unit = from; unit < to; ++unit) {
      const int64_t batch = unit / b.classes, kind = unit % b.classes;
      const float* boxes = static_cast<const float*>(operand[0]) + batch * b.box_step[0];
      const float* scores = static_cast<const float*>(operand[1]) + batch * b.score_step[0] + kind * b.score_step[1];
      int32_t* chosen = static_cast<int32_t*>(operand[5]) + batch * b.chosen_step[0] + kind * b.chosen_step[1];
      static_cast<int64_t*>(operand[6])[batch * b.count_step[0] + kind * b.count_step[1]] =
          select(b, boxes, scores, limit, overlap, least, heap, kept, chosen);
    }
    return ARN_OK;
  });
}

struct FillBound {
  int64_t batches, classes, most, count;
  int64_t chosen_step[3], count_step[2], out_step[2];
};

int32_t fill_task(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void*,
                  const arn_state* state) {
  const FillBound& b = *static_cast<const FillBound*>(bound);
  return for_tasks(begin, end, 1, 1, state, [&](int64_t, int64_t) -> int32_t {
    int64_t* out = static_cast<int64_t*>(operand[2]);
    int64_t at = 0;
    for (int64_t unit = 0; unit < b.batches * b.classes; ++unit) {
      const int64_t batch = unit / b.classes, kind = unit % b.classes;
      const int32_t* chosen =
          static_cast<const int32_t*>(operand[0]) + batch * b.chosen_step[0] + kind * b.chosen_step[1];
      const int64_t n = static_cast<const int64_t*>(operand[1])[batch * b.count_step[0] + kind * b.count_step[1]];
      if (n < 0 || n > b.most || at + n > b.count) return ARN_BAD_VALUE;
      for (int64_t i = 0; i < n; ++i, ++at) {
        const int64_t row[3] = {batch, kind, chosen[i * b.chosen_step[2]]};
        for (int k = 0; k < 3; ++k) out[at * b.out_step[0] + k * b.out_step[1]] = row[k];
      }
    }
    return at == b.count ? ARN_OK : ARN_BAD_VALUE;
  });
}

bool single(const arn_desc& d) { return d.dtype == ARN_NONE || element_count(d) == 1; }

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(nms_select) {
  using namespace ARN_NS;
  const arn_desc &boxes = args->operand[0], &scores = args->operand[1], &chosen = args->operand[5],
                 &counts = args->operand[6];
  if (boxes.rank != 3 || scores.rank != 3 || chosen.rank != 3 || counts.rank != 2 || boxes.dims[2] != 4)
    return ARN_SHAPE_MISMATCH;
  for (int i = 2; i < 5; ++i)
    if (!single(args->operand[i])) return ARN_SHAPE_MISMATCH;
  SelectBound* b = static_cast<SelectBound*>(bound);
  b->batches = scores.dims[0];
  b->classes = scores.dims[1];
  b->boxes = scores.dims[2];
  b->most = chosen.dims[2];
  if (boxes.dims[0] != b->batches || boxes.dims[1] != b->boxes || b->most > b->boxes) return ARN_SHAPE_MISMATCH;
  for (int i = 0; i < 2; ++i)
    if (chosen.dims[i] != scores.dims[i] || counts.dims[i] != scores.dims[i]) return ARN_SHAPE_MISMATCH;
  if (b->boxes > INT32_MAX) return ARN_OVERFLOW;
  for (int i = 0; i < 3; ++i) {
    b->box_step[i] = boxes.strides[i];
    b->score_step[i] = scores.strides[i];
    b->chosen_step[i] = chosen.strides[i];
  }
  for (int i = 0; i < 2; ++i) b->count_step[i] = counts.strides[i];
  b->centered = static_cast<const arn_nms_params*>(args->params)->centered != 0;
  b->has_limit = args->operand[2].dtype != ARN_NONE;
  b->has_overlap = args->operand[3].dtype != ARN_NONE;
  b->has_least = args->operand[4].dtype != ARN_NONE;
  b->tasks = tasks_for(b->batches * b->classes, b->batches * b->classes * b->boxes * 64);
  bind_done(out, select_tasks, b->tasks, sizeof(SelectBound), "heap");
  out->thread_scratch = round_up(b->boxes * 8, ARN_ALIGN) + b->most * static_cast<int64_t>(sizeof(Box));
  return ARN_OK;
}

ARN_DEFINE_BIND(nms_fill) {
  using namespace ARN_NS;
  const arn_desc &chosen = args->operand[0], &counts = args->operand[1], &to = args->operand[2];
  if (chosen.rank != 3 || counts.rank != 2 || to.rank != 2 || to.dims[1] != 3) return ARN_SHAPE_MISMATCH;
  if (counts.dims[0] != chosen.dims[0] || counts.dims[1] != chosen.dims[1]) return ARN_SHAPE_MISMATCH;
  FillBound* b = static_cast<FillBound*>(bound);
  b->batches = chosen.dims[0];
  b->classes = chosen.dims[1];
  b->most = chosen.dims[2];
  b->count = to.dims[0];
  for (int i = 0; i < 3; ++i) b->chosen_step[i] = chosen.strides[i];
  for (int i = 0; i < 2; ++i) {
    b->count_step[i] = counts.strides[i];
    b->out_step[i] = to.strides[i];
  }
  return bind_done(out, fill_task, 1, sizeof(FillBound), "fill");
}
#endif
