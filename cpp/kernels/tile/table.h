// The table of tile functions of this tier, by their index in functions.inc.
#pragma once

#include "kernels/kernel.h"

namespace ARN_NS {

struct TileTypes {
  uint8_t result, arg[3];  // ARN_NONE: unused
};
extern const arn_tile_fn kTileFunctions[];
extern const TileTypes kTileTypes[];
extern const int kTileFunctionCount;

}  // namespace ARN_NS
