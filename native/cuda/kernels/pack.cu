// Packs parameters from the caller's layouts into the device's, once per load, so speed matters
// little. None of these kernels lets the next one start early, because gemv and firstLayer read
// parameters before they wait.
#include "first_layer_filter.h"
#include "vector.h"

namespace {

// Where element (o, c * P + p) of the matrix (O, C * P) lies in the packed (O, P * Cp).
struct MatrixPlace {
  long long row;
  int channel, pixel;

  __forceinline__ MatrixPlace(long long element, int channels, int pixels) {
    row = element;
    pixel = takeDigit(row, pixels);
    channel = takeDigit(row, channels);
  }
  __forceinline__ void next(int channels, int pixels) {
    if (++pixel < pixels) return;
    pixel = 0;
    if (++channel < channels) return;
    channel = 0;
    ++row;
  }
  [[nodiscard]] __forceinline__ long long packed(int pixels, int padded) const {
    return (row * pixels + pixel) * padded + channel;
  }
};

// from[i] is element first + i.
template <typename T>
__forceinline__ void writeMatrix(const float* from, T* packed, long long first, long long count,
                                 int channels, int pixels, int padded) {
  const long long begin = threadIndex() * 4;
  waitForPrevious();
  if (begin >= count) return;
  MatrixPlace place(first + begin, channels, pixels);
  float v[4];
  const bool whole = begin + 4 <= count;
  if (whole) loadVector(from, begin / 4, v);
  for (int i = 0; i < 4 && begin + i < count; ++i) {
    T rounded;
    roundTo(whole ? v[i] : load(from + begin + i), rounded);
    store(packed + place.packed(pixels, padded), rounded);
    place.next(channels, pixels);
  }
}

template <typename T>
__forceinline__ void readMatrix(const T* packed, float* to, long long first, long long count,
                                int channels, int pixels, int padded) {
  const long long begin = threadIndex() * 4;
  waitForPrevious();
  if (begin >= count) return;
  MatrixPlace place(first + begin, channels, pixels);
  for (int i = 0; i < 4 && begin + i < count; ++i) {
    store(to + begin + i, toFloat(load(packed + place.packed(pixels, padded))));
    place.next(channels, pixels);
  }
}

// from (rows, columns) → to (columns, rows). hasSpecial becomes 1 if an element is infinite or NaN.
template <typename T>
__forceinline__ void transposeMatrix(const T* from, T* to, int* hasSpecial, int rows, int columns) {
  constexpr int kTile = geometry::kTransposeTile;
  __shared__ T tile[kTile][kTile + 1];
  const int x = static_cast<int>(threadIdx.x) % kTile;
  const int firstColumn = static_cast<int>(blockIdx.x) * kTile;
  const int firstRow = static_cast<int>(blockIdx.y) * kTile;
  waitForPrevious();
  for (int y = static_cast<int>(threadIdx.x) / kTile; y < kTile; y += geometry::kThreads / kTile) {
    if (firstRow + y >= rows || firstColumn + x >= columns) continue;
    const T value = load(from + static_cast<long long>(firstRow + y) * columns + firstColumn + x);
    tile[y][x] = value;
    const float number = toFloat(value);
    if (number - number != 0) store(hasSpecial, 1);
  }
  __syncthreads();
  for (int y = static_cast<int>(threadIdx.x) / kTile; y < kTile; y += geometry::kThreads / kTile) {
    if (firstColumn + y >= columns || firstRow + x >= rows) continue;
    store(to + static_cast<long long>(firstColumn + y) * rows + firstRow + x, tile[x][y]);
  }
}

// weight (K, C, taps) → filter (Kp, taps, Cp), times scale[k] if there is a scale.
template <typename T>
__forceinline__ void packFilter(const float* weight, const float* scale, T* filter, int k, int c,
                                int taps, int paddedK, int paddedC) {
  constexpr int kV = kVector<T>;
  const long long index = threadIndex();
  waitForPrevious();
  if (index >= static_cast<long long>(paddedK) * taps * (paddedC / kV)) return;
  long long row = index;
  const int first = takeDigit(row, paddedC / kV) * kV;
  const int tap = takeDigit(row, taps);
  float v[kV] = {};
  if (row < k) {
    for (int i = 0; i < kV && first + i < c; ++i) {
      v[i] = load(weight + (row * c + first + i) * taps + tap);
      if (scale) v[i] *= load(scale + row);
    }
  }
  storeVector(filter, index, v);
}

// weight (K, 3, 3, 3) → filter (K, 32), the elements of four lanes.
template <typename T>
__forceinline__ void packFirstFilter(const float* weight, const float* scale, T* filter, int k) {
  constexpr int kV = kVector<T>;
  const long long index = threadIndex();
  waitForPrevious();
  if (index >= static_cast<long long>(k) * (geometry::kFirstLayerRow / kV)) return;
  long long row = index;
  const int first = takeDigit(row, geometry::kFirstLayerRow / kV) * kV;
  float v[kV] = {};
  for (int i = 0; i < kV; ++i) {
    const int tap = tapOf<T>(first / kLaneElements, first % kLaneElements + i);
    if (tap < 0) continue;
    v[i] = load(weight + row * geometry::kFirstLayerTaps + tap % 3 * 9 + tap / 3);
    if (scale) v[i] *= load(scale + row);
    // Filters of four bytes are tf32.
    if constexpr (sizeof(T) == 4) v[i] = roundToTf32(v[i]);
  }
  storeVector(filter, index, v);
}

// bias * scale + shift, as float and in the activations' type. Each of the three may be missing.
template <typename T>
__forceinline__ void packBias(const float* bias, const float* scale, const float* shift,
                              float* biasFloat, T* biasTyped, int k, int paddedK) {
  const long long index = threadIndex();
  waitForPrevious();
  if (index >= paddedK) return;
  float v = 0;
  if (index < k) {
    if (bias) v = load(bias + index);
    if (scale) v *= load(scale + index);
    if (shift) v += load(shift + index);
  }
  T rounded;
  roundTo(v, rounded);
  store(biasFloat + index, v);
  store(biasTyped + index, rounded);
}

}  // namespace

