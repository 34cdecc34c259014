// Winograd's transforms for F(4 × 4, 3 × 3), vectorised over channels.
//
// The points are 0, ±√½, ±√2 and infinity: as cheap as the usual 0, ±1, ±2, with half the rounding
// error. Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (arXiv:1509.09308);
// the points' influence: Barabasz and others, arXiv:1803.10986.
#include "cpu/kernels/vector.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

constexpr float kA = 0.70710678F;   // √½
constexpr float kB = 1.41421356F;   // √2
constexpr float kA3 = 0.35355339F;  // √½³
constexpr float kB3 = 2.82842712F;  // √2³

/** y = Bᵀ·x, six vectors. */
[[gnu::always_inline]] inline void transformSix(const Vector (&x)[6], Vector (&y)[6]) {
  const Vector evenA = x[4] - 2.0F * x[2];
  const Vector oddA = kA * x[3] - kB * x[1];
  const Vector evenB = x[4] - 0.5F * x[2];
  const Vector oddB = kB * x[3] - kA * x[1];
  y[0] = x[0] + x[4] - 2.5F * x[2];
  y[1] = evenA + oddA;
  y[2] = evenA - oddA;
  y[3] = evenB + oddB;
  y[4] = evenB - oddB;
  y[5] = x[1] + x[5] - 2.5F * x[3];
}

/** y = Aᵀ·x, six vectors to four. */
[[gnu::always_inline]] inline void transformFour(const Vector (&x)[6], Vector (&y)[4]) {
  const Vector sumA = x[1] + x[2];
  const Vector differenceA = x[1] - x[2];
  const Vector sumB = x[3] + x[4];
  const Vector differenceB = x[3] - x[4];
  y[0] = x[0] + sumA + sumB;
  y[1] = kA * differenceA + kB * differenceB;
  y[2] = 0.5F * sumA + 2.0F * sumB;
  y[3] = kA3 * differenceA + kB3 * differenceB + x[5];
}

}  // namespace

// The loops below are not unrolled and step their pointers: three registers then address six
// vectors.

void winogradInput(const WinogradInput& transform) {
  const auto [from, rowStride, pixelStride, to, frequencyStride, channels] = transform;
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[6][6];  // [frequency down][pixel across]
    const float* pixel = from + c;
#pragma GCC unroll 1
    for (int x = 0; x < 6; ++x) {
      const float* below = pixel + 3 * rowStride;
      const Vector column[6] = {load(pixel), load(pixel + rowStride), load(pixel + 2 * rowStride),
                                load(below), load(below + rowStride), load(below + 2 * rowStride)};
      Vector result[6];
      transformSix(column, result);
#pragma GCC unroll 6
      for (int y = 0; y < 6; ++y) half[y][x] = result[y];
      pixel += pixelStride;
    }
    float* frequency = to + c;
#pragma GCC unroll 1
    for (int y = 0; y < 6; ++y) {
      Vector result[6];
      transformSix(half[y], result);
      float* right = frequency + 3 * frequencyStride;
      store(frequency, result[0]);
      store(frequency + frequencyStride, result[1]);
      store(frequency + 2 * frequencyStride, result[2]);
      store(right, result[3]);
      store(right + frequencyStride, result[4]);
      store(right + 2 * frequencyStride, result[5]);
      frequency = right + 3 * frequencyStride;
    }
  }
}

void winogradOutput(const WinogradOutput& transform) {
  const auto [from, frequencyStride, channels, to, rowStride, pixelStride, rows, columns, bias,
              relu, pool] = transform;
  const ptrdiff_t down = 6 * frequencyStride;
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[4][6];  // [pixel down][frequency across]
    const float* frequency = from + c;
#pragma GCC unroll 1
    for (int x = 0; x < 6; ++x) {
      const float* below = frequency + 3 * down;
      const Vector column[6] = {load(frequency), load(frequency + down), load(frequency + 2 * down),
                                load(below),     load(below + down),     load(below + 2 * down)};
      Vector result[4];
      transformFour(column, result);
#pragma GCC unroll 4
      for (int y = 0; y < 4; ++y) half[y][x] = result[y];
      frequency += frequencyStride;
    }
    const Vector shift = load(bias + c);
    const auto put = [&](float* at, Vector value) __attribute__((always_inline)) {
      value += shift;
      store(at, relu ? rectify(value) : value);
    };
    float* row = to + c;
    if (pool) {
#pragma GCC unroll 1
      for (ptrdiff_t y = 0; y < rows; ++y) {
        Vector above[4];
        Vector below[4];
        transformFour(half[2 * y], above);
        transformFour(half[2 * y + 1], below);
        put(row, greater(greater(above[0], above[1]), greater(below[0], below[1])));
        if (columns > 1) {
          put(row + pixelStride, greater(greater(above[2], above[3]), greater(below[2], below[3])));
        }
        row += rowStride;
      }
    } else {
#pragma GCC unroll 1
      for (int y = 0; y < rows; ++y) {
        Vector result[4];
        transformFour(half[y], result);
        put(row, result[0]);
        if (columns > 1) put(row + pixelStride, result[1]);
        if (columns > 2) put(row + 2 * pixelStride, result[2]);
        if (columns > 3) put(row + 3 * pixelStride, result[3]);
        row += rowStride;
      }
    }
  }
}

}  // namespace vgg::cpu::VGG_KERNELS
