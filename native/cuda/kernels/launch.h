// The grids and blocks of the kernels. The kernels and the host code that launches them share this
// file, so it holds plain constants only. Unless a comment says otherwise, a block is
// (kThreads, 1, 1), a kernel has no dynamic shared memory, and a grid's y and z are 1.
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
 * (transposeBlocks(n, pixels), transposeSlices(channels)). toChannelsLast counts padded channels.
 */
constexpr int kTransposeTile = 32;
constexpr long long transposeBlocks(long long n, long long pixels) {
  return n * ceilDiv(pixels, kTransposeTile);
}
constexpr long long transposeSlices(long long channels) {
  return ceilDiv(channels, kTransposeTile);
}

/** transposeMatrix moves tiles of the same size of a matrix (rows, columns): grid
 * (matrixTiles(columns), matrixTiles(rows)). */
constexpr long long matrixTiles(long long count) { return ceilDiv(count, kTransposeTile); }

/** gemv: rows of the weight per block, a divisor of every padded number of outputs. gemv reads the
 * weight and the bias before the previous kernel has ended (programmatic dependent launch), so no
 * kernel of the same chain may write them. */
constexpr int gemvRows(int columns, int elementBytes) {
  return columns >= 4 && elementBytes == 2 ? 8 : 4;
}
constexpr long long gemvBlocks(long long outputs, int columns, int elementBytes) {
  return ceilDiv(outputs, gemvRows(columns, elementBytes));
}

/** sparseGemv: a block computes a strip, which is kSparseLanes vectors of outputs, from a part of
 * the inputs: grid (strips · parts). It lists kSparseListed inputs at a time. Like gemv it reads
 * the weight and its flag early. */
constexpr int kSparseLanes = 64;
constexpr int kSparseListed = 2048;
constexpr int kSparseResident = 2;
/** The head of a part: inputs that count as not zero, so that their weights can be prefetched
 * before x is there. They are the first inputs of each of the first kSparseHeadVectors vectors. A
 * part with fewer vectors has no head. */
constexpr int kSparseHead = 64;
constexpr int kSparseHeadVectors = 32;
constexpr long long sparseGemvStrips(long long vectors) { return ceilDiv(vectors, kSparseLanes); }
/** The number of parts whose blocks are all resident at once. Each has at least one vector. */
constexpr long long sparseGemvParts(long long strips, long long inputVectors, int multiprocessors) {
  const long long parts = kSparseResident * static_cast<long long>(multiprocessors) / strips;
  const long long most = parts < inputVectors ? parts : inputVectors;
  return most < 1 ? 1 : most;
}

/** softmax and topK take one block per row. */

/** convolution: a block computes a tile of pixels of 64 filters from 64 of the channels. The blocks
 * for the other channels form its cluster and are neighbours in x: grid (tiles across · channels /
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
/** Its shared memory, in rows of 128 bytes: the tile's pixels with their border, then the filters
 * of each tap. */
constexpr int kConvolutionPatchPixels = (kConvolutionTileHeight + 2) * (kConvolutionTileWidth + 2);
constexpr int kConvolutionPatchRows = (kConvolutionPatchPixels + 7) / 8 * 8;
constexpr int kConvolutionSharedBytes = 128 * (kConvolutionPatchRows + 9 * kConvolutionFilters);

/** firstLayer: a block computes one tile after the other. A tile has kFirstLayerTileHeight ×
 * kFirstLayerTileWidth pixels of the convolution, a quarter as many after pooling, and
 * kFirstLayerChannels channels: grid (firstLayerBlocks, slices). Like gemv it reads its filter
 * early. */
constexpr int kFirstLayerTileHeight = 16;
constexpr int kFirstLayerTileWidth = 32;
constexpr int kFirstLayerChannels = 64;
constexpr long long firstLayerTiles(long long n, long long h, long long w) {
  return n * ceilDiv(h, kFirstLayerTileHeight) * ceilDiv(w, kFirstLayerTileWidth);
}
/** One block for each tile, but no more than are resident at once, two to a multiprocessor. */
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