#define PACK(suffix, T)                                                                           \
  KERNEL writeMatrix_##suffix(const float* from, T* packed, long long first, long long count,     \
                              int channels, int pixels, int padded) {                             \
    writeMatrix(from, packed, first, count, channels, pixels, padded);                            \
  }                                                                                               \
  KERNEL readMatrix_##suffix(const T* packed, float* to, long long first, long long count,        \
                             int channels, int pixels, int padded) {                              \
    readMatrix(packed, to, first, count, channels, pixels, padded);                               \
  }                                                                                               \
  KERNEL transposeMatrix_##suffix(const T* from, T* to, int* hasSpecial, int rows, int columns) { \
    transposeMatrix(from, to, hasSpecial, rows, columns);                                         \
  }                                                                                               \
  KERNEL packFilter_##suffix(const float* weight, const float* scale, T* filter, int k, int c,    \
                             int taps, int paddedK, int paddedC) {                                \
    packFilter(weight, scale, filter, k, c, taps, paddedK, paddedC);                              \
  }                                                                                               \
  KERNEL packBias_##suffix(const float* bias, const float* scale, const float* shift,             \
                           float* biasFloat, T* biasTyped, int k, int paddedK) {                  \
    packBias(bias, scale, shift, biasFloat, biasTyped, k, paddedK);                               \
  }
FOR_EACH_TYPE(PACK)

#define PACK_FIRST(suffix, T)                                                                  \
  KERNEL packFirstFilter_##suffix(const float* weight, const float* scale, T* filter, int k) { \
    packFirstFilter(weight, scale, filter, k);                                                 \
  }
PACK_FIRST(f16, Half)
PACK_FIRST(bf16, Bfloat)
PACK_FIRST(tf32, float)

// Folds batch normalisation into one multiplication and one addition per channel.
KERNEL foldBatchNorm(const float* weight, const float* bias, const float* mean,
                     const float* variance, float epsilon, float* scale, float* shift, int channels,
                     int padded) {
  const long long index = threadIndex();
  waitForPrevious();
  if (index >= padded) return;
  float factor = 0;
  float offset = 0;
  if (index < channels) {
    factor = load(weight + index) / sqrtf(load(variance + index) + epsilon);
    offset = load(bias + index) - load(mean + index) * factor;
  }
  store(scale + index, factor);
  store(shift + index, offset);
}
