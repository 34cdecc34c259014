// Decides how a 3 × 3 convolution of stride 1 is cut into Winograd tiles, and the tiles into
// blocks.
#pragma once

#include <array>

#include "core/op.h"
#include "core/shape.h"
#include "cpu/kernels.h"

namespace vgg::cpu {

/** A side of an output, cut into tile sides: first the tiles of 6 pixels, then the tiles of 4. */
struct WinogradCut {
  ptrdiff_t sixes, fours;

  [[nodiscard]] ptrdiff_t tiles() const { return sixes + fours; }
  /** Returns the frequencies of the longest tile. */
  [[nodiscard]] ptrdiff_t frequencies() const { return sixes > 0 ? 8 : 6; }
  /** Returns the frequencies of all tiles: the products along this side. */
  [[nodiscard]] ptrdiff_t products() const { return 8 * sixes + 6 * fours; }
  /** Returns the pixels that the tiles cover: the length of the side, or up to three more. */
  [[nodiscard]] ptrdiff_t pixels() const { return 6 * sixes + 4 * fours; }
};

/** How the filters of one layer are stored, for any batch. */
struct WinogradFilterForm {
  /** Frequencies per side, down and across: 8, or 6 if no tile is longer than 4 pixels. */
  int frequencies;
  /** Whether float16 is accurate enough: longer tiles amplify its rounding. */
  bool mayBeHalf;
};

/** The tiles of a block that have a frequency: rows [first, last) of the block. */
struct FrequencyRows {
  ptrdiff_t frequency;
  size_t filter;  // the index of this frequency in the filter
  ptrdiff_t first, last;
};

/** Tiles [first, last) of a run, which are processed together, and their products. */
struct WinogradBlock {
  ptrdiff_t first, last;
  std::array<FrequencyRows, 64> products;
  size_t productCount;
};

/** The tiles of an output. The bits of its sums depend on them. */
struct WinogradTiles {
  WinogradFilterForm form;
  WinogradCut down, across;
};

/** How the work of one layer is cut. */
struct WinogradTiling : WinogradTiles {
  ptrdiff_t images;  // images of a run
  ptrdiff_t blockCount;
  ptrdiff_t block;  // tiles of the largest block
  /** Whether all threads share one block, frequency by frequency, so that each filter is read once
   * per block. Otherwise each thread has a private block, which stays in its cache. */
  bool isShared;
  /** Strides in floats from tile to tile (Row) and from frequency to frequency, in the transformed
   * input and in the products. */
  ptrdiff_t inputRow, inputFrequency, productRow, productFrequency;

  struct Position {
    WinogradTile tile;
    ptrdiff_t image, y, x;
  };
  /** Returns the shape and position of tile `index` of a run. Tiles are ordered by shape: 6 × 4
   * (down × across), 6 × 6, 4 × 6, 4 × 4. The tiles that have a given frequency are therefore
   * contiguous. */
  [[nodiscard]] Position positionOf(ptrdiff_t index) const;
  [[nodiscard]] WinogradBlock blockAt(ptrdiff_t index) const;

  /** Return the number of tiles of an image, and of a run. */
  [[nodiscard]] ptrdiff_t tiles() const { return down.tiles() * across.tiles(); }
  [[nodiscard]] ptrdiff_t allTiles() const { return tiles() * images; }
  [[nodiscard]] ptrdiff_t frequencies() const { return down.frequencies() * across.frequencies(); }
  /** Returns the scratch floats that a block needs. */
  [[nodiscard]] size_t blockFloats() const {
    return static_cast<size_t>(frequencies() * (inputFrequency + productFrequency));
  }
  [[nodiscard]] size_t scratchFloats(int threads) const {
    return blockFloats() * static_cast<size_t>(isShared ? 1 : threads);
  }
};

/** Returns whether Winograd is better for a convolution with this weight (K, C, R, S) and an output
 * of height × width before its pool. */
bool suitsWinograd(const Conv2d& conv, const Shape& weight, ptrdiff_t height, ptrdiff_t width,
                   const Kernels& kernels);

/** Chooses the tiles for an output of height × width before its pool. `images` outputs share one
 * read of the filters. `isHalf`: filters are stored in float16 if their tiles allow it. A precise
 * convolution has only tiles of 4 pixels, because tiles of 6 amplify rounding, and float32 filters.
 */
WinogradTiles chooseTiles(const Conv2d& conv, bool isHalf, ptrdiff_t height, ptrdiff_t width,
                          ptrdiff_t images);

/** Cuts the work for `images` at once. The number of threads affects only which thread computes a
 * tile. */
WinogradTiling tileWinograd(const Shape& weight, const WinogradTiles& chosen, ptrdiff_t images,
                            const Kernels& kernels, int threads);

}  // namespace vgg::cpu
