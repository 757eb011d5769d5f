// A tile program as the epilogue of an anchor (MatMul, Conv, pooling, normalisation): applied to blocks of output 0 as
// they are computed, then stored to the output, whatever its strides and storage type.
//
//   bind:  Epilogue e;  (a member of the family's bound struct; pointer-free)
//          status = epilogue_bind(args, first_column, last_column, &e);  return it unless ARN_OK
//          out->thread_scratch = own bytes (a multiple of 64) + e.core.scratch_bytes;
//   run:   epilogue_begin(e, operand, scratch);                once per call of the run function
//          epilogue_run(e, operand, row, rows, col, cols, block, block_stride, scratch);   for every block
//
// Dims first_column .. last_column of output 0 (inclusive; both from 0 to rank - 1) flattened in row-major order are
// the columns, all other dims flattened in row-major order are the rows. So
//   MatMul [..., M, N]:                   epilogue_bind(args, rank - 1, rank - 1): row = (batch, m), column = n
//   Conv [N, C, H, W], block = channels:  epilogue_bind(args, 1, 1): row = (n, h, w), column = c (any physical layout)
//   Conv [N, C, H, W], block = pixels:    epilogue_bind(args, 2, 3): row = (n, c), column = (h, w)
// first_column > last_column: one column, everything is rows.
//
// Without a program (args->tile NULL) the epilogue is the store alone (conversion and strides) of an f32 block. With
// one, register 0 is the block, of compute type reg_dtype[0]; register r >= 1 is input operand first_operand + r - 1;
// output o of the program is output o of the step. ARN_BAD_VALUE: the program is malformed. ARN_UNSUPPORTED: it divides
// integers by what may be 0.
//
// The block is rows x cols elements, block_stride elements from row to row; any size, no alignment needed. It may be
// overwritten. It may be the output's own memory (same type, same positions). Wide blocks are best: from 256 columns on
// operands are used where they lie, narrower ones are done several rows at a time. Different blocks may run in
// different threads. An element's bytes do not depend on the block it is in.
#pragma once

#include "kernels/tile/program.h"

namespace ARN_NS {

struct Epilogue {
  TileCore core;
};

int32_t epilogue_bind(const arn_bind_args* args, int32_t first_column, int32_t last_column, Epilogue* e);
void epilogue_begin(const Epilogue& e, void* const* operand, void* scratch);
void epilogue_run(const Epilogue& e, void* const* operand, int64_t row, int64_t rows, int64_t col, int64_t cols,
                  void* block, int64_t block_stride, void* scratch);

}  // namespace ARN_NS
