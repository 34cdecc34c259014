// Winograd's transforms for tiles of 4 or 6 pixels either way and filters of 3 × 3, vectorised over
// channels.
//
// The points are 0, ±2, ±½ and infinity for 4 pixels, and additionally ±1 for 6. The frequencies of
// the smaller tile are therefore the first ones of the larger, with the same filters. Sources:
// Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (arXiv:1509.09308); for the
// influence of the points, Barabasz and others, arXiv:1803.10986.
#include "cpu/kernels/vector.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

constexpr ptrdiff_t kLineFloats = kLine / static_cast<ptrdiff_t>(sizeof(float));

/** The transform along one side of a tile. */
template <int Pixels>
struct Transform;

template <>
struct Transform<4> {
  /** y = Bᵀ·x. */
  [[gnu::always_inline]] static inline void input(const Vector (&x)[6], Vector (&y)[6]) {
    const Vector even2 = 3.0F * x[4] - 0.75F * x[2];
    const Vector odd2 = 6.0F * x[3] - 1.5F * x[1];
    const Vector evenHalf = 3.0F * x[2] - 0.75F * x[4];
    const Vector oddHalf = 1.5F * x[1] - 0.375F * x[3];
    y[0] = x[0] + x[4] - 4.25F * x[2];
    y[1] = even2 + odd2;
    y[2] = even2 - odd2;
    y[3] = evenHalf + oddHalf;
    y[4] = evenHalf - oddHalf;
    y[5] = x[1] + x[5] - 4.25F * x[3];
  }

  /** y = Aᵀ·x. */
  [[gnu::always_inline]] static inline void output(const Vector (&x)[6], Vector (&y)[4]) {
    const Vector sum2 = x[1] + x[2];
    const Vector difference2 = x[1] - x[2];
    const Vector sumHalf = x[3] + x[4];
    const Vector differenceHalf = x[3] - x[4];
    y[0] = x[0] + sum2 + sumHalf;
    y[1] = 2.0F * difference2 + 0.5F * differenceHalf;
    y[2] = 4.0F * sum2 + 0.25F * sumHalf;
    y[3] = x[5] + 8.0F * difference2 + 0.125F * differenceHalf;
  }
};

template <>
struct Transform<6> {
  [[gnu::always_inline]] static inline void input(const Vector (&x)[8], Vector (&y)[8]) {
    const Vector even2 = 0.25F * x[2] - 1.25F * x[4] + x[6];
    const Vector odd2 = 0.5F * x[1] - 2.5F * x[3] + 2.0F * x[5];
    const Vector evenHalf = 4.0F * x[2] - 5.0F * x[4] + x[6];
    const Vector oddHalf = 2.0F * x[1] - 2.5F * x[3] + 0.5F * x[5];
    const Vector even1 = x[2] + x[6] - 4.25F * x[4];
    const Vector odd1 = x[1] + x[5] - 4.25F * x[3];
    y[0] = x[0] - x[6] + 5.25F * (x[4] - x[2]);
    y[1] = even2 + odd2;
    y[2] = even2 - odd2;
    y[3] = evenHalf + oddHalf;
    y[4] = evenHalf - oddHalf;
    y[5] = x[7] - x[1] + 5.25F * (x[3] - x[5]);
    y[6] = even1 + odd1;
    y[7] = even1 - odd1;
  }

  [[gnu::always_inline]] static inline void output(const Vector (&x)[8], Vector (&y)[6]) {
    const Vector sum2 = x[1] + x[2];
    const Vector difference2 = x[1] - x[2];
    const Vector sumHalf = x[3] + x[4];
    const Vector differenceHalf = x[3] - x[4];
    const Vector sum1 = x[6] + x[7];
    const Vector difference1 = x[6] - x[7];
    y[0] = x[0] + sum1 + sum2 + sumHalf;
    y[1] = difference1 + 2.0F * difference2 + 0.5F * differenceHalf;
    y[2] = sum1 + 4.0F * sum2 + 0.25F * sumHalf;
    y[3] = difference1 + 8.0F * difference2 + 0.125F * differenceHalf;
    y[4] = sum1 + 16.0F * sum2 + 0.0625F * sumHalf;
    y[5] = x[5] + difference1 + 32.0F * difference2 + 0.03125F * differenceHalf;
  }
};

// The loops below are not unrolled and advance their pointers three lines at a time, so that few
// registers address all vectors.

