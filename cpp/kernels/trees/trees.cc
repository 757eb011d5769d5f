// Decision trees: a block of rows goes down one tree after the other, so that a tree is read once a block.
#include "kernels/trees/params.h"
#include "kernels/walk.h"

#if ARN_TIER_LEVEL == 0

namespace ARN_NS {
namespace {

constexpr int64_t kRows = 32;
constexpr int kTogether = 8;
constexpr int kNode = 5;  // int32 values of a node

struct TreesBound {
  int64_t rows, outputs, trees, x_step[2], y_step[2];
  int64_t blocks, tasks;
  int32_t aggregate, comparison;  // comparison: of all nodes, or -1
};

template <typename T>
inline bool compare(int32_t mode, T value, T split) {
  switch (mode) {
    case ARN_TREES_LEQ:
      return value <= split;
    case ARN_TREES_LT:
      return value < split;
    case ARN_TREES_GTE:
      return value >= split;
    case ARN_TREES_GT:
      return value > split;
    case ARN_TREES_EQ:
      return value == split;
    default:
      return value != split;
  }
}

// The leaf that a row reaches. mode: of all nodes; -1: each has its own.
template <typename T>
inline int32_t leaf_of(const int32_t* nodes, const T* splits, int32_t at, const T* x, int64_t step, int32_t mode) {
  while (at >= 0) {
    const int32_t* node = nodes + int64_t{at} * kNode;
    const T value = x[node[0] * step];
    const bool yes = compare(mode < 0 ? node[1] : mode, value, splits[at]) || (node[2] != 0 && __builtin_isnan(value));
    at = yes ? node[3] : node[4];
  }
  return ~at;
}

// The leaves that kTogether rows reach, which go down side by side: no row waits for another's loads, and no branch
// depends on what they hold. less: nodes ask x < split, else x <= split.
template <bool less, typename T>
inline void leaves_of(const int32_t* nodes, const T* splits, int32_t root, const T* x, int64_t row_step, int64_t step,
                      int32_t* leaves) {
  int32_t at[kTogether], shared = root;
  // As long as all of them take the same way, one node serves them.
  while (shared >= 0) {
    const int32_t* node = nodes + int64_t{shared} * kNode;
    const T split = splits[shared], *column = x + node[0] * step;
    int32_t yes[kTogether], count = 0;
#pragma GCC unroll 8
    for (int r = 0; r < kTogether; ++r) {
      const T value = column[r * row_step];
      yes[r] = static_cast<int32_t>(less ? value < split : value <= split);
      count += yes[r];
    }
    if (node[2] != 0) {
      count = 0;
      for (int r = 0; r < kTogether; ++r) {
        const T value = column[r * row_step];
        yes[r] |= static_cast<int32_t>(value != value);
        count += yes[r];
      }
    }
    if (count != 0 && count != kTogether) {
      for (int r = 0; r < kTogether; ++r) at[r] = node[4 - yes[r]];
      break;
    }
    shared = node[count != 0 ? 3 : 4];
  }
  if (shared < 0) {
    for (int r = 0; r < kTogether; ++r) leaves[r] = ~shared;
    return;
  }
  for (int32_t inside = -1; inside < 0;) {
    inside = 0;
#pragma GCC unroll 8
    for (int r = 0; r < kTogether; ++r) {
      const int32_t done = at[r] >> 31, here = at[r] & ~done;  // a row at its leaf looks at node 0 and stays
      const int32_t* node = nodes + int64_t{here} * kNode;
      const T value = x[r * row_step + node[0] * step], split = splits[here];
      const int32_t yes = static_cast<int32_t>(less ? value < split : value <= split) |
                          (static_cast<int32_t>(value != value) & node[2]);
      at[r] = (at[r] & done) | (node[4 - yes] & ~done);
      inside |= ~at[r];
    }
  }
  for (int r = 0; r < kTogether; ++r) leaves[r] = ~at[r];
}

// The leaves of n rows.
template <typename T>
void block_leaves(const TreesBound& b, const int32_t* nodes, const T* splits, int32_t root, const T* x, int64_t n,
                  int32_t* leaves) {
  int64_t r = 0;
  const bool side_by_side = b.comparison == ARN_TREES_LEQ || b.comparison == ARN_TREES_LT;
  for (; side_by_side && r + kTogether <= n; r += kTogether) {
    const T* row = x + r * b.x_step[0];
    if (b.comparison == ARN_TREES_LEQ)
      leaves_of<false>(nodes, splits, root, row, b.x_step[0], b.x_step[1], leaves + r);
    else
      leaves_of<true>(nodes, splits, root, row, b.x_step[0], b.x_step[1], leaves + r);
  }
  for (; r < n; ++r) leaves[r] = leaf_of(nodes, splits, root, x + r * b.x_step[0], b.x_step[1], b.comparison);
}

// Adds the weights of the leaves that n rows reached to their totals.
template <typename T>
void add_leaves(const TreesBound& b, const int32_t* leaves, const int32_t* targets, const T* weights,
                const int32_t* reached, int64_t n, T* total) {
  for (int64_t r = 0; r < n; ++r, total += b.outputs)
    for (int32_t w = leaves[reached[r]]; w < leaves[reached[r] + 1]; ++w) total[targets[w]] += weights[w];
}

// As add_leaves, for the least or largest weight of each target. seen: whether a leaf named it before.
template <typename T>
void choose_leaves(const TreesBound& b, const int32_t* leaves, const int32_t* targets, const T* weights,
                   const int32_t* reached, int64_t n, T* total, char* seen) {
  const bool least = b.aggregate == ARN_TREES_MIN;
  for (int64_t r = 0; r < n; ++r, total += b.outputs, seen += b.outputs)
    for (int32_t w = leaves[reached[r]]; w < leaves[reached[r] + 1]; ++w) {
      T& best = total[targets[w]];
      if (!seen[targets[w]] || (least ? weights[w] < best : weights[w] > best)) best = weights[w];
      seen[targets[w]] = 1;
    }
}

template <typename T, typename O>
void run_block(const TreesBound& b, void* const* operand, int64_t first, int64_t n, T* total, char* seen) {
  const T* x = static_cast<const T*>(operand[0]) + first * b.x_step[0];
  const int32_t *roots = static_cast<const int32_t*>(operand[1]), *nodes = static_cast<const int32_t*>(operand[2]);
  const T* splits = static_cast<const T*>(operand[3]);
  const int32_t *leaves = static_cast<const int32_t*>(operand[4]), *targets = static_cast<const int32_t*>(operand[5]);
  const T* weights = static_cast<const T*>(operand[6]);
  const bool sums = b.aggregate == ARN_TREES_SUM || b.aggregate == ARN_TREES_AVERAGE;
  for (int64_t i = 0; i < n * b.outputs; ++i) total[i] = 0;
  __builtin_memset(seen, 0, static_cast<size_t>(n * b.outputs));
  int32_t reached[kRows];
  for (int64_t t = 0; t < b.trees; ++t) {
    block_leaves(b, nodes, splits, roots[t], x, n, reached);
    if (sums)
      add_leaves(b, leaves, targets, weights, reached, n, total);
    else
      choose_leaves(b, leaves, targets, weights, reached, n, total, seen);
  }
  const T scale = b.aggregate == ARN_TREES_AVERAGE && b.trees > 0 ? static_cast<T>(b.trees) : 1;
  O* y = static_cast<O*>(operand[7]) + first * b.y_step[0];
  for (int64_t r = 0; r < n; ++r)
    for (int64_t o = 0; o < b.outputs; ++o)
      y[r * b.y_step[0] + o * b.y_step[1]] = static_cast<O>(total[r * b.outputs + o] / scale);
}

template <typename T, typename O>
int32_t trees_tasks(const void* bound, void* const* operand, int64_t begin, int64_t end, void*, void* scratch,
                    const arn_state* state) {
  const TreesBound& b = *static_cast<const TreesBound*>(bound);
  T* total = static_cast<T*>(scratch);
  char* seen = reinterpret_cast<char*>(total + kRows * b.outputs);
  return for_tasks(begin, end, b.tasks, b.blocks, state, [&](int64_t from, int64_t to) -> int32_t {
    for (int64_t block = from; block < to; ++block)
      run_block<T, O>(b, operand, block * kRows, min64(kRows, b.rows - block * kRows), total, seen);
    return ARN_OK;
  });
}

// Whether every index in the tables lies where it should, and every walk ends.
bool tables_hold(const arn_bind_args* args, int64_t features, int64_t outputs, int32_t* comparison) {
  const auto table = [&](int i) { return static_cast<const int32_t*>(args->constant[i]); };
  const auto count = [&](int i) { return element_count(args->operand[i]); };
  const int32_t *roots = table(1), *nodes = table(2), *leaves = table(4), *targets = table(5);
  const int64_t n = args->operand[2].dims[0], leaf_count = count(4) - 1;
  const auto fits = [&](int32_t child, int64_t after) {
    return child >= 0 ? child > after && child < n : ~child < leaf_count;
  };
  for (int64_t i = 0; i < count(1); ++i)
    if (!fits(roots[i], -1)) return false;
  *comparison = n > 0 ? nodes[1] : -1;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t* node = nodes + i * kNode;
    if (node[0] < 0 || node[0] >= features || node[2] < 0 || node[2] > 1 || !fits(node[3], i) || !fits(node[4], i))
      return false;
    if (node[1] != *comparison) *comparison = -1;
  }
  for (int64_t i = 0; i < leaf_count; ++i)
    if (leaves[i] < 0 || leaves[i] > leaves[i + 1] || leaves[i + 1] > count(5)) return false;
  for (int64_t i = 0; i < count(5); ++i)
    if (targets[i] < 0 || targets[i] >= outputs) return false;
  return true;
}

template <typename T, typename O>
int32_t bind_trees(const arn_bind_args* args, arn_bound* out, void* bound) {
  const arn_desc &x = args->operand[0], &nodes = args->operand[2], &y = args->operand[7];
  if (x.rank != 2 || y.rank != 2 || nodes.rank != 2 || nodes.dims[1] != kNode || x.dims[0] != y.dims[0])
    return ARN_SHAPE_MISMATCH;
  if (element_count(args->operand[3]) != nodes.dims[0] || element_count(args->operand[4]) < 1 ||
      element_count(args->operand[5]) != element_count(args->operand[6]))
    return ARN_SHAPE_MISMATCH;
  for (int i = 1; i < 7; ++i)
    if (args->constant[i] == nullptr && element_count(args->operand[i]) > 0) return ARN_UNSUPPORTED;
  TreesBound* b = static_cast<TreesBound*>(bound);
  if (!tables_hold(args, x.dims[1], y.dims[1], &b->comparison)) return ARN_SHAPE_MISMATCH;
  b->rows = x.dims[0];
  b->outputs = y.dims[1];
  b->trees = element_count(args->operand[1]);
  b->aggregate = static_cast<int32_t>(static_cast<const arn_trees_params*>(args->params)->aggregate);
  for (int i = 0; i < 2; ++i) {
    b->x_step[i] = x.strides[i];
    b->y_step[i] = y.strides[i];
  }
  b->blocks = ceil_div(b->rows, kRows);
  b->tasks = tasks_for(b->blocks, b->rows * b->trees * 512);
  bind_done(out, trees_tasks<T, O>, b->tasks, sizeof(TreesBound), "rows");
  out->thread_scratch = kRows * b->outputs * static_cast<int64_t>(sizeof(T) + 1);
  return ARN_OK;
}

}  // namespace
}  // namespace ARN_NS

ARN_DEFINE_BIND(trees_f32) { return ARN_NS::bind_trees<float, float>(args, out, bound); }
ARN_DEFINE_BIND(trees_f64) {
  return args->operand[7].dtype == ARN_F64 ? ARN_NS::bind_trees<double, double>(args, out, bound)
                                           : ARN_NS::bind_trees<double, float>(args, out, bound);
}
#endif
