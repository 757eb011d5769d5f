// Convolutions of bytes, 3 x 3 taps and unit steps, in whole numbers by Winograd's algorithm F(4 x 4, 3 x 3): for each
// tile of 4 x 4 outputs, 36 products over the channels instead of 144. The sums are those of the direct way, exactly.
//
// Output = A^T [sum over channels of (G g G^T) * (B^T d B)] A for the 6 x 6 input patch d of a tile, at the points 0,
// 1, -1, 2, -2 and infinity. The rows of G are multiplied by 4, 6, 6, 24, 24 and 1, which makes whole numbers of it,
// and the columns of A^T by what lacks of 24: what comes out is 576 times the sums, modulo 2^32, or 64 times after a
// multiplication by the inverse of 9. Bytes of the input are signed here, so a sum of 9 * 224 products is below 2^25,
// and 64 times that fits. Patches become at most 100 * 128, filters 49 * 128: products of 16 bits, added in pairs.
#pragma once

#include "kernels/qmatmul/qgemm.h"

namespace ARN_NS {

constexpr int64_t kTileSide = 4, kPatchSide = 6, kTilePositions = 36;
constexpr int64_t kMostTiledChannels = 224;
// Channels that are transformed together.
constexpr int64_t kTiledChannels = ARN_VECTOR_BYTES < 32 ? ARN_VECTOR_BYTES : 32;

// Tiles of a batch, bytes from position to position of transformed filters, patches and products, and where these and
// the sums of a batch lie in thread scratch. rows 0: no tiles.
struct QTiles {
  int64_t rows, columns;
  int64_t filter, patch, product;
  int64_t at_filters, at_patches, at_products, at_sums;
};

// `panels` panels of the packed form of `channels` x 9 taps, `panel` bytes apart, to panels of words (pairs.h).
void transform_filters(const int8_t* from, int64_t panel, int64_t panels, int64_t channels, int64_t position, char* to);

// A patch whose pixels are `channels` bytes and whose lines are `line` bytes apart, each byte with `flip` toggled and
// signed then, to one row of words.
void transform_patch(const char* from, int64_t line, int64_t channels, uint8_t flip, int64_t position, char* to);

// Products of one tile, `columns` of them a position, to the sums of its pixels, `line` and `pixel` elements apart.
void transform_sums(const char* from, int64_t position, int64_t columns, int32_t* to, int64_t line, int64_t pixel);

// The products of `tiles` rows of patches by `panels` panels of filters, at every position.
void multiply_tiles(const QTiles& t, int64_t channels, int64_t tiles, int64_t panels, char* scratch);

}  // namespace ARN_NS
