// The inner loops that are compiled once per instruction set (kernels/kernels.cc), behind one table
// of pointers.
#pragma once

#include <cstddef>

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
  const float* b;  // segments·depth × panelWidth
  float* c;
  ptrdiff_t cRowStride;
  int columns;        // ≤ panelWidth: how many are stored
  const float* bias;  // panelWidth floats, or null
  bool accumulate;    // add what C holds
  bool relu;
};

struct Kernels {
  const char* name;
  int panelWidth;  // columns of a tile: two vectors
  int maxRows;     // rows of a tile, as many as the registers hold
  void (*tile)(const Tile& tile);
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
