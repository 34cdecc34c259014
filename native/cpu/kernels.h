// The inner loops that are compiled once per instruction set (kernels/*.cc), behind one table of
// pointers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vgg::cpu {

/**
 * A matrix product with one panel: C (rows × panelWidth) = A (rows × segments·depth) · B
 * (segments·depth × panelWidth). A row of A is `segments` runs of `depth` floats, `aSegmentStride`
 * apart: a row of a matrix is one segment; a pixel of a convolution has one for each row of its
 * filter. All strides count floats.
 */
struct PanelProduct {
  const float* a;
  ptrdiff_t aRowStride, aSegmentStride;
  ptrdiff_t rows;
  int segments;
  ptrdiff_t depth;
  const float* b;         // segments·depth × panelWidth
  const uint16_t* halfB;  // in place of b: B in float16
  ptrdiff_t bRowStride;   // panelWidth where the rows of B follow each other
  /** What is brought near meanwhile, as much as B is; null: what follows within B. */
  const void* next;
  /** Bytes from what is brought near beside a row of B to that beside the next; 0: it is one run.
   */
  ptrdiff_t nextStride;
  float* c;
  ptrdiff_t cRowStride;
  int columns;        // ≤ panelWidth: how many are stored
  const float* bias;  // panelWidth floats, or null
  bool accumulate;    // add what C holds
  bool relu;
};

/**
 * The product for pixels of two lines, `aLineStride` apart, and the 2 × 2 maximum of each four.
 * `rows` counts those; `halfB`, `bRowStride`, `next` and `accumulate` are unused.
 */
struct PooledPanelProduct : PanelProduct {
  ptrdiff_t aLineStride;
};

/**
 * A product with a strip of a linear layer's weight: C (rows × width) = A (rows × depth) · B, rows
 * of `width` elements, a multiple of kStripGrain. Where `places` is given, A has at most
 * kStreamedRows rows and column k of A meets row places[k] of B; else row k. Strides count floats.
 */
struct StripProduct {
  const float* a;
  ptrdiff_t aRowStride;
  ptrdiff_t rows, depth;
  const int32_t* places;
  const float* b;
  const uint16_t* halfB;  // in place of b: B in float16
  ptrdiff_t bRowStride;
  ptrdiff_t width;
  float* c;
  ptrdiff_t cRowStride;
};
/** So many elements are whole panels for every instruction set, and whole lines of a cache. */
constexpr ptrdiff_t kStripGrain = 32;
/** A product with a list of places has at most so many rows. */
constexpr int kStreamedRows = 6;

/** The output of one of Winograd's tiles, each side 4 or 6 pixels: F(down × across, 3 × 3). It is
 * made of (down + 2) × (across + 2) input pixels by as many products, of which those of a shorter
 * side are the first. */
struct WinogradTile {
  int down, across;
};
constexpr int kWinogradSides[] = {4, 6};

/** Pixels at `from` → frequency (y, x) of the tile at to + y·frequencyRow + x·frequencyStride.
 * `channels` is a multiple of the lanes. */
struct WinogradInput {
  WinogradTile tile;
  const float* from;
  ptrdiff_t rowStride, pixelStride;
  float* to;
  ptrdiff_t frequencyRow, frequencyStride, channels;
};

/** Frequencies → `rows` × `columns` pixels at `to`, of the tile's, or of their 2 × 2 maxima where
 * pooled. */
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
  int maxRows;     // rows whose sums the registers hold: for so many a panel is read once
  void (*multiply)(const PanelProduct& product);
  void (*multiplyAndPool)(const PooledPanelProduct& product);
  void (*multiplyStrip)(const StripProduct& product);
  void (*winogradInput)(const WinogradInput& transform);
  void (*winogradOutput)(const WinogradOutput& transform);
  /** float16 → float32, exactly. Null where the hardware does not convert: no float16 there. */
  void (*widen)(float* to, const uint16_t* from, ptrdiff_t length);
  /** float32 → float16, rounded to nearest even. Null as `widen` is. */
  void (*narrow)(uint16_t* to, const float* from, ptrdiff_t length);
  /** to[i] = the greatest of inputs[0..count)[i], or NaN where one is NaN. */
  void (*maximum)(float* to, const float* const* inputs, int count, ptrdiff_t length);
  /** to[i] = from[i] · scale[i] + shift[i], then ReLU where asked for. scale may be null (1), and
   * shift too (0). */
  void (*affine)(float* to, const float* from, const float* scale, const float* shift,
                 ptrdiff_t length, bool relu);
};

namespace portable {
extern const Kernels kernels;  // x86-64-v2, NEON or whatever the compiler targets
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

}  // namespace vgg::cpu
