// Tiles of matrix products: the loop that nearly all of the time is spent in.
#include "cpu/kernels/vector.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

// Sums are kept over at most this many products before they join the total: the rounding error of a
// long sum grows with its length, that of a sum of short sums hardly.
constexpr ptrdiff_t kMaxSum = 512;
constexpr ptrdiff_t kAhead = 4096;  // bytes of B that are asked for before they are needed

/** Few rows have few accumulators: several sets of them keep the multipliers busy. */
constexpr int setsFor(int rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }

template <int Rows>
using Sums = Vector[Rows][2];

/** sum += A (Rows × length) · B (length × panelWidth), whose end is returned. */
template <int Rows, typename Element>
[[gnu::always_inline]] inline const Element* multiply(Sums<Rows>& sum, const float* a,
                                                      ptrdiff_t aRowStride, ptrdiff_t length,
                                                      const Element* b, const char*& next) {
  constexpr int kSets = setsFor(Rows);
  constexpr ptrdiff_t kRowBytes = kPanelWidth * sizeof(Element);
  Vector sums[kSets][Rows][2] = {};
  ptrdiff_t k = 0;
  const auto step = [&](int set) __attribute__((always_inline)) {
    const Vector b0 = load(b);
    const Vector b1 = load(b + kLanes);
    b += kPanelWidth;
    __builtin_prefetch(next);
    if constexpr (kRowBytes > 64) __builtin_prefetch(next + 64);
    next += kRowBytes;
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      const float x = a[row * aRowStride + k];
      sums[set][row][0] += x * b0;
      sums[set][row][1] += x * b1;
    }
    ++k;
  };
  if constexpr (kSets > 1) {
    while (k + kSets <= length) {
#pragma GCC unroll 4
      for (int set = 0; set < kSets; ++set) step(set);
    }
  }
  while (k < length) step(0);
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 4
    for (int set = 0; set < kSets; ++set) {
      sum[row][0] += sums[set][row][0];
      sum[row][1] += sums[set][row][1];
    }
  }
  return b;
}

template <int Rows, typename Element>
void tileRows(const Tile& tile, const Element* b) {
  Vector total[Rows][2] = {};
  const char* next = tile.next != nullptr ? static_cast<const char*>(tile.next)
                                          : reinterpret_cast<const char*>(b) + kAhead;
  for (int segment = 0; segment < tile.segments; ++segment) {
    const float* a = tile.a + segment * tile.aSegmentStride;
    for (ptrdiff_t done = 0; done < tile.depth; done += kMaxSum) {
      const ptrdiff_t length = tile.depth - done < kMaxSum ? tile.depth - done : kMaxSum;
      b = multiply<Rows>(total, a + done, tile.aRowStride, length, b, next);
    }
  }

  for (int row = 0; row < Rows; ++row) {
    float* c = tile.c + row * tile.cRowStride;
    float partial[kPanelWidth];
    float* result = c;
    if (tile.columns < kPanelWidth) {
      result = partial;
      for (ptrdiff_t i = 0; i < kPanelWidth; ++i)
        partial[i] = tile.accumulate && i < tile.columns ? c[i] : 0.0F;
    }
    for (ptrdiff_t half = 0; half < 2; ++half) {
      Vector value = total[row][half];
      if (tile.accumulate) value += load(result + half * kLanes);
      if (tile.bias != nullptr) value += load(tile.bias + half * kLanes);
      if (tile.relu) value = rectify(value);
      store(result + half * kLanes, value);
    }
    if (result == partial) {
      for (int i = 0; i < tile.columns; ++i) c[i] = partial[i];
    }
  }
}

template <int Rows, typename Element>
void tileUpTo(const Tile& tile, const Element* b) {
  if constexpr (Rows > 0) {
    if (tile.rows == Rows) return tileRows<Rows>(tile, b);
    tileUpTo<Rows - 1>(tile, b);
  }
}

/** Windows pooled pixels, side by side. */
template <int Windows>
void pooledRows(const PooledTile& tile) {
  constexpr int kPixels = 4 * Windows;  // pixel 2i and 2i + 1 of either line belong to window i
  Vector total[kPixels][2] = {};
  const float* b = tile.b;
  const auto offset = [&](int pixel) __attribute__((always_inline)) {
    return pixel % (2 * Windows) * tile.aRowStride + pixel / (2 * Windows) * tile.aLineStride;
  };
  for (int segment = 0; segment < tile.segments; ++segment) {
    const float* a = tile.a + segment * tile.aSegmentStride;
    for (ptrdiff_t done = 0; done < tile.depth; done += kMaxSum) {
      const ptrdiff_t length = tile.depth - done < kMaxSum ? tile.depth - done : kMaxSum;
      Vector sum[kPixels][2] = {};
      for (ptrdiff_t k = 0; k < length; ++k) {
        const Vector b0 = load(b);
        const Vector b1 = load(b + kLanes);
        b += kPanelWidth;
#pragma GCC unroll 8
        for (int pixel = 0; pixel < kPixels; ++pixel) {
          const float x = a[offset(pixel) + k];
          sum[pixel][0] += x * b0;
          sum[pixel][1] += x * b1;
        }
      }
      a += length;
#pragma GCC unroll 8
      for (int pixel = 0; pixel < kPixels; ++pixel) {
        total[pixel][0] += sum[pixel][0];
        total[pixel][1] += sum[pixel][1];
      }
    }
  }
#pragma GCC unroll 2
  for (int window = 0; window < Windows; ++window) {
    float partial[kPanelWidth];
    float* c = tile.c + window * tile.cRowStride;
    float* result = tile.columns < kPanelWidth ? partial : c;
#pragma GCC unroll 2
    for (ptrdiff_t half = 0; half < 2; ++half) {
      const int left = 2 * window;
      const int below = left + 2 * Windows;
      Vector value = greater(greater(total[left][half], total[left + 1][half]),
                             greater(total[below][half], total[below + 1][half]));
      if (tile.bias != nullptr) value += load(tile.bias + half * kLanes);
      if (tile.relu) value = rectify(value);
      store(result + half * kLanes, value);
    }
    if (result == partial) {
      for (int i = 0; i < tile.columns; ++i) c[i] = partial[i];
    }
  }
}

}  // namespace

void tile(const Tile& tile) { tileUpTo<kMaxRows>(tile, tile.b); }
void tileOfHalf(const Tile& tile) { tileUpTo<kMaxRows>(tile, tile.halfB); }
void pooledTile(const PooledTile& tile) {
  if (tile.rows == kPooledRows) return pooledRows<kPooledRows>(tile);
  pooledRows<1>(tile);
}

}  // namespace vgg::cpu::VGG_KERNELS
