// Winograd's transforms for F(4 × 4, 3 × 3) and F(6 × 6, 3 × 3), vectorised over channels.
//
// The points of the smaller are 0, ±√½, ±√2 and infinity: as cheap as the usual 0, ±1, ±2, with
// half the rounding error; those of the larger are 0, ±1, ±2, ±½ and infinity. Lavin and Gray, Fast
// Algorithms for Convolutional Neural Networks (arXiv:1509.09308); the points' influence: Barabasz
// and others, arXiv:1803.10986.
#include "cpu/kernels/vector.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

constexpr ptrdiff_t kLine = 16;  // floats that a line of a cache holds

template <int Side>
struct Transform;

template <>
struct Transform<4> {
  static constexpr float kA = 0.70710678F;   // √½
  static constexpr float kB = 1.41421356F;   // √2
  static constexpr float kA3 = 0.35355339F;  // √½³
  static constexpr float kB3 = 2.82842712F;  // √2³

  /** y = Bᵀ·x. */
  [[gnu::always_inline]] static inline void input(const Vector (&x)[6], Vector (&y)[6]) {
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

  /** y = Aᵀ·x. */
  [[gnu::always_inline]] static inline void output(const Vector (&x)[6], Vector (&y)[4]) {
    const Vector sumA = x[1] + x[2];
    const Vector differenceA = x[1] - x[2];
    const Vector sumB = x[3] + x[4];
    const Vector differenceB = x[3] - x[4];
    y[0] = x[0] + sumA + sumB;
    y[1] = kA * differenceA + kB * differenceB;
    y[2] = 0.5F * sumA + 2.0F * sumB;
    y[3] = kA3 * differenceA + kB3 * differenceB + x[5];
  }
};

template <>
struct Transform<6> {
  [[gnu::always_inline]] static inline void input(const Vector (&x)[8], Vector (&y)[8]) {
    const Vector even1 = x[2] + x[6] - 4.25F * x[4];
    const Vector odd1 = x[1] + x[5] - 4.25F * x[3];
    const Vector even2 = 0.25F * x[2] - 1.25F * x[4] + x[6];
    const Vector odd2 = 0.5F * x[1] - 2.5F * x[3] + 2.0F * x[5];
    const Vector evenHalf = 4.0F * x[2] - 5.0F * x[4] + x[6];
    const Vector oddHalf = 2.0F * x[1] - 2.5F * x[3] + 0.5F * x[5];
    y[0] = x[0] - x[6] + 5.25F * (x[4] - x[2]);
    y[1] = even1 + odd1;
    y[2] = even1 - odd1;
    y[3] = even2 + odd2;
    y[4] = even2 - odd2;
    y[5] = evenHalf + oddHalf;
    y[6] = evenHalf - oddHalf;
    y[7] = x[7] - x[1] + 5.25F * (x[3] - x[5]);
  }

