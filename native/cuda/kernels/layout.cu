// Converts between the caller's layouts (channels first, bytes) and the device's: channels last,
// padded with zeros to whole vectors.
#include "vector.h"

namespace {

constexpr int kTile = geometry::kTransposeTile;

// A tile of 32 channels × 32 pixels. Its row length avoids bank conflicts in both directions.
struct Tile {
  float values[kTile][kTile + 1];
};

struct Place {
  int image, firstPixel, firstChannel;
};

__forceinline__ Place tilePlace(int pixels) {
  const int tiles = (pixels + kTile - 1) / kTile;
  return {static_cast<int>(blockIdx.x) / tiles, static_cast<int>(blockIdx.x) % tiles * kTile,
          static_cast<int>(blockIdx.y) * kTile};
}

// x (N, C, P) → y (N, P, Cp), as x * scale[c] + shift[c] if there is a scale.
template <typename T>
__forceinline__ void toChannelsLast(const float* x, T* y, const float* scale, const float* shift,
                                    int channels, int padded, int pixels) {
  constexpr int kV = kVector<T>;
  constexpr int kVectors = kTile / kV;
  __shared__ Tile tile;
  const Place place = tilePlace(pixels);
  const int thread = static_cast<int>(threadIdx.x);
  launchNext();
  waitForPrevious();
  for (int row = thread / kTile; row < kTile; row += geometry::kThreads / kTile) {
    const int channel = place.firstChannel + row;
    const int pixel = place.firstPixel + thread % kTile;
    float v = 0;
    if (channel < channels && pixel < pixels) {
      v = load(x + (static_cast<long long>(place.image) * channels + channel) * pixels + pixel);
      if (scale) v = v * loadConstant(scale + channel) + loadConstant(shift + channel);
    }
    tile.values[row][thread % kTile] = v;
  }
  __syncthreads();
  const int row = thread / kVectors;
  const int first = thread % kVectors * kV;
  const int pixel = place.firstPixel + row;
  const int channel = place.firstChannel + first;
  if (row >= kTile || pixel >= pixels || channel >= padded) return;
  float v[kV];
  for (int i = 0; i < kV; ++i) v[i] = tile.values[first + i][row];
  const long long to = (static_cast<long long>(place.image) * pixels + pixel) * padded + channel;
  storeVector(y, to / kV, v);
}

// x (N, P, Cp) → y (N, C, P).
template <typename T>
__forceinline__ void toChannelsFirst(const T* x, float* y, int channels, int padded, int pixels) {
  constexpr int kV = kVector<T>;
  constexpr int kVectors = kTile / kV;
  __shared__ Tile tile;
  const Place place = tilePlace(pixels);
  const int thread = static_cast<int>(threadIdx.x);
  launchNext();
  waitForPrevious();
  const int row = thread / kVectors;
  const int first = thread % kVectors * kV;
  if (row < kTile && place.firstPixel + row < pixels && place.firstChannel + first < padded) {
    const long long pixel = static_cast<long long>(place.image) * pixels + place.firstPixel + row;
    float v[kV];
    loadVector(x, (pixel * padded + place.firstChannel + first) / kV, v);
    for (int i = 0; i < kV; ++i) tile.values[first + i][row] = v[i];
  }
  __syncthreads();
  const int pixel = place.firstPixel + thread % kTile;
  for (int i = thread / kTile; i < kTile; i += geometry::kThreads / kTile) {
    const int channel = place.firstChannel + i;
    if (channel >= channels || pixel >= pixels) continue;
    const long long to = (static_cast<long long>(place.image) * channels + channel) * pixels;
    store(y + to + pixel, tile.values[i][thread % kTile]);
  }
}

// x (pixels, C) bytes → y (pixels, Cp).
template <typename T>
__forceinline__ void normalizeBytes(const unsigned char* x, T* y, const float* scale,
                                    const float* shift, long long pixels, int channels,
                                    int padded) {
  constexpr int kV = kVector<T>;
  const long long index = threadIndex();
  launchNext();
  waitForPrevious();
  if (index >= pixels * (padded / kV)) return;
  long long pixel = index;
  const int first = takeDigit(pixel, padded / kV) * kV;
  float v[kV];
  for (int i = 0; i < kV; ++i) {
    const int channel = first + i;
    v[i] = 0;
    if (channel >= channels) continue;
    v[i] = static_cast<float>(load(x + pixel * channels + channel));
    if (scale) v[i] = v[i] * loadConstant(scale + channel) + loadConstant(shift + channel);
  }
  storeVector(y, index, v);
}

}  // namespace

#define LAYOUT(suffix, T)                                                                          \
  KERNEL toChannelsLast_##suffix(const float* x, T* y, const float* scale, const float* shift,     \
                                 int, int channels, int padded, int pixels) {                      \
    toChannelsLast(x, y, scale, shift, channels, padded, pixels);                                  \
  }                                                                                                \
  KERNEL toChannelsFirst_##suffix(const T* x, float* y, int, int channels, int padded,             \
                                  int pixels) {                                                    \
    toChannelsFirst(x, y, channels, padded, pixels);                                               \
  }                                                                                                \
  KERNEL normalizeBytes_##suffix(const unsigned char* x, T* y, const float* scale,                 \
                                 const float* shift, long long pixels, int channels, int padded) { \
    normalizeBytes(x, y, scale, shift, pixels, channels, padded);                                  \
  }
FOR_EACH_TYPE(LAYOUT)
