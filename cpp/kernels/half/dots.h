// The inner kernels of products of bfloat16 numbers: rows by packed panels, summed in float32. Plain C, because they
// are compiled for CPU features, apart from the tier's sources that call them.
//
// A panel of B is 16 columns: [k / 2][16 columns][2], so one vector of 64 bytes, or one row of an AMX tile, holds two
// values of k for 16 columns.
//
// A number with more bits than a bfloat16 is a sum of planes, each of which holds what the planes before leave: two for
// a float16, three for a float32. A product of such numbers is the sum of the products of plane i of A and plane j of B
// with i + j <= order; what is left out is 2^-8 (order + 1) of it or less.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ARN_HALF_LANES = 16, ARN_HALF_STEP = 32, ARN_HALF_PLANES = 3 };

// out[i][16 p + j] (+)= sum of A[i][k] B[p][k][j] over `steps` times 32 values of k. Rows of A are a_row elements
// apart, panels of B `panel`, rows of the output out_row. a_at: null, or how many elements after the first of a row
// each 32 of its values lie (kernels whose `finds` is set); a row is else one stretch.
typedef struct {
  const uint16_t* a[ARN_HALF_PLANES];
  const uint16_t* b[ARN_HALF_PLANES];
  const int64_t* a_at;
  int64_t a_row, panel, steps, rows, panels;
  int32_t a_planes, b_planes, order;
  int32_t add;  // whether `out` holds sums that these are added to
  float* out;
  int64_t out_row;
} arn_half_dots;

// Writes n numbers as planes, zeros up to a multiple of 32. 0: not all of more than one plane are finite.
typedef int32_t (*arn_half_split)(const void* from, int64_t n, uint16_t* const* plane);

typedef struct {
  const char* name;
  // Null, or what splits float32 numbers into one plane, float16 numbers into two.
  arn_half_split nearest_f32, split_f16;
  void (*begin)(int64_t rows);  // null, or called before `run` in the thread, again whenever `rows` changes
  void (*run)(const arn_half_dots*);
  void (*end)(void);  // after them
  int32_t finds;      // whether a_at is read
} arn_half_kernel;

#ifdef __cplusplus
}
#endif
