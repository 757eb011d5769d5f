// A tile program that Python built.
#pragma once

#include <array>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "contract.h"
#include "python/module.h"

namespace arenaut {

struct TileProgram {
  arn_tile tile{};
};

// reg_dtypes: compute dtype of every register; immediates: bit patterns for registers [n_in, n_in + len);
// instructions: (function, dst, a, b, c). Raises ValueError when a limit of the contract is passed.
inline TileProgram make_tile(const std::vector<int>& reg_dtypes, int n_in, const std::vector<uint64_t>& immediates,
                             const std::vector<std::array<int, 5>>& instructions, const std::vector<int>& out_regs,
                             int first_operand) {
  TileProgram p;
  arn_tile& t = p.tile;
  const int n_regs = static_cast<int>(reg_dtypes.size());
  if (n_regs > ARN_TILE_MAX_REGS || instructions.size() > ARN_TILE_MAX_INSTR || out_regs.size() > ARN_MAX_OPERANDS ||
      n_in < 0 || n_in + static_cast<int>(immediates.size()) > n_regs)
    throw std::invalid_argument("tile program over the limits of the contract");
  t.n_instr = static_cast<int32_t>(instructions.size());
  t.n_in = n_in;
  t.n_imm = static_cast<int32_t>(immediates.size());
  t.n_regs = n_regs;
  t.n_out = static_cast<int32_t>(out_regs.size());
  t.first_operand = first_operand;
  for (int i = 0; i < n_regs; ++i) t.reg_dtype[i] = static_cast<uint8_t>(reg_dtypes[static_cast<size_t>(i)]);
  for (size_t i = 0; i < immediates.size(); ++i) t.imm[i] = immediates[i];
  for (size_t i = 0; i < instructions.size(); ++i) {
    for (int k = 1; k < 5; ++k)
      if (instructions[i][static_cast<size_t>(k)] < 0 || instructions[i][static_cast<size_t>(k)] >= n_regs)
        throw std::invalid_argument("tile instruction names a register outside the program");
    t.instr[i] = {static_cast<uint16_t>(instructions[i][0]), static_cast<uint8_t>(instructions[i][1]),
                  static_cast<uint8_t>(instructions[i][2]), static_cast<uint8_t>(instructions[i][3]),
                  static_cast<uint8_t>(instructions[i][4])};
  }
  for (size_t i = 0; i < out_regs.size(); ++i) {
    if (out_regs[i] < 0 || out_regs[i] >= n_regs) throw std::invalid_argument("tile output names no register");
    t.out_reg[i] = static_cast<uint8_t>(out_regs[i]);
  }
  return p;
}

}  // namespace arenaut
