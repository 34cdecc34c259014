#include "cpu/ops/conv2d/winograd_plan.h"

#include <unistd.h>

#include <algorithm>

namespace vgg::cpu {
namespace {

constexpr ptrdiff_t kSharedBlockTiles = 112;
// Filters of more than so many bytes are waited for where they are read again for fewer than so
// many tiles.
constexpr size_t kSmallFilterBytes = size_t{4} << 20;
constexpr ptrdiff_t kLeastOwnTiles = 14;
// Where threads are many their blocks get smaller, down to so many tiles of small filters, and of
// others: some fewer than kLeastOwnTiles, of which whole blocks seldom come out even.
constexpr ptrdiff_t kFewestTiles = 4;
constexpr ptrdiff_t kFewestTilesOfLarge = 12;
// A number of a filter takes as long to read from memory as so many products with it.
constexpr ptrdiff_t kProductsPerRead = 8;

/** The size of a cache, or `otherwise` where the system does not tell. */
size_t cacheBytes(int name, size_t otherwise) {
  const long bytes = name < 0 ? 0 : sysconf(name);
  return bytes > 0 ? static_cast<size_t>(bytes) : otherwise;
}

#ifdef _SC_LEVEL3_CACHE_SIZE
constexpr int kLevel2 = _SC_LEVEL2_CACHE_SIZE;
constexpr int kLevel3 = _SC_LEVEL3_CACHE_SIZE;
#else
constexpr int kLevel2 = -1;
constexpr int kLevel3 = -1;
#endif

/** How many tiles, `least` or more, make a block of a thread's own: its input and the products of a
 * panel take most of the second cache, filters pass by in the rest. 0: fewer would. */
ptrdiff_t ownBlockTiles(ptrdiff_t tileFloats, ptrdiff_t least, ptrdiff_t maxRows) {
  static const auto cache =
      static_cast<ptrdiff_t>(cacheBytes(kLevel2, size_t{512} << 10) / sizeof(float));
  const ptrdiff_t tiles = cache * 3 / 4 / tileFloats / maxRows * maxRows;
  if (tiles >= least) return tiles;
  // So many, if they overfill it by little.
  const ptrdiff_t more = divideUp(least, maxRows) * maxRows;
  return more * tileFloats <= cache * 9 / 8 ? more : 0;
}

/** Filters up to this size may be read again for each block of a thread's own: from a cache that
 * holds them beside what else passes. More than 16 MiB are not measured. */
size_t mostOwnFilterBytes() {
  static const size_t bytes = std::min(cacheBytes(kLevel3, size_t{8} << 20) / 2, size_t{16} << 20);
  return bytes;
}

/** A stride that is an odd number of cache lines: rows then fall into different sets. */
ptrdiff_t oddLines(ptrdiff_t floats) {
  const ptrdiff_t kLine = 16;
  return (divideUp(floats, kLine) | 1) * kLine;
}

WinogradCut cutIntoFours(ptrdiff_t length) { return {0, divideUp(length, 4)}; }

/** With the fewest products: all of it even lengths from 6 on without a pixel too many. */
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

WinogradPlan::Place WinogradPlan::place(ptrdiff_t index) const {
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

WinogradBlock WinogradPlan::blockAt(ptrdiff_t index) const {
  // The first frequencies are those of all tiles, the last those of the longer ones alone.
  constexpr ptrdiff_t kOfAll = 6;
  const ptrdiff_t longDown = down.sixes * across.tiles() * images;  // the first so many
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
  // Against 9 products for each pixel; the transforms come on top.
  return cut(height).products() * cut(width).products() * 3 <= height * width * 9 * 2;
}

WinogradTiles chooseTiles(bool isHalf, ptrdiff_t height, ptrdiff_t width, ptrdiff_t images) {
  WinogradTiles tiles{{}, cut(height), cut(width)};
  auto& [form, down, across] = tiles;
  form.frequencies = static_cast<int>(std::max(down.frequencies(), across.frequencies()));
  form.mayBeHalf = down.fours > down.sixes && across.fours > across.sixes;
  // Few tiles are sooner done by the shortest alone, which leave nearly half of the filters unread.
  const ptrdiff_t perRead = isHalf && form.mayBeHalf ? kProductsPerRead / 2 : kProductsPerRead;
  const auto cost = [=](const WinogradCut& y, const WinogradCut& x) {
    return images * y.products() * x.products() + perRead * y.frequencies() * x.frequencies();
  };
  const WinogradCut low = cutIntoFours(height);
  const WinogradCut narrow = cutIntoFours(width);
  if (cost(low, narrow) < cost(down, across)) {
    down = low;
    across = narrow;
  }
  return tiles;
}

WinogradPlan planWinograd(const Shape& weight, const WinogradTiles& chosen, ptrdiff_t images,
                          const Kernels& kernels, int threads) {
  const auto filters = static_cast<ptrdiff_t>(weight[0]);
  const auto channels = static_cast<ptrdiff_t>(weight[1]);
  WinogradPlan plan{};
  static_cast<WinogradTiles&>(plan) = chosen;
  plan.images = images;
  plan.inputRow = oddLines(channels);
  // A block of its own for each thread: its input and the products of one panel stay in its cache,
  // and the filters are read again for each block.
  const ptrdiff_t tiles = plan.allTiles();
  const ptrdiff_t perTile = plan.frequencies() * (plan.inputRow + kernels.panelWidth);
  const size_t filterBytes =
      elementCount(weight) / 9 * static_cast<size_t>(plan.frequencies()) * sizeof(float);
  const bool isSmall = filterBytes <= kSmallFilterBytes;
  const ptrdiff_t own = ownBlockTiles(perTile, isSmall ? 1 : kLeastOwnTiles, kernels.maxRows);
  // Two for each thread, so that a busy core costs less, unless they would be short of rows.
  ptrdiff_t each = own == 0 ? 1 : divideUp(tiles, own * threads);
  if (each == 1 && tiles >= ptrdiff_t{2} * threads * kernels.maxRows) each = 2;
  plan.isShared = filterBytes > mostOwnFilterBytes() || own == 0 ||
                  divideUp(tiles, each * threads) < (isSmall ? kFewestTiles : kFewestTilesOfLarge);
  if (plan.isShared) {
    plan.blockCount = divideUp(tiles, kSharedBlockTiles);
    plan.productRow = oddLines(divideUp(filters, kernels.panelWidth) * kernels.panelWidth);
  } else {
    plan.blockCount = each * threads;
    plan.productRow = kernels.panelWidth;
  }
  plan.block = divideUp(tiles, plan.blockCount);
  plan.inputFrequency = plan.block * plan.inputRow + 16;
  plan.productFrequency = plan.block * plan.productRow + 16;
  return plan;
}

}  // namespace vgg::cpu
