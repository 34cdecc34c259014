// How a 3 × 3 convolution of stride 1 is cut into Winograd's tiles, and its tiles into blocks.
#pragma once

#include <array>

#include "core/op.h"
#include "core/shape.h"
#include "cpu/kernels.h"

namespace vgg::cpu {

/** A side of an output, cut into sides of tiles: first those of 6 pixels, then those of 4. */
struct WinogradCut {
  ptrdiff_t sixes, fours;

  [[nodiscard]] ptrdiff_t tiles() const { return sixes + fours; }
  /** Of the longest tile. */
  [[nodiscard]] ptrdiff_t frequencies() const { return sixes > 0 ? 8 : 6; }
  /** All tiles' frequencies: the products along this side. */
  [[nodiscard]] ptrdiff_t products() const { return 8 * sixes + 6 * fours; }
  /** The pixels that the tiles cover: the side, or up to three more. */
  [[nodiscard]] ptrdiff_t pixels() const { return 6 * sixes + 4 * fours; }
};

/** How the filters of one layer are kept, whatever the batch. */
struct WinogradFilterForm {
  /** Either way: 8, or 6 where no tile is longer than 4 pixels. */
  int frequencies;
  /** Whether float16 may do: longer tiles amplify its rounding. */
  bool mayBeHalf;
};

/** The part of a block's tiles that has a frequency: rows [first, last) of the block. */
struct FrequencyRows {
  ptrdiff_t frequency;
  size_t filter;  // the same frequency's number among the filter's
  ptrdiff_t first, last;
};

/** Tiles [first, last) of a run, in work at once, and their products. */
struct WinogradBlock {
  ptrdiff_t first, last;
  std::array<FrequencyRows, 64> products;
  size_t productCount;
};

/** The tiles of an output, on which the bits of its sums depend. */
struct WinogradTiles {
  WinogradFilterForm form;
  WinogradCut down, across;
};

/** How the work of one layer is cut. */
struct WinogradPlan : WinogradTiles {
  ptrdiff_t images;  // of a run
  ptrdiff_t blockCount;
  ptrdiff_t block;  // tiles of the largest
  /** Whether all threads share a block between them, frequency by frequency, so that each filter is
   * read once for it; otherwise each has a block of its own, which stays in its cache. */
  bool isShared;
  /** Floats from a tile, and from a frequency, to the next: of the input and of the products. */
  ptrdiff_t inputRow, inputFrequency, productRow, productFrequency;

  struct Place {
    WinogradTile tile;
    ptrdiff_t image, y, x;
  };
  /** Tile `index` of a run. Tiles of one shape follow each other, so that those which have a
   * frequency do: 6 × 4 (down × across), 6 × 6, 4 × 6, 4 × 4. */
  [[nodiscard]] Place place(ptrdiff_t index) const;
  [[nodiscard]] WinogradBlock blockAt(ptrdiff_t index) const;

  /** Of an image, and of a run. */
  [[nodiscard]] ptrdiff_t tiles() const { return down.tiles() * across.tiles(); }
  [[nodiscard]] ptrdiff_t allTiles() const { return tiles() * images; }
  [[nodiscard]] ptrdiff_t frequencies() const { return down.frequencies() * across.frequencies(); }
  /** What a block takes. */
  [[nodiscard]] size_t blockFloats() const {
    return static_cast<size_t>(frequencies() * (inputFrequency + productFrequency));
  }
  [[nodiscard]] size_t scratchFloats(int threads) const {
    return blockFloats() * static_cast<size_t>(isShared ? 1 : threads);
  }
};

/** Whether Winograd's way is the better one for a convolution of this weight (K, C, R, S) with an
 * output of height × width before its pool. */
bool suitsWinograd(const Conv2d& conv, const Shape& weight, ptrdiff_t height, ptrdiff_t width,
                   const Kernels& kernels);

/** Tiles for an output of height × width before its pool. `images` of them share one read of the
 * filters. `isHalf`: filters that may be in float16 are. */
WinogradTiles chooseTiles(bool isHalf, ptrdiff_t height, ptrdiff_t width, ptrdiff_t images);

/** For `images` at once. Threads may change who computes a tile, and nothing else. */
WinogradPlan planWinograd(const Shape& weight, const WinogradTiles& chosen, ptrdiff_t images,
                          const Kernels& kernels, int threads);

}  // namespace vgg::cpu