/** Loads vectors that are `stride` apart. */
template <int Count>
[[gnu::always_inline]] inline void loadLine(const float* from, ptrdiff_t stride,
                                            Vector (&to)[Count]) {
#pragma GCC unroll 8
  for (int i = 0; i < Count; ++i) {
    to[i] = load(from + i % 3 * stride);
    if (i % 3 == 2) from += 3 * stride;
  }
}

/** Stores vectors and prefetches the lines of the next channels' stores, which are far away. */
template <int Count>
[[gnu::always_inline]] inline void storeLine(const Vector (&from)[Count], float* to,
                                             ptrdiff_t stride) {
#pragma GCC unroll 8
  for (int i = 0; i < Count; ++i) {
    store(to + i % 3 * stride, from[i]);
    __builtin_prefetch(to + i % 3 * stride + kLineFloats, 1);
    if (i % 3 == 2) to += 3 * stride;
  }
}

template <int Down, int Across>
void transformInput(const WinogradInput& transform) {
  constexpr int kDown = Down + 2;
  constexpr int kAcross = Across + 2;
  const auto [tile, from, rowStride, pixelStride, to, frequencyRow, frequencyStride, channels] =
      transform;
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[kDown][kAcross];  // [frequency down][pixel across]
    const float* pixel = from + c;
#pragma GCC unroll 1
    for (int x = 0; x < kAcross; ++x) {
      Vector column[kDown];
      loadLine(pixel, rowStride, column);
      Vector result[kDown];
      Transform<Down>::input(column, result);
#pragma GCC unroll 8
      for (int y = 0; y < kDown; ++y) half[y][x] = result[y];
      pixel += pixelStride;
    }
    float* frequency = to + c;
#pragma GCC unroll 1
    for (int y = 0; y < kDown; ++y) {
      Vector result[kAcross];
      Transform<Across>::input(half[y], result);
      storeLine(result, frequency, frequencyStride);
      frequency += frequencyRow;
    }
  }
}

template <int Down, int Across>
void transformOutput(const WinogradOutput& transform) {
  constexpr int kDown = Down + 2;
  constexpr int kAcross = Across + 2;
  const auto [tile, from, frequencyRow, frequencyStride, channels, to, rowStride, pixelStride, rows,
              columns, bias, relu, pool] = transform;
  const bool& isRectified = relu;  // Clang 14's lambdas capture no structured binding
  for (ptrdiff_t c = 0; c < channels; c += kLanes) {
    Vector half[Down][kAcross];  // [pixel down][frequency across]
    const float* frequency = from + c;
#pragma GCC unroll 1
    for (int x = 0; x < kAcross; ++x) {
      Vector column[kDown];
      loadLine(frequency, frequencyRow, column);
      Vector result[Down];
      Transform<Down>::output(column, result);
#pragma GCC unroll 8
      for (int y = 0; y < Down; ++y) half[y][x] = result[y];
      frequency += frequencyStride;
    }
    const Vector shift = load(bias + c);
    const auto put = [&](float* at, Vector value) __attribute__((always_inline)) {
      value += shift;
      store(at, isRectified ? rectify(value) : value);
    };
    float* row = to + c;
#pragma GCC unroll 1
    for (ptrdiff_t y = 0; y < rows; ++y) {
      float* pixel = row;
      row += rowStride;
      if (pool) {
        Vector above[Across];
        Vector below[Across];
        Transform<Across>::output(half[2 * y], above);
        Transform<Across>::output(half[2 * y + 1], below);
#pragma GCC unroll 8
        for (int x = 0; x < Across; x += 2) {
          if (x >= 2 * columns) break;
          put(pixel, greater(greater(above[x], above[x + 1]), greater(below[x], below[x + 1])));
          pixel += pixelStride;
        }
      } else {
        Vector result[Across];
        Transform<Across>::output(half[y], result);
#pragma GCC unroll 8
        for (int x = 0; x < Across; ++x) {
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
  const bool isLow = transform.tile.down == 4;
  if (transform.tile.across == 4)
    isLow ? transformInput<4, 4>(transform) : transformInput<6, 4>(transform);
  else
    isLow ? transformInput<4, 6>(transform) : transformInput<6, 6>(transform);
}

void winogradOutput(const WinogradOutput& transform) {
  const bool isLow = transform.tile.down == 4;
  if (transform.tile.across == 4)
    isLow ? transformOutput<4, 4>(transform) : transformOutput<6, 4>(transform);
  else
    isLow ? transformOutput<4, 6>(transform) : transformOutput<6, 6>(transform);
}

}  // namespace vgg::cpu::VGG_KERNELS