  [[gnu::always_inline]] static inline void output(const Vector (&x)[8], Vector (&y)[6]) {
    const Vector sum1 = x[1] + x[2];
    const Vector difference1 = x[1] - x[2];
    const Vector sum2 = x[3] + x[4];
    const Vector difference2 = x[3] - x[4];
    const Vector sumHalf = x[5] + x[6];
    const Vector differenceHalf = x[5] - x[6];
    y[0] = x[0] + sum1 + sum2 + sumHalf;
    y[1] = difference1 + 2.0F * difference2 + 0.5F * differenceHalf;
    y[2] = sum1 + 4.0F * sum2 + 0.25F * sumHalf;
    y[3] = difference1 + 8.0F * difference2 + 0.125F * differenceHalf;
    y[4] = sum1 + 16.0F * sum2 + 0.0625F * sumHalf;
    y[5] = x[7] + difference1 + 32.0F * difference2 + 0.03125F * differenceHalf;
  }
};

// The loops below are not unrolled and step their pointers, three lines at a time: few registers
// then address all vectors.

/** Vectors `stride` apart. */
template <int Count>
[[gnu::always_inline]] inline void loadLine(const float* from, ptrdiff_t stride,
                                            Vector (&to)[Count]) {
#pragma GCC unroll 8
  for (int i = 0; i < Count; ++i) {
    to[i] = load(from + i % 3 * stride);
    if (i % 3 == 2) from += 3 * stride;
  }
}

/** Asks for the lines that the next channels will be stored to: they come from far. */
template <int Count>
[[gnu::always_inline]] inline void storeLine(const Vector (&from)[Count], float* to,
                                             ptrdiff_t stride) {
#pragma GCC unroll 8
  for (int i = 0; i < Count; ++i) {
    store(to + i % 3 * stride, from[i]);
    __builtin_prefetch(to + i % 3 * stride + kLine, 1);
    if (i % 3 == 2) to += 3 * stride;
  }
}

template <int Side>
void transformInput(const WinogradInput& transform) {
  constexpr int kSide = Side + 2;
  const auto [side, from, rowStride, pixelStride, to, frequencyStride, channels] = transform;
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[kSide][kSide];  // [frequency down][pixel across]
    const float* pixel = from + c;
#pragma GCC unroll 1
    for (int x = 0; x < kSide; ++x) {
      Vector column[kSide];
      loadLine(pixel, rowStride, column);
      Vector result[kSide];
      Transform<Side>::input(column, result);
#pragma GCC unroll 8
      for (int y = 0; y < kSide; ++y) half[y][x] = result[y];
      pixel += pixelStride;
    }
    float* frequency = to + c;
#pragma GCC unroll 1
    for (int y = 0; y < kSide; ++y) {
      Vector result[kSide];
      Transform<Side>::input(half[y], result);
      storeLine(result, frequency, frequencyStride);
      frequency += kSide * frequencyStride;
    }
  }
}

template <int Side>
void transformOutput(const WinogradOutput& transform) {
  constexpr int kSide = Side + 2;
  const auto [side, from, frequencyStride, channels, to, rowStride, pixelStride, rows, columns,
              bias, relu, pool] = transform;
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[Side][kSide];  // [pixel down][frequency across]
    const float* frequency = from + c;
#pragma GCC unroll 1
    for (int x = 0; x < kSide; ++x) {
      Vector column[kSide];
      loadLine(frequency, kSide * frequencyStride, column);
      Vector result[Side];
      Transform<Side>::output(column, result);
#pragma GCC unroll 8
      for (int y = 0; y < Side; ++y) half[y][x] = result[y];
      frequency += frequencyStride;
    }
    const Vector shift = load(bias + c);
    const auto put = [&](float* at, Vector value) __attribute__((always_inline)) {
      value += shift;
      store(at, relu ? rectify(value) : value);
    };
    float* row = to + c;
#pragma GCC unroll 1
    for (ptrdiff_t y = 0; y < rows; ++y) {
      float* pixel = row;
      row += rowStride;
      if (pool) {
        Vector above[Side];
        Vector below[Side];
        Transform<Side>::output(half[2 * y], above);
        Transform<Side>::output(half[2 * y + 1], below);
#pragma GCC unroll 8
        for (int x = 0; x < Side; x += 2) {
          if (x >= 2 * columns) break;
          put(pixel, greater(greater(above[x], above[x + 1]), greater(below[x], below[x + 1])));
          pixel += pixelStride;
        }
      } else {
        Vector result[Side];
        Transform<Side>::output(half[y], result);
#pragma GCC unroll 8
        for (int x = 0; x < Side; ++x) {
          if (x >= columns) break;
          put(pixel, result[x]);
          pixel += pixelStride;
        }
      }
    }
  }
}

}  // namespace

void winogradInput(const WinogradInput& transform) {
  transform.side == 4 ? transformInput<4>(transform) : transformInput<6>(transform);
}

void winogradOutput(const WinogradOutput& transform) {
  transform.side == 4 ? transformOutput<4>(transform) : transformOutput<6>(transform);
}

}  // namespace vgg::cpu::VGG_KERNELS
