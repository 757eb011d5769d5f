// The rows, parameter tables and tile functions that were built, and what this machine can run of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contract.h"

namespace arenaut {

const std::vector<arn_row>& rows();
const std::vector<arn_params_table>& params_tables();

struct Enumeration {
  const char* name;
  const char* text;  // "FIRST, SECOND = 4": numbers go on from the one before, from 0
};
const std::vector<Enumeration>& enumerations();

struct TileFunction {
  const char* name;
  int32_t result, a, b, c;  // compute dtypes, ARN_NONE where unused
};
const std::vector<TileFunction>& tile_functions();
// The function pointers of a tier, indexed as tile_functions().
const arn_tile_fn* tile_table(int32_t tier);

struct Feature {
  const char* name;
  uint32_t bit;
  int32_t least_tier;  // the lowest tier that has sources for it
};
const std::vector<Feature>& features();

struct Cpu {
  arn_target target;   // the best this machine and its operating system allow, before ARENAUT_ISA_MAX
  std::string vendor;  // "x86-64", "aarch64"
  std::string reason;  // one sentence: why this tier
};
const Cpu& cpu();
const char* tier_name(int32_t tier);

}  // namespace arenaut
