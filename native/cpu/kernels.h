// The inner loops that are compiled once per instruction set (kernels/*.cc), behind one table of
// pointers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vgg::cpu {

/**
 * One tile of a matrix product: C (rows × columns) = A (rows × segments·depth) · B (segments·depth
 * × panelWidth). A row of A is `segments` runs of `depth` floats, `aSegmentStride` apart: a row of
 * a matrix is one segment; a pixel of a convolution has one for each row of its filter. All strides
 * count floats.
 */
struct Tile {
  const float* a;
  ptrdiff_t aRowStride, aSegmentStride;
  int rows;  // ≤ maxRows
  int segments;
  ptrdiff_t depth;
  const float* b;         // segments·depth × panelWidth
  const uint16_t* halfB;  // tileOfHalf alone: B in float16
  /** What is brought into the caches meanwhile, a row of a panel for each row of B; null: what
   * follows in B. */
  const void* next;
  float* c;
  ptrdiff_t cRowStride;
  int columns;        // ≤ panelWidth: how many are stored
  const float* bias;  // panelWidth floats, or null
  bool accumulate;    // add what C holds
  bool relu;
};

/**
 * A convolution's tile with the 2 × 2 maximum after it: pixels of two lines, `aLineStride` apart,
 * make half a line of pooled ones. `rows` counts pooled pixels, `accumulate` and `next` are unused.
 */
struct PooledTile : Tile {
  ptrdiff_t aLineStride;
};

/** Winograd's F(4 × 4, 3 × 3): 6 × 6 input pixels and 36 frequencies make 4 × 4 output pixels. */
constexpr ptrdiff_t kWinogradOutput = 4;
constexpr ptrdiff_t kWinogradInput = 6;
constexpr ptrdiff_t kFrequencies = kWinogradInput * kWinogradInput;

/** Pixels at `from` → frequency f of the tile at to + f·frequencyStride. `channels` is a multiple
 * of the lanes. */
struct WinogradInput {
  const float* from;
  ptrdiff_t rowStride, pixelStride;
  float* to;
  ptrdiff_t frequencyStride, channels;
};

/** Frequencies → `rows` × `columns` pixels at `to`, of the 4 × 4, or of their 2 × 2 maxima where
 * pooled. */
struct WinogradOutput {
  const float* from;
  ptrdiff_t frequencyStride, channels;
  float* to;
  ptrdiff_t rowStride, pixelStride;
  int rows, columns;
  const float* bias;  // one per channel
  bool relu, pool;
};

struct Kernels {
  const char* name;
  int lanes;       // floats in a vector
  int panelWidth;  // columns of a tile: two vectors
  int maxRows;     // rows of a tile, as many as the registers hold
  int pooledRows;  // pooled pixels of a PooledTile, as many as the registers hold
  void (*tile)(const Tile& tile);
  void (*tileOfHalf)(const Tile& tile);
  void (*pooledTile)(const PooledTile& tile);
  void (*winogradInput)(const WinogradInput& transform);
  void (*winogradOutput)(const WinogradOutput& transform);
  /** float16 → float32, exactly. */
  void (*widen)(float* to, const uint16_t* from, ptrdiff_t length);
  /** float32 → float16, rounded to nearest even. */
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
