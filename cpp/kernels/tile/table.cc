// The tile functions of this tier, in the order of functions.inc, and their operand types.
#include "kernels/tile/table.h"

#include "kernels/tile/functions.h"

namespace ARN_NS {

const arn_tile_fn kTileFunctions[] = {
#define ARN_TILE_FN(name, result, a, b, c) name,
#include "kernels/tile/functions.inc"
#undef ARN_TILE_FN
};

const TileTypes kTileTypes[] = {
#define ARN_TILE_FN(name, result, a, b, c) {result, {a, b, c}},
#include "kernels/tile/functions.inc"
#undef ARN_TILE_FN
};

const int kTileFunctionCount = static_cast<int>(sizeof(kTileFunctions) / sizeof(kTileFunctions[0]));

}  // namespace ARN_NS

extern "C" const arn_tile_fn* ARN_CONCAT(arn_tile_table_, ARN_TIER_NAME, )() { return ARN_NS::kTileFunctions; }
