// The length of the sums in a panel product, and the final operations before they are stored to C.
#pragma once

#include "cpu/kernels/vector.h"

namespace vgg::cpu::VGG_KERNELS {

// Partial sums have at most this many products before they are added to the total. The rounding
// error of a long sum grows with its length; the error of a sum of short sums hardly grows.
constexpr ptrdiff_t kMaxSum = 512;

/** Adds the bias and the previous C, applies ReLU (each if the product asks for it) and stores. */
template <int Rows>
[[gnu::always_inline]] inline void finish(const PanelProduct& product, float* to,
                                          Vector (&sums)[Rows][2]) {
  if (product.bias != nullptr) {
    const Vector bias[2] = {load(product.bias), load(product.bias + kLanes)};
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      sums[row][0] += bias[0];
      sums[row][1] += bias[1];
    }
  }
  // The lanes of a short panel go through a temporary buffer.
  float partial[Rows][kPanelWidth];
  const bool isWhole = product.columns == kPanelWidth;
  float* c = isWhole ? to : partial[0];
  const ptrdiff_t stride = isWhole ? product.cRowStride : kPanelWidth;
  if (product.accumulate) {
    for (int row = 0; !isWhole && row < Rows; ++row) {
      for (int i = 0; i < kPanelWidth; ++i)
        partial[row][i] = i < product.columns ? to[row * product.cRowStride + i] : 0.0F;
    }
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      sums[row][0] += load(c + row * stride);
      sums[row][1] += load(c + row * stride + kLanes);
    }
  }
  if (product.relu) {
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
      sums[row][0] = rectify(sums[row][0]);
      sums[row][1] = rectify(sums[row][1]);
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < Rows; ++row) {
    store(c + row * stride, sums[row][0]);
    store(c + row * stride + kLanes, sums[row][1]);
  }
  for (int row = 0; !isWhole && row < Rows; ++row) {
    for (int i = 0; i < product.columns; ++i) to[row * product.cRowStride + i] = partial[row][i];
  }
}

}  // namespace vgg::cpu::VGG_KERNELS
