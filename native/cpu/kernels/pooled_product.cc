// Panel products fused with a 2 × 2 max pool: only the maximum is stored.
#include "cpu/kernels/finish.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

/** Computes `Windows` adjacent pooled pixels. */
template <int Windows>
void poolRows(const PooledPanelProduct& product, const float* first, float* c) {
  constexpr int kPixels = 4 * Windows;  // pixels 2i and 2i + 1 of both lines belong to window i
  const float* b = product.b;
  const auto offset = [&](int pixel) __attribute__((always_inline)) {
    return pixel % (2 * Windows) * product.aRowStride + pixel / (2 * Windows) * product.aLineStride;
  };
  const auto addTo = [&](Vector(&sum)[kPixels][2], const float* a, ptrdiff_t length)
                         __attribute__((always_inline)) {
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
                         };
  const auto pool = [&](Vector(&sum)[kPixels][2]) __attribute__((always_inline)) {
    Vector greatest[Windows][2];
#pragma GCC unroll 2
    for (int window = 0; window < Windows; ++window) {
      const int left = 2 * window;
      const int below = left + 2 * Windows;
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        greatest[window][half] = greater(greater(sum[left][half], sum[left + 1][half]),
                                         greater(sum[below][half], sum[below + 1][half]));
      }
    }
    finish<Windows>(product, c, greatest);
  };
  Vector total[kPixels][2] = {};
  if (product.segments * product.depth <= kMaxSum) {
    for (int segment = 0; segment < product.segments; ++segment)
      addTo(total, first + segment * product.aSegmentStride, product.depth);
    pool(total);
    return;
  }
  for (int segment = 0; segment < product.segments; ++segment) {
    const float* a = first + segment * product.aSegmentStride;
    for (ptrdiff_t done = 0; done < product.depth; done += kMaxSum) {
      Vector sum[kPixels][2] = {};
      addTo(sum, a + done, product.depth - done < kMaxSum ? product.depth - done : kMaxSum);
      for (int pixel = 0; pixel < kPixels; ++pixel) {
        total[pixel][0] += sum[pixel][0];
        total[pixel][1] += sum[pixel][1];
      }
    }
  }
  pool(total);
}

}  // namespace

void multiplyAndPool(const PooledPanelProduct& product) {
  ptrdiff_t row = 0;
  const auto window = [&](ptrdiff_t count) {
    const float* a = product.a + 2 * row * product.aRowStride;
    float* c = product.c + row * product.cRowStride;
    row += count;
    if (count == kPooledRows) return poolRows<kPooledRows>(product, a, c);
    poolRows<1>(product, a, c);
  };
  while (row + kPooledRows <= product.rows) window(kPooledRows);
  while (row < product.rows) window(1);
}

}  // namespace vgg::cpu::VGG_KERNELS
