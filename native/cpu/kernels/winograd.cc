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

void winogradInput(const WinogradInput& transform) {
  const auto [from, rowStride, pixelStride, to, frequencyStride, channels] = transform;
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[6][6];  // [frequency down][pixel across]
#pragma GCC unroll 6
    for (int x = 0; x < 6; ++x) {
      Vector column[6];
      Vector result[6];
#pragma GCC unroll 6
      for (int y = 0; y < 6; ++y) column[y] = load(from + y * rowStride + x * pixelStride + c);
      transformSix(column, result);
#pragma GCC unroll 6
      for (int y = 0; y < 6; ++y) half[y][x] = result[y];
    }
#pragma GCC unroll 6
    for (int y = 0; y < 6; ++y) {
      Vector result[6];
      transformSix(half[y], result);
#pragma GCC unroll 6
      for (int x = 0; x < 6; ++x) store(to + (y * 6 + x) * frequencyStride + c, result[x]);
    }
  }
}

void winogradOutput(const WinogradOutput& transform) {
  const auto [from, frequencyStride, channels, to, rowStride, pixelStride, rows, columns, bias,
              relu, pool] = transform;
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[4][6];  // [pixel down][frequency across]
#pragma GCC unroll 6
    for (int x = 0; x < 6; ++x) {
      Vector column[6];
      Vector result[4];
#pragma GCC unroll 6
      for (int y = 0; y < 6; ++y) column[y] = load(from + (y * 6 + x) * frequencyStride + c);
      transformFour(column, result);
#pragma GCC unroll 4
      for (int y = 0; y < 4; ++y) half[y][x] = result[y];
    }
    const Vector shift = load(bias + c);
    Vector above[4];
#pragma GCC unroll 4
    for (int y = 0; y < 4; ++y) {
      Vector result[4];
      transformFour(half[y], result);
      if (pool) {
        if (y % 2 == 0) {
#pragma GCC unroll 4
          for (int x = 0; x < 4; ++x) above[x] = result[x];
          continue;
        }
        if (y / 2 >= rows) break;
#pragma GCC unroll 2
        for (int x = 0; x < 2; ++x) {
          Vector value = greater(greater(above[2 * x], above[2 * x + 1]),
                                 greater(result[2 * x], result[2 * x + 1])) +
                         shift;
          if (relu) value = rectify(value);
          if (x < columns) store(to + y / 2 * rowStride + x * pixelStride + c, value);
        }
      } else {
        if (y >= rows) break;
#pragma GCC unroll 4
        for (int x = 0; x < 4; ++x) {
          Vector value = result[x] + shift;
          if (relu) value = rectify(value);
          if (x < columns) store(to + y * rowStride + x * pixelStride + c, value);
        }
      }
    }
  }
}

}  // namespace vgg::cpu::VGG_KERNELS
