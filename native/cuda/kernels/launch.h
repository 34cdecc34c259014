// The shapes in which the kernels are launched: shared by the kernels and by the host code that
// launches them, so it holds plain constants only. Every block is (kThreads, 1, 1); no kernel takes
// dynamic shared memory, and a grid's y and z are 1, where not said otherwise.
#pragma once

namespace geometry {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

constexpr long long ceilDiv(long long a, long long b) { return (a + b - 1) / b; }

/** Blocks for one thread per item. Items are vectors of 16 bytes of the output, except for
 * writeMatrix and readMatrix (4 elements of the matrix), packBias and foldBatchNorm (one padded
 * channel). */
constexpr long long blocksFor(long long items) { return ceilDiv(items, kThreads); }

/** toChannelsLast and toChannelsFirst move tiles of 32 pixels × 32 channels: grid
 * (transposeBlocks(n, pixels), transposeSlices(channels)), channels being the padded ones for
 * toChannelsLast. */
constexpr int kTransposeTile = 32;
constexpr long long transposeBlocks(long long n, long long pixels) {
  return n * ceilDiv(pixels, kTransposeTile);
}
constexpr long long transposeSlices(long long channels) {
  return ceilDiv(channels, kTransposeTile);
}

/** transposeMatrix moves such tiles of a matrix (rows, columns): grid (matrixTiles(columns),
 * matrixTiles(rows)). */
constexpr long long matrixTiles(long long count) { return ceilDiv(count, kTransposeTile); }

/** gemv: rows of the weight per block; it divides every padded number of outputs. The weight and
 * the bias are read before the kernel ahead has ended (programmatic dependent launch), so no kernel
 * of the same chain may write them. */
constexpr int gemvRows(int columns, int elementBytes) {
  return columns >= 4 && elementBytes == 2 ? 8 : 4;
}
constexpr long long gemvBlocks(long long outputs, int columns, int elementBytes) {
  return ceilDiv(outputs, gemvRows(columns, elementBytes));
}

/** sparseGemv: a block makes kSparseLanes vectors of outputs, a strip, from a part of the inputs,
 * of which it lists so many at a time: grid (strips · parts). It reads the weight and its flag
 * early.
 */
constexpr int kSparseLanes = 64;
constexpr int kSparseListed = 2048;
constexpr int kSparseResident = 2;
/** Inputs of a part that count as not zero, so that their weights may be asked for before x is
 * there: the first ones of each of so many vectors, where a part has them. */
constexpr int kSparseHead = 64;
constexpr int kSparseHeadVectors = 32;
constexpr long long sparseGemvStrips(long long vectors) { return ceilDiv(vectors, kSparseLanes); }
/** As many as are resident at once, with one vector of inputs at least. */
constexpr long long sparseGemvParts(long long strips, long long inputVectors, int multiprocessors) {
  const long long parts = kSparseResident * static_cast<long long>(multiprocessors) / strips;
  const long long most = parts < inputVectors ? parts : inputVectors;
  return most < 1 ? 1 : most;
}

/** softmax and topK take one block per row. */

/** convolution: a block makes a tile of pixels of 64 filters from 64 of the channels; the blocks of
 * the others are its cluster, neighbours in x: grid (tiles across · channels /
 * kConvolutionChannels, filters / kConvolutionFilters, tiles down · n). Like gemv it reads its
 * filter early. */
constexpr int kConvolutionTileHeight = 8;
constexpr int kConvolutionTileWidth = 16;
constexpr int kConvolutionFilters = 64;
constexpr int kConvolutionChannels = 64;
constexpr long long convolutionTilesAcross(long long w) {
  return ceilDiv(w, kConvolutionTileWidth);
}
constexpr long long convolutionTilesDown(long long h) { return ceilDiv(h, kConvolutionTileHeight); }
/** Its shared memory, in rows of 128 bytes: the tile's pixels with those around it, and after them
 * the filters of each tap. */
constexpr int kConvolutionPatchPixels = (kConvolutionTileHeight + 2) * (kConvolutionTileWidth + 2);
constexpr int kConvolutionPatchRows = (kConvolutionPatchPixels + 7) / 8 * 8;
constexpr int kConvolutionSharedBytes = 128 * (kConvolutionPatchRows + 9 * kConvolutionFilters);

/** firstLayer: a block makes tiles of this many pixels of the convolution, a quarter as many when
 * pooled, one after the other, and this many of its channels: grid (firstLayerBlocks, slices). Like
 * gemv it reads its filter early. */
constexpr int kFirstLayerTileHeight = 16;
constexpr int kFirstLayerTileWidth = 32;
constexpr int kFirstLayerChannels = 64;
constexpr long long firstLayerTiles(long long n, long long h, long long w) {
  return n * ceilDiv(h, kFirstLayerTileHeight) * ceilDiv(w, kFirstLayerTileWidth);
}
/** As many as are resident at once: two to a multiprocessor. */
constexpr long long firstLayerBlocks(long long tiles, int multiprocessors) {
  return tiles < 2LL * multiprocessors ? tiles : 2LL * multiprocessors;
}
constexpr long long firstLayerSlices(long long channels) {
  return ceilDiv(channels, kFirstLayerChannels);
}

/** Elements in a row of the first layer's filter: 27 taps and 5 zeros (first_layer_filter.h). */
constexpr int kFirstLayerTaps = 27;
constexpr int kFirstLayerRow = 32;

}  // namespace geometry
