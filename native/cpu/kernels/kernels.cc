// The inner loops, compiled once per instruction set with VGG_KERNELS as the name of the namespace.
// Nothing here may come from a header with inline functions: the linker keeps one copy of those,
// perhaps one that this machine cannot run.
#include "cpu/kernels.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

#if defined(__AVX512F__)
constexpr ptrdiff_t kLanes = 16;
constexpr int kMaxRows = 14;  // 28 accumulators, 2 columns of B and 1 broadcast in 32 registers
constexpr const char* kName = "avx512";
#elif defined(__AVX2__)
constexpr ptrdiff_t kLanes = 8;
constexpr int kMaxRows = 6;  // 12 + 2 + 1 of 16 registers
constexpr const char* kName = "avx2";
#elif defined(__aarch64__)
constexpr ptrdiff_t kLanes = 4;
constexpr int kMaxRows = 12;  // 24 + 2 + 1 of 32 registers
constexpr const char* kName = "neon";
#else
constexpr ptrdiff_t kLanes = 4;
constexpr int kMaxRows = 6;
constexpr const char* kName = "x86-64-v2";
#endif
constexpr ptrdiff_t kPanelWidth = 2 * kLanes;
// Sums are kept over at most this many products before they join the total: the rounding error of a
// long sum grows with its length, that of a sum of short sums hardly.
constexpr ptrdiff_t kMaxSum = 512;

using Vector = float __attribute__((vector_size(kLanes * sizeof(float))));
using Unaligned =
    float __attribute__((vector_size(kLanes * sizeof(float)), aligned(alignof(float)), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }
// NaN < 0 is false: NaN stays.
inline Vector rectify(Vector v) { return v < 0.0F ? Vector{} : v; }

template <int Rows>
void tileRows(const Tile& tile) {
  Vector total[Rows][2] = {};
  const float* b = tile.b;
  for (int segment = 0; segment < tile.segments; ++segment) {
    const float* a = tile.a + segment * tile.aSegmentStride;
    for (ptrdiff_t done = 0; done < tile.depth; done += kMaxSum) {
      const ptrdiff_t length = tile.depth - done < kMaxSum ? tile.depth - done : kMaxSum;
      Vector sum[Rows][2] = {};
      for (ptrdiff_t k = 0; k < length; ++k) {
        const Vector b0 = load(b);
        const Vector b1 = load(b + kLanes);
        b += kPanelWidth;
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
          const float x = a[row * tile.aRowStride + k];
          sum[row][0] += x * b0;
          sum[row][1] += x * b1;
        }
      }
      a += length;
      for (int row = 0; row < Rows; ++row) {
        total[row][0] += sum[row][0];
        total[row][1] += sum[row][1];
      }
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

template <int Rows>
void tileUpTo(const Tile& tile) {
  if constexpr (Rows > 0) {
    if (tile.rows == Rows) return tileRows<Rows>(tile);
    tileUpTo<Rows - 1>(tile);
  }
}

void maximum(float* to, const float* const* inputs, int count, ptrdiff_t length) {
  ptrdiff_t i = 0;
  for (; i + kLanes <= length; i += kLanes) {
    Vector greatest = load(inputs[0] + i);
    for (int k = 1; k < count; ++k) {
      const Vector v = load(inputs[k] + i);
      greatest = ((v > greatest) | (v != v)) ? v : greatest;
    }
    store(to + i, greatest);
  }
  for (; i < length; ++i) {
    float greatest = inputs[0][i];
    for (int k = 1; k < count; ++k) {
      const float v = inputs[k][i];
      greatest = v > greatest || v != v ? v : greatest;
    }
    to[i] = greatest;
  }
}

void affine(float* to, const float* from, const float* scale, const float* shift, ptrdiff_t length,
            bool relu) {
  for (ptrdiff_t i = 0; i < length; ++i) {
    float value = from[i];
    if (scale != nullptr) value *= scale[i];
    if (shift != nullptr) value += shift[i];
    to[i] = relu && value < 0.0F ? 0.0F : value;
  }
}

}  // namespace

extern const Kernels kernels{
    kName, static_cast<int>(kPanelWidth), kMaxRows, tileUpTo<kMaxRows>, maximum, affine};

}  // namespace vgg::cpu::VGG_KERNELS
