// Which input elements an output position of Resize reads, dim by dim, and how output rows are walked. Coordinates are
// those of the ONNX standard, in f64.
#pragma once

#include "kernels/resize/params.h"
#include "kernels/walk.h"

namespace ARN_NS {

struct ResizeDim {
  int64_t in, out, in_step, out_step;  // extents; strides in bytes (nearest) or elements
  double scale, begin, end;
  int64_t fed;    // index of its scale in the operand of scales, or -1
  int64_t taps;   // input elements read for one output position; 0: the dim is kept as it is
  int64_t table;  // of its taps, from the start of the tables
};

struct ResizeBound {
  ResizeDim dim[ARN_MAX_RANK];  // by the output's strides, largest first
  int64_t tables;               // taps of all dims
  int64_t units, tasks;         // a unit is one row of the innermost dim
  double a, extrapolation;
  int32_t rank, mode, coordinates, rounding, antialias, exclude_outside;
  int32_t bytes;  // of an element
  int32_t out_operand;
  uint64_t outside[2];  // nearest: the element that stands for extrapolation
};

constexpr int64_t kOutside = INT64_MIN;  // in a table: the position is extrapolated

// The input coordinate of output position y; false if it is to be extrapolated.
static inline bool resize_source(const ResizeBound& b, const ResizeDim& d, int64_t y, double* x) {
  const double in = static_cast<double>(d.in), at = static_cast<double>(y), length = d.scale * in;
  switch (b.coordinates) {
    case ARN_RESIZE_ALIGN_CORNERS:
      *x = length == 1 ? 0 : at * (in - 1) / (length - 1);
      return true;
    case ARN_RESIZE_ASYMMETRIC:
      *x = at / d.scale;
      return true;
    case ARN_RESIZE_TF_CROP_AND_RESIZE:
      *x = length == 1 ? (d.end - d.begin) * (in - 1) / 2 : at * (d.end - d.begin) * (in - 1) / (length - 1);
      *x += d.begin * (in - 1);
      return *x >= 0 && *x <= in - 1;
    case ARN_RESIZE_PYTORCH_HALF_PIXEL:
      *x = d.out > 1 ? (at + 0.5) / d.scale - 0.5 : 0;
      return true;
    case ARN_RESIZE_HALF_PIXEL_SYMMETRIC:
      *x = in / 2 * (1 - static_cast<double>(d.out) / length) + (at + 0.5) / d.scale - 0.5;
      return true;
    default:
      *x = (at + 0.5) / d.scale - 0.5;
      return true;
  }
}

// A coordinate as an index that may be compared and clamped: NaN and what is far outside become the ends.
static inline int64_t resize_index(double x, int64_t extent) {
  if (!(x > -1e9)) return -1000000000;
  return x > static_cast<double>(extent) + 1e9 ? extent + 1000000000 : static_cast<int64_t>(x);
}

static inline int64_t resize_clamp(int64_t i, int64_t extent) { return max64(0, min64(extent - 1, i)); }

// The kernel's width on either side, in input elements: 1 for linear, 2 for cubic, wider where it antialiases.
static inline int64_t resize_taps(const ResizeBound& b, const ResizeDim& d) {
  if (b.mode == ARN_RESIZE_NEAREST) return 1;
  const double support = b.mode == ARN_RESIZE_LINEAR ? 1 : 2;
  const double scale = b.antialias && d.scale < 1 ? d.scale : 1;
  const double start = __builtin_floor(-support / scale) + 1;
  return start < -1e6 ? 0 : 2 - 2 * static_cast<int64_t>(start);
}

// Takes the scales that only running knows; a dim that they leave as it is has no taps. False for a scale that is none.
static inline bool resize_settle(ResizeBound* b, const float* scales) {
  for (int i = 0; i < b->rank; ++i) {
    ResizeDim& d = b->dim[i];
    if (d.fed < 0) continue;
    d.scale = static_cast<double>(scales[d.fed]);
    if (!(d.scale > 0 && d.scale < 1e18)) return false;
    if (d.scale == 1 && d.in == d.out && b->coordinates != ARN_RESIZE_TF_CROP_AND_RESIZE) d.taps = 0;
  }
  return true;
}

// Dims, scales and the order of walking. `unit_bytes` is what strides are counted in, per element.
static inline int32_t plan_resize(const arn_bind_args* args, int64_t unit_bytes, ResizeBound* b) {
  const auto* p = static_cast<const arn_resize_params*>(args->params);
  const arn_desc &x = args->operand[0], &y = args->operand[args->n_in];
  const int64_t fed = args->n_in > 1 && args->operand[1].dtype != ARN_NONE ? element_count(args->operand[1]) : 0;
  if (x.rank != y.rank || x.dtype != y.dtype) return ARN_SHAPE_MISMATCH;
  b->out_operand = args->n_in;
  b->rank = 0;
  b->tables = 0;
  b->mode = static_cast<int32_t>(p->mode);
  b->coordinates = static_cast<int32_t>(p->coordinates);
  b->rounding = static_cast<int32_t>(p->rounding);
  b->antialias = p->antialias != 0;
  b->exclude_outside = p->exclude_outside != 0;
  b->a = p->cubic_coeff_a;
  b->extrapolation = p->extrapolation_value;
  b->bytes = static_cast<int32_t>(element_bytes(x.dtype));
  const int64_t total = element_count(y);
  for (int i = 0; i < x.rank; ++i) {
    ResizeDim d = {x.dims[i],
                   y.dims[i],
                   x.strides[i] * unit_bytes,
                   y.strides[i] * unit_bytes,
                   p->scales[i],
                   p->roi_begin[i],
                   p->roi_end[i],
                   p->fed[i] - 1,
                   0,
                   0};
    if (d.fed >= fed) return ARN_SHAPE_MISMATCH;
    if (d.fed >= 0 && b->antialias) return ARN_UNSUPPORTED;
    if (total > 0 && d.in == 0) return ARN_SHAPE_MISMATCH;
    if (!(d.scale > 0)) d.scale = total > 0 ? static_cast<double>(d.out) / static_cast<double>(d.in) : 1;
    const bool crop = b->coordinates == ARN_RESIZE_TF_CROP_AND_RESIZE && !(d.begin == 0 && d.end == 1);
    if (d.in != d.out || d.scale != 1 || crop || d.fed >= 0) {
      d.taps = resize_taps(*b, d);
      if (d.taps == 0) return ARN_UNSUPPORTED;
    } else if (d.out == 1) {
      continue;
    }
    int at = b->rank++;
    for (; at > 0 && __builtin_llabs(b->dim[at - 1].out_step) < __builtin_llabs(d.out_step); --at)
      b->dim[at] = b->dim[at - 1];
    b->dim[at] = d;
  }
  if (b->rank == 0) b->dim[b->rank++] = {1, 1, unit_bytes, unit_bytes, 1, 0, 1, -1, 0, 0};
  b->units = total == 0 ? 0 : 1;
  for (int i = 0; i < b->rank; ++i) {
    b->dim[i].table = b->tables;
    b->tables += b->dim[i].taps * b->dim[i].out;
    if (i + 1 < b->rank) b->units *= b->dim[i].out;
  }
  b->tasks = tasks_for(b->units, total * b->bytes * 2);
  return ARN_OK;
}

}  // namespace ARN_NS
