// The inner loops, compiled once per instruction set (kernels/*.cc) and called through a table of
// function pointers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vgg::cpu {

/**
 * A matrix product with one panel: C (rows × panelWidth) = A (rows × segments·depth) · B
 * (segments·depth × panelWidth). A row of A consists of `segments` runs of `depth` floats,
 * `aSegmentStride` apart. A row of a matrix is one segment; a pixel of a convolution has one
 * segment per row of its filter. All strides count floats.
 */
struct PanelProduct {
  const float* a;
  ptrdiff_t aRowStride, aSegmentStride;
  ptrdiff_t rows;
  int segments;
  ptrdiff_t depth;
  const float* b;         // segments·depth × panelWidth
  const uint16_t* halfB;  // B in float16, used instead of b
  ptrdiff_t bRowStride;   // panelWidth if the rows of B are contiguous
  /** Memory to prefetch during the product, as many bytes as B. Null: the bytes that follow B. */
  const void* next;
  /** Bytes between the prefetches that belong to consecutive rows of B. 0: `next` is contiguous. */
  ptrdiff_t nextStride;
  float* c;
  ptrdiff_t cRowStride;
  int columns;        // the number of stored columns, ≤ panelWidth
  const float* bias;  // panelWidth floats, or null
  bool accumulate;    // add the previous value of C
  bool relu;
};

/**
 * The product for pixels of two lines, `aLineStride` apart, fused with a 2 × 2 max pool. `rows`
 * counts pooled pixels; `halfB`, `bRowStride`, `next` and `accumulate` are unused.
 */
struct PooledPanelProduct : PanelProduct {
  ptrdiff_t aLineStride;
};

/**
 * A product with a strip of a linear layer's weight: C (rows × width) = A (rows × depth) · B. A row
 * of B has `width` elements, a multiple of kStripGrain. Column k of A is multiplied with row k of
 * B, or with row rowsOfB[k] if `rowsOfB` is given; A then has at most kStreamedRows rows. Strides
 * count floats.
 */
struct StripProduct {
  const float* a;
  ptrdiff_t aRowStride;
  ptrdiff_t rows, depth;
  const int32_t* rowsOfB;
  const float* b;
  const uint16_t* halfB;  // B in float16, used instead of b
  ptrdiff_t bRowStride;
  ptrdiff_t width;
  float* c;
  ptrdiff_t cRowStride;
};
/** This many elements are a whole number of panels for every instruction set, and of cache lines.
 */
constexpr ptrdiff_t kStripGrain = 32;
/** The maximum number of rows of a product with `rowsOfB`. */
constexpr int kStreamedRows = 6;

/** The output size of a Winograd tile, each side 4 or 6 pixels: F(down × across, 3 × 3). The tile
 * takes (down + 2) × (across + 2) input pixels and as many products. The frequencies of a shorter
 * side are the first ones of a longer side. */
struct WinogradTile {
  int down, across;
};
constexpr int kWinogradSides[] = {4, 6};

/** Transforms pixels at `from` to frequencies: (y, x) of the tile goes to to + y·frequencyRow +
 * x·frequencyStride. `channels` is a multiple of the lanes. */
struct WinogradInput {
  WinogradTile tile;
  const float* from;
  ptrdiff_t rowStride, pixelStride;
  float* to;
  ptrdiff_t frequencyRow, frequencyStride, channels;
};

/** Transforms frequencies to `rows` × `columns` pixels of the tile at `to`, or of its 2 × 2 max
 * pool if `pool` is set. */
struct WinogradOutput {
  WinogradTile tile;
  const float* from;
  ptrdiff_t frequencyRow, frequencyStride, channels;
  float* to;
  ptrdiff_t rowStride, pixelStride;
  int rows, columns;
  const float* bias;  // one per channel
  bool relu, pool;
};

struct Kernels {
  const char* name;
  int lanes;       // floats in a vector
  int panelWidth;  // columns of a panel: two vectors
  int maxRows;     // rows whose sums fit into registers, so that a panel is read once for them
  void (*multiply)(const PanelProduct& product);
  void (*multiplyAndPool)(const PooledPanelProduct& product);
  void (*multiplyStrip)(const StripProduct& product);
  void (*winogradInput)(const WinogradInput& transform);
  void (*winogradOutput)(const WinogradOutput& transform);
  /** Converts float16 to float32, exactly. Null if the hardware cannot: no float16 then. */
  void (*widen)(float* to, const uint16_t* from, ptrdiff_t length);
  /** Converts float32 to float16, rounded to nearest even. Null if `widen` is null. */
  void (*narrow)(uint16_t* to, const float* from, ptrdiff_t length);
  /** to[i] = the maximum of inputs[0..count)[i], or NaN if one is NaN. */
  void (*maximum)(float* to, const float* const* inputs, int count, ptrdiff_t length);
  /** to[i] = from[i] · scale[i] + shift[i], then ReLU if `relu` is set. scale may be null (1), and
   * shift too (0). */
  void (*affine)(float* to, const float* from, const float* scale, const float* shift,
                 ptrdiff_t length, bool relu);
};

namespace portable {
extern const Kernels kernels;  // x86-64-v2, NEON or the compiler's default target
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

}  // namespace vgg::cpu
