// Filters transformed for Winograd's algorithm, in double precision, rounded once.
#include "kernels/conv/winograd/winograd.h"

namespace ARN_NS {
namespace {

constexpr double kRoot = 1.41421356237309504880;
const double kG4[6][3] = {{1, 0, 0},
                          {-2.0 / 3, -kRoot / 3, -1.0 / 3},
                          {-2.0 / 3, kRoot / 3, -1.0 / 3},
                          {1.0 / 6, kRoot / 6, 1.0 / 3},
                          {1.0 / 6, -kRoot / 6, 1.0 / 3},
                          {0, 0, 1}};
const double kG2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

// One lane of a panel: g is the filter, to the first position; positions are `apart` elements from each other.
template <int A>
void transform_filter(const double (&matrix)[A][3], const double (&g)[3][3], float* to, int64_t apart) {
  double half[A][3];
  for (int i = 0; i < A; ++i)
    for (int j = 0; j < 3; ++j) half[i][j] = matrix[i][0] * g[0][j] + matrix[i][1] * g[1][j] + matrix[i][2] * g[2][j];
  for (int i = 0; i < A; ++i)
    for (int j = 0; j < A; ++j)
      to[(i * A + j) * apart] =
          static_cast<float>(half[i][0] * matrix[j][0] + half[i][1] * matrix[j][1] + half[i][2] * matrix[j][2]);
}

template <int A>
void pack_group(const double (&matrix)[A][3], const RawWeights& r, const float* w, float* dst) {
  constexpr int64_t L = kLanesF32;
  const int64_t panels = ceil_div(r.og, L), apart = panels * r.cg * L;
  for (int64_t v = 0; v < panels; ++v)
    for (int64_t c = 0; c < r.cg; ++c) {
      float block[A * A][L] = {};
      for (int64_t l = 0; l < min64(L, r.og - v * L); ++l) {
        const float* from = w + (v * L + l) * r.out + c * r.in;
        double g[3][3];
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 3; ++j) g[i][j] = static_cast<double>(from[i * r.at[1] + j * r.at[2]]);
        transform_filter<A>(matrix, g, &block[0][l], L);
      }
      float* to = dst + (v * r.cg + c) * L;
      for (int64_t p = 0; p < A * A; ++p) store_f32(to + p * apart, load_f32(block[p]));
    }
}

}  // namespace

int32_t winograd_tile(const arn_bind_args* args) {
  if (args->params == nullptr || args->n_in < 2) return 0;
  const arn_conv_params& p = *static_cast<const arn_conv_params*>(args->params);
  const arn_desc& w = args->operand[1];
  if ((p.form != 2 && p.form != 4) || p.spatial != 2 || w.rank != 4 || w.dims[2] != 3 || w.dims[3] != 3) return 0;
  if (p.group < 1 || w.dims[0] < 1 || w.dims[1] < 1 || w.dims[0] % p.group != 0) return 0;
  for (int i = 0; i < 2; ++i)
    if (p.kernel[i] != 3 || p.strides[i] != 1 || p.dilations[i] != 1) return 0;
  return static_cast<int32_t>(p.form);
}

int64_t winograd_pack_bytes(const arn_bind_args* args) {
  const int64_t a = winograd_tile(args) + 2;
  const RawWeights r = raw_weights(args->operand[1], *static_cast<const arn_conv_params*>(args->params), false);
  return r.groups * a * a * round_up(r.og, kLanesF32) * r.cg * 4;
}

void winograd_pack(const arn_bind_args* args, float* dst) {
  const int64_t a = winograd_tile(args) + 2;
  const RawWeights r = raw_weights(args->operand[1], *static_cast<const arn_conv_params*>(args->params), false);
  for (int64_t g = 0; g < r.groups; ++g) {
    const float* w = static_cast<const float*>(args->constant[1]) + g * r.group;
    float* to = dst + g * a * a * round_up(r.og, kLanesF32) * r.cg;
    if (a == 4)
      pack_group<4>(kG2, r, w, to);
    else
      pack_group<6>(kG4, r, w, to);
  }
}

}  // namespace ARN_NS
