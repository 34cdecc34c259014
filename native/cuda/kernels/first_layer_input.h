// The input of the first layer: a tile of the image with its border, normalised, in shared memory,
// and what the tensor cores take of it. A part of first_layer.cu: as often as that is compiled.

#include "vector.h"

namespace {

constexpr int kTileHeight = geometry::kFirstLayerTileHeight;
constexpr int kTileWidth = geometry::kFirstLayerTileWidth;
constexpr int kStagedHeight = kTileHeight + 2;
constexpr int kStagedWidth = kTileWidth + 2;
// Elements in a staged row: the pixels' 3 channels side by side, one place for the shift of the
// second copy, and one to make it even.
constexpr int kStagedRow = kStagedWidth * 3 + 2;
// A lane's elements of one filter row or of one pixel's window.
constexpr int kElements = 8;

template <typename T>
__forceinline__ void stage(float v, T& to) {
  // Only tf32 values are kept in four bytes.
  if constexpr (sizeof(T) == 4) v = roundToTf32(v);
  roundTo(v, to);
}

// The input of a tile with a border of one pixel. Two-byte types get a second copy, shifted by one
// element: from one of the two, every pair can be read as a word.
template <typename T>
struct Staged {
  static constexpr int kCopies = 4 / static_cast<int>(sizeof(T));
  static constexpr int kWords = kElements * static_cast<int>(sizeof(T)) / 4;
  alignas(16) T values[kCopies][kStagedHeight][kStagedRow];

  // What the product's lane t needs of the window whose upper left corner is (row, column);
  // kCopy is the column's parity.
  template <int kCopy>
  __forceinline__ void window(int row, int column, int t, unsigned (&words)[kWords]) const {
    const int first = column * 3;
    if constexpr (sizeof(T) == 2) {
      for (int r = 0; r < 3; ++r) {
        words[r] = sharedWord(&values[kCopy][row + r][first + 2 * t + kCopy]);
      }
      const unsigned low = values[0][row + t % 2 * 2][first + 8].bits;
      const unsigned high = values[0][row + 1][first + 8].bits;
      words[3] = t == 0 ? low | high << 16 : t == 1 ? low : 0;
    } else {
      for (int i = 0; i < 6; ++i) {
        words[i] = bitsOf(values[0][row + i / 2][first + t + i % 2 * 4]);
      }
      const unsigned ninth = bitsOf(values[0][row + (t < 3 ? t : 0)][first + 8]);
      words[6] = t < 3 ? ninth : 0;
      words[7] = 0;
    }
  }
};

struct Image {
  const void* x;
  const float* scale;
  const float* shift;
  int h, w;

  [[nodiscard]] __forceinline__ float normalized(float v, int channel) const {
    return scale ? v * loadConstant(scale + channel) + loadConstant(shift + channel) : v;
  }
};

// Of a tile.
struct Corner {
  long long image;
  int top, left;
};

template <typename T>
__forceinline__ void stageElement(Staged<T>& staged, int row, int element, float v) {
  T rounded;
  stage(v, rounded);
  for (int copy = 0; copy < Staged<T>::kCopies; ++copy) {
    staged.values[copy][row][element + copy] = rounded;
  }
}

// Every load of a thread is under way before it uses any. Outside the image is zero: the padding
// follows the normalisation.
template <typename T, bool kBytes>
__forceinline__ void stageElements(Staged<T>& staged, const Image& from, const Corner& tile) {
  constexpr int kPlane = kStagedHeight * kStagedWidth;
  constexpr int kLoads = (kPlane * 3 + geometry::kThreads - 1) / geometry::kThreads;
  float values[kLoads];
  UNROLL for (int u = 0; u < kLoads; ++u) {
    const int i = u * geometry::kThreads + static_cast<int>(threadIdx.x);
    // Neighbouring threads read neighbouring places of either layout.
    const int channel = kBytes ? i % 3 : i / kPlane;
    const int pixel = kBytes ? i / 3 : i % kPlane;
    const int row = tile.top - 1 + pixel / kStagedWidth;
    const int column = tile.left - 1 + pixel % kStagedWidth;
    values[u] = 0;
    if (i >= kPlane * 3 || row < 0 || row >= from.h || column < 0 || column >= from.w) continue;
    if constexpr (kBytes) {
      const long long index = ((tile.image * from.h + row) * from.w + column) * 3 + channel;
      values[u] = static_cast<float>(load(static_cast<const unsigned char*>(from.x) + index));
    } else {
      const long long index = ((tile.image * 3 + channel) * from.h + row) * from.w + column;
      values[u] = load(static_cast<const float*>(from.x) + index);
    }
  }
  UNROLL for (int u = 0; u < kLoads; ++u) {
    const int i = u * geometry::kThreads + static_cast<int>(threadIdx.x);
    if (i >= kPlane * 3) continue;
    const int channel = kBytes ? i % 3 : i / kPlane;
    const int pixel = kBytes ? i / 3 : i % kPlane;
    const int row = tile.top - 1 + pixel / kStagedWidth;
    const int column = tile.left - 1 + pixel % kStagedWidth;
    const bool isInside = row >= 0 && row < from.h && column >= 0 && column < from.w;
    stageElement(staged, pixel / kStagedWidth, pixel % kStagedWidth * 3 + channel,
                 isInside ? from.normalized(values[u], channel) : 0);
  }
}

// Bytes by words, where rows of the image are whole words: a word never lies half inside. The first
// word of a staged row begins one byte before it.
template <typename T>
__forceinline__ void stageWords(Staged<T>& staged, const Image& from, const Corner& tile) {
  constexpr int kElementsPerRow = kStagedWidth * 3;
  constexpr int kWords = (kElementsPerRow + 1 + 3) / 4;
  constexpr int kCount = kStagedHeight * kWords;
  constexpr int kLoads = (kCount + geometry::kThreads - 1) / geometry::kThreads;
  const int rowBytes = from.w * 3;
  unsigned words[kLoads];
  bool isInside[kLoads];
  UNROLL for (int u = 0; u < kLoads; ++u) {
    const int i = u * geometry::kThreads + static_cast<int>(threadIdx.x);
    const int row = tile.top - 1 + i / kWords;
    const int byte = tile.left * 3 - 4 + i % kWords * 4;
    isInside[u] = i < kCount && row >= 0 && row < from.h && byte >= 0 && byte < rowBytes;
    words[u] = 0;
    if (!isInside[u]) continue;
    const long long index = (tile.image * from.h + row) * rowBytes + byte;
    words[u] =
        load(reinterpret_cast<const unsigned*>(static_cast<const unsigned char*>(from.x) + index));
  }
  UNROLL for (int u = 0; u < kLoads; ++u) {
    const int i = u * geometry::kThreads + static_cast<int>(threadIdx.x);
    if (i >= kCount) continue;
    for (int b = 0; b < 4; ++b) {
      const int element = i % kWords * 4 + b - 1;
      if (element < 0 || element >= kElementsPerRow) continue;
      const float v = static_cast<float>(words[u] >> 8 * b & 0xff);
      stageElement(staged, i / kWords, element, isInside[u] ? from.normalized(v, element % 3) : 0);
    }
  }
}

template <typename T, bool kBytes>
__forceinline__ void stageTile(Staged<T>& staged, const Image& from, const Corner& tile) {
  if constexpr (kBytes) {
    if (from.w % 4 == 0 && reinterpret_cast<unsigned long long>(from.x) % 4 == 0) {
      stageWords(staged, from, tile);
      return;
    }
  }
  stageElements<T, kBytes>(staged, from, tile);
}

}  // namespace
