#include "cpu/ops/conv2d/winograd_tiling.h"

#include <algorithm>

#include "core/system.h"

namespace vgg::cpu {
namespace {

constexpr ptrdiff_t kSharedBlockTiles = 112;
// Filters larger than kSmallFilterBytes stall the products if they are reread for fewer than
// kMinOwnTiles tiles.
constexpr size_t kSmallFilterBytes = size_t{4} << 20;
constexpr ptrdiff_t kMinOwnTiles = 14;
// With many threads blocks shrink, but not below these numbers of tiles, for small filters and for
// large ones. The latter is below kMinOwnTiles, because whole blocks of that size seldom divide the
// tiles evenly.
constexpr ptrdiff_t kMinTiles = 4;
constexpr ptrdiff_t kMinTilesOfLarge = 12;
// Reading one filter value from memory costs as much as this many multiplications.
constexpr ptrdiff_t kProductsPerRead = 8;

/** Returns the number of tiles in a private block of a thread, at least `least`. Its input and the
 * products of a panel fill most of the L2 cache; filters stream through the rest. Returns 0 if only
 * fewer tiles fit. */
ptrdiff_t ownBlockTiles(ptrdiff_t tileFloats, ptrdiff_t least, ptrdiff_t maxRows) {
  static const auto cache =
      static_cast<ptrdiff_t>(cacheBytes(2, size_t{512} << 10) / sizeof(float));
  const ptrdiff_t tiles = cache * 3 / 4 / tileFloats / maxRows * maxRows;
  if (tiles >= least) return tiles;
  // Accept the minimum if it exceeds the cache only slightly.
  const ptrdiff_t more = divideUp(least, maxRows) * maxRows;
  return more * tileFloats <= cache * 9 / 8 ? more : 0;
}

/** Returns the maximum filter size that may be reread for each private block: a cache holds the
 * filters besides other data. Sizes above 16 MiB were not measured. */
size_t maxOwnFilterBytes() {
  static const size_t bytes = std::min(cacheBytes(3, size_t{8} << 20) / 2, size_t{16} << 20);
  return bytes;
}

/** Rounds a stride up to an odd number of cache lines, so that rows map to different cache sets. */
ptrdiff_t oddLines(ptrdiff_t floats) {
  const ptrdiff_t kLine = 16;
  return (divideUp(floats, kLine) | 1) * kLine;
}

WinogradCut cutIntoFours(ptrdiff_t length) { return {0, divideUp(length, 4)}; }

/** Returns the cut with the fewest products. Even lengths ≥ 6 are covered exactly. */
WinogradCut cut(ptrdiff_t length) {
  WinogradCut best{divideUp(length, 6), 0};
  for (ptrdiff_t fours = 1; fours <= 2; ++fours) {
    const WinogradCut mixed{divideUp(std::max<ptrdiff_t>(length - 4 * fours, 0), 6), fours};
    if (mixed.products() < best.products()) best = mixed;
  }
  return best;
}

/** Tiles of one shape. */
struct TilesOfShape {
  WinogradTile tile;
  ptrdiff_t rows, columns;
};

}  // namespace

WinogradTiling::Position WinogradTiling::positionOf(ptrdiff_t index) const {
  const TilesOfShape shapes[] = {{{6, 4}, down.sixes, across.fours},
                                 {{6, 6}, down.sixes, across.sixes},
                                 {{4, 6}, down.fours, across.sixes},
                                 {{4, 4}, down.fours, across.fours}};
  const TilesOfShape* shape = shapes;
  for (; index >= shape->rows * shape->columns * images; ++shape)
    index -= shape->rows * shape->columns * images;
  const ptrdiff_t perImage = shape->rows * shape->columns;
  const ptrdiff_t inImage = index % perImage;
  const auto start = [](const WinogradCut& side, int length, ptrdiff_t tile) {
    return length == 6 ? 6 * tile : 6 * side.sixes + 4 * tile;
  };
  return {shape->tile, index / perImage, start(down, shape->tile.down, inImage / shape->columns),
          start(across, shape->tile.across, inImage % shape->columns)};
}

WinogradBlock WinogradTiling::blockAt(ptrdiff_t index) const {
  // All tiles have the first frequencies; only the longer tiles have the last ones.
  constexpr ptrdiff_t kOfAll = 6;
  const ptrdiff_t longDown = down.sixes * across.tiles() * images;  // these tiles come first
  const ptrdiff_t longAcrossFrom = down.sixes * across.fours * images;
  const ptrdiff_t longAcrossTo = longAcrossFrom + down.tiles() * across.sixes * images;
  WinogradBlock block{};
  block.first = index * allTiles() / blockCount;
  block.last = (index + 1) * allTiles() / blockCount;
  for (ptrdiff_t y = 0; y < down.frequencies(); ++y) {
    for (ptrdiff_t x = 0; x < across.frequencies(); ++x) {
      ptrdiff_t first = block.first;
      ptrdiff_t last = block.last;
      if (y >= kOfAll) last = std::min(last, longDown);
      if (x >= kOfAll) {
        first = std::max(first, longAcrossFrom);
        last = std::min(last, longAcrossTo);
      }
      if (first >= last) continue;
      block.products[block.productCount++] = {y * across.frequencies() + x,
                                              static_cast<size_t>(y * form.frequencies + x),
                                              first - block.first, last - block.first};
    }
  }
  return block;
}

bool suitsWinograd(const Conv2d& conv, const Shape& weight, ptrdiff_t height, ptrdiff_t width,
                   const Kernels& kernels) {
  const auto lanes = static_cast<uint64_t>(kernels.lanes);
  if (weight[2] != 3 || weight[3] != 3 || conv.stride != 1) return false;
  if (weight[0] % lanes != 0 || weight[1] % lanes != 0) return false;
  // Compare with 9 products for each pixel. The transforms cost extra.
  return cut(height).products() * cut(width).products() * 3 <= height * width * 9 * 2;
}

WinogradTiles chooseTiles(const Conv2d& conv, bool isHalf, ptrdiff_t height, ptrdiff_t width,
                          ptrdiff_t images) {
  const WinogradCut low = cutIntoFours(height);
  const WinogradCut narrow = cutIntoFours(width);
  if (conv.precise) return {{6, false}, low, narrow};
  WinogradTiles tiles{{}, cut(height), cut(width)};
  auto& [form, down, across] = tiles;
  form.frequencies = static_cast<int>(std::max(down.frequencies(), across.frequencies()));
  form.mayBeHalf = down.fours > down.sixes && across.fours > across.sixes;
  // Few tiles run faster with only the shortest tiles, which skip nearly half of the filter values.
  const ptrdiff_t perRead = isHalf && form.mayBeHalf ? kProductsPerRead / 2 : kProductsPerRead;
  const auto cost = [=](const WinogradCut& y, const WinogradCut& x) {
    return images * y.products() * x.products() + perRead * y.frequencies() * x.frequencies();
  };
  if (cost(low, narrow) < cost(down, across)) {
    down = low;
    across = narrow;
  }
  return tiles;
}

WinogradTiling tileWinograd(const Shape& weight, const WinogradTiles& chosen, ptrdiff_t images,
                            const Kernels& kernels, int threads) {
  const auto filters = static_cast<ptrdiff_t>(weight[0]);
  const auto channels = static_cast<ptrdiff_t>(weight[1]);
  WinogradTiling tiling{};
  static_cast<WinogradTiles&>(tiling) = chosen;
  tiling.images = images;
  tiling.inputRow = oddLines(channels);
  // Private blocks: the input and the products of one panel stay in the thread's cache, and the
  // filters are reread for each block.
  const ptrdiff_t tiles = tiling.allTiles();
  const ptrdiff_t perTile = tiling.frequencies() * (tiling.inputRow + kernels.panelWidth);
  const size_t filterBytes =
      elementCount(weight) / 9 * static_cast<size_t>(tiling.frequencies()) * sizeof(float);
  const bool isSmall = filterBytes <= kSmallFilterBytes;
  const ptrdiff_t own = ownBlockTiles(perTile, isSmall ? 1 : kMinOwnTiles, kernels.maxRows);
  // Give each thread two blocks, so that a busy core costs less, unless they would have few rows.
  ptrdiff_t each = own == 0 ? 1 : divideUp(tiles, own * threads);
  if (each == 1 && tiles >= ptrdiff_t{2} * threads * kernels.maxRows) each = 2;
  tiling.isShared = filterBytes > maxOwnFilterBytes() || own == 0 ||
                    divideUp(tiles, each * threads) < (isSmall ? kMinTiles : kMinTilesOfLarge);
  if (tiling.isShared) {
    tiling.blockCount = divideUp(tiles, kSharedBlockTiles);
    tiling.productRow = oddLines(divideUp(filters, kernels.panelWidth) * kernels.panelWidth);
  } else {
    tiling.blockCount = each * threads;
    tiling.productRow = kernels.panelWidth;
  }
  tiling.block = divideUp(tiles, tiling.blockCount);
  tiling.inputFrequency = tiling.block * tiling.inputRow + 16;
  tiling.productFrequency = tiling.block * tiling.productRow + 16;
  return tiling;
}

}  // namespace vgg::cpu
