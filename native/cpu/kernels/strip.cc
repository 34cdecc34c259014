// Products with a strip of a linear layer's weight: at memory speed for few rows of A, panel by
// panel for many.
#include "cpu/kernels/vector.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

// Rows of B that are read in parallel: eight streams of about 4 KiB are as fast as one stream
// through all of memory, wherever they begin. C is read and written once per this many rows.
constexpr int kStreams = 8;
// Rows of B in a block that is cut into panels: a quarter of a megabyte, while as much again is
// being prefetched.
constexpr ptrdiff_t kBlockRows = 64;
// Above kMaxRowsInPlace rows of A, each panel is worth a copy, which has kCopiedRows rows of B.
constexpr ptrdiff_t kMaxRowsInPlace = 40;
constexpr ptrdiff_t kCopiedRows = 128;

/** C += columns [k, k + Streams) of A · their rows of B. Prefetches as many further rows into the
 * L2 cache; the L1 cache is too small for them. */
template <int Rows, int Streams, typename Element>
[[gnu::always_inline]] inline void addStreams(const StripProduct& product, const Element* b,
                                              ptrdiff_t k) {
  constexpr ptrdiff_t kStep = kLine / static_cast<ptrdiff_t>(sizeof(Element));
  const Element* stream[Streams];
  const Element* next[Streams];
  float x[Rows][Streams];
#pragma GCC unroll 8
  for (int i = 0; i < Streams; ++i) {
    const ptrdiff_t following = k + Streams + i < product.depth ? k + Streams + i : k + i;
    stream[i] = b + product.rowsOfB[k + i] * product.bRowStride;
    next[i] = b + product.rowsOfB[following] * product.bRowStride;
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) x[row][i] = product.a[row * product.aRowStride + k + i];
  }
  for (ptrdiff_t at = 0; at < product.width; at += kStep) {
#pragma GCC unroll 8
    for (int i = 0; i < Streams; ++i) __builtin_prefetch(next[i] + at, 0, kSecondCache);
#pragma GCC unroll 8
    for (ptrdiff_t lane = at; lane < at + kStep; lane += kLanes) {
      Vector weights[Streams];
#pragma GCC unroll 8
      for (int i = 0; i < Streams; ++i) weights[i] = load(stream[i] + lane);
#pragma GCC unroll 8
      for (int row = 0; row < Rows; ++row) {
        Vector sum = x[row][0] * weights[0];
#pragma GCC unroll 8
        for (int i = 1; i < Streams; ++i) sum += x[row][i] * weights[i];
        float* c = product.c + row * product.cRowStride + lane;
        store(c, load(c) + sum);
      }
    }
  }
}

template <int Rows, typename Element>
void multiplyStreams(const StripProduct& product, const Element* b) {
  if constexpr (Rows > 1) {
    if (product.rows < Rows) return multiplyStreams<Rows - 1>(product, b);
  }
  for (int row = 0; row < Rows; ++row) {
    float* c = product.c + row * product.cRowStride;
    for (ptrdiff_t at = 0; at < product.width; at += kLanes) store(c + at, Vector{});
  }
  ptrdiff_t k = 0;
  for (; k + kStreams <= product.depth; k += kStreams) addStreams<Rows, kStreams>(product, b, k);
  for (; k < product.depth; ++k) addStreams<Rows, 1>(product, b, k);
}

/** Computes the product by blocks of B's rows, panel by panel. */
template <typename Element>
void multiplyPanels(const StripProduct& product, const Element* b) {
  constexpr ptrdiff_t kStep = kLine / static_cast<ptrdiff_t>(sizeof(Element));
  alignas(kLine) float copied[kCopiedRows * kPanelWidth];
  const bool isCopied = product.rows > kMaxRowsInPlace;
  const ptrdiff_t blockRows = isCopied ? kCopiedRows : kBlockRows;
  // If rows are more than a line longer than `width`, other tasks multiply the rest of them.
  const bool isShare = product.bRowStride > product.width + kStep;
  PanelProduct part{};
  part.aRowStride = product.aRowStride;
  part.rows = product.rows;
  part.segments = 1;
  part.bRowStride = isCopied ? kPanelWidth : product.bRowStride;
  part.nextStride = isShare ? product.bRowStride * static_cast<ptrdiff_t>(sizeof(Element)) : 0;
  part.cRowStride = product.cRowStride;
  part.columns = kPanelWidth;
  for (ptrdiff_t k = 0; k < product.depth; k += blockRows) {
    const ptrdiff_t left = product.depth - k;
    part.a = product.a + k;
    part.depth = left < blockRows ? left : blockRows;
    part.accumulate = k > 0;
    const Element* next = b + part.depth * product.bRowStride;
    // The panels prefetch as much as they read; this loop prefetches what lies between the rows.
    for (ptrdiff_t at = part.depth * product.width; !isShare && at < next - b; at += kStep)
      __builtin_prefetch(next + at, 0, kSecondCache);
    for (ptrdiff_t column = 0; column < product.width; column += kPanelWidth) {
      if (isCopied) {
        for (ptrdiff_t i = 0; i < part.depth; ++i) {
          const Element* row = b + i * product.bRowStride + column;
          if (isShare) __builtin_prefetch(row + part.depth * product.bRowStride, 0, kSecondCache);
          store(copied + i * kPanelWidth, load(row));
          store(copied + i * kPanelWidth + kLanes, load(row + kLanes));
        }
        part.b = copied;
      } else if constexpr (sizeof(Element) == sizeof(float)) {
        part.b = b + column;
      } else {
        part.halfB = b + column;
      }
      part.next = isShare ? next + column : next + column * part.depth;
      part.c = product.c + column;
      multiply(part);
    }
    b = next;
  }
}

template <typename Element>
void multiplyStripOf(const StripProduct& product, const Element* b) {
  if (product.rowsOfB != nullptr) return multiplyStreams<kStreamedRows>(product, b);
  multiplyPanels(product, b);
}

}  // namespace

void multiplyStrip(const StripProduct& product) {
#ifdef VGG_HALVES
  if (product.halfB != nullptr) return multiplyStripOf(product, product.halfB);
#endif
  multiplyStripOf(product, product.b);
}

}  // namespace vgg::cpu::VGG_KERNELS
