// The input of the first layer: a normalised tile of the image with its border in shared memory,
// and the operands that tensor cores read from it. Only first_layer.cu includes it.

#include "first_layer_filter.h"
#include "vector.h"

namespace {

constexpr int kTileHeight = geometry::kFirstLayerTileHeight;
constexpr int kTileWidth = geometry::kFirstLayerTileWidth;
constexpr int kStagedHeight = kTileHeight + 2;
// Pixels are loaded in fours, so each side has four more, though only one is needed.
constexpr int kFour = 4;
constexpr int kFoursInRow = kTileWidth / kFour + 2;
constexpr int kStagedRow = kFoursInRow * kFour * 3;

// The first pixel of a tile.
struct Corner {
  int image, top, left;
};

// The input of a tile with its border: rows of pixels, their 3 channels side by side.
template <typename T>
struct Staged {
  static constexpr int kPerWord = 4 / static_cast<int>(sizeof(T));
  static constexpr int kWords = kLaneElements / kPerWord;
  alignas(16) unsigned words[kStagedHeight][kStagedRow / kPerWord];

  // Gives the words that lane t of the product needs of the window around a pixel: the left or the
  // right one of the tile's columns 2 * pair and 2 * pair + 1.
  template <bool kRight>
  __forceinline__ void window(int row, int pair, int t, unsigned (&to)[kWords]) const {
    constexpr int kFirst = (kFour - 1 + kRight) * 3;
    const int first = pair * 6 / kPerWord + kFirst / kPerWord;
    if constexpr (kPerWord == 2) {
      for (int r = 0; r < 3; ++r) {
        const unsigned* at = &words[row + r][first + t];
        to[r] = kFirst % 2 ? at[0] >> 16 | at[1] << 16 : at[0];
      }
    } else {
      for (int i = 0; i < 6; ++i) to[i] = words[row + i / 2][first + t + i % 2 * 4];
    }
    unsigned ninth = words[row + (t < 3 ? t : 0)][first + 8 / kPerWord];
    if constexpr (kPerWord == 2) ninth = kFirst % 2 ? ninth >> 16 : ninth & 0xffff;
    to[6 / kPerWord] = t < 3 ? ninth : 0;
    if constexpr (kPerWord == 1) to[7] = 0;
  }
};

// Four neighbouring pixels, which a thread loads of a tile, as they are in memory. Pixels outside
// the image are zero.
template <bool kBytes>
struct Pixels {
  unsigned raw[kBytes ? kFour * 3 / 4 : kFour * 3];

  [[nodiscard]] __forceinline__ float value(int pixel, int channel) const {
    if constexpr (!kBytes) return floatOf(raw[channel * kFour + pixel]);
    const int byte = pixel * 3 + channel;
    return static_cast<float>(raw[byte / 4] >> byte % 4 * 8 & 0xff);
  }
};

template <bool kBytes>
struct Image {
  const void* x;
  const float* scale;
  const float* shift;
  int h, w;

  // The row of this thread's pixels. A thread without pixels gets the one below the last row.
  [[nodiscard]] __forceinline__ int rowOf(const Corner& tile) const {
    const int row = static_cast<int>(threadIdx.x) / kFoursInRow;
    return row < kStagedHeight ? tile.top - 1 + row : h;
  }
  [[nodiscard]] __forceinline__ int columnOf(const Corner& tile) const {
    return tile.left - kFour + static_cast<int>(threadIdx.x) % kFoursInRow * kFour;
  }

  // Whether four pixels are whole words or vectors, so that they never lie half inside the image.
  [[nodiscard]] __forceinline__ bool hasFours() const {
    return w % kFour == 0 && reinterpret_cast<unsigned long long>(x) % (kBytes ? 4 : 16) == 0;
  }

  __forceinline__ void load(const Corner& tile, bool fours, Pixels<kBytes>& to) const {
    for (unsigned& word : to.raw) word = 0;
    const int row = rowOf(tile);
    const int column = columnOf(tile);
    if (row < 0 || row >= h) return;
    if (fours && (column < 0 || column >= w)) return;
    const long long plane = static_cast<long long>(h) * w;
    if constexpr (kBytes) {
      const auto* from =
          static_cast<const unsigned char*>(x) + (tile.image * plane + row * w + column) * 3;
      if (fours) {
        for (int i = 0; i < 3; ++i) to.raw[i] = ::load(reinterpret_cast<const unsigned*>(from) + i);
        return;
      }
      for (int i = 0; i < kFour * 3; ++i) {
        if (column + i / 3 < 0 || column + i / 3 >= w) continue;
        to.raw[i / 4] |= static_cast<unsigned>(::load(from + i)) << i % 4 * 8;
      }
    } else {
      const auto* from = static_cast<const float*>(x) + tile.image * 3 * plane + row * w + column;
      for (int c = 0; c < 3; ++c, from += plane) {
        unsigned* four = to.raw + c * kFour;
        if (fours) {
          const uint4 v = ::load(reinterpret_cast<const uint4*>(from));
          four[0] = v.x;
          four[1] = v.y;
          four[2] = v.z;
          four[3] = v.w;
          continue;
        }
        for (int i = 0; i < kFour; ++i) {
          if (column + i >= 0 && column + i < w) four[i] = bitsOf(::load(from + i));
        }
      }
    }
  }

  // Normalises and then pads.
  template <typename T>
  __forceinline__ void stage(const Corner& tile, const Pixels<kBytes>& pixels,
                             Staged<T>& to) const {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread >= kStagedHeight * kFoursInRow) return;
    const int row = rowOf(tile);
    const int column = columnOf(tile);
    float v[kFour * 3];
    for (int i = 0; i < kFour * 3; ++i) v[i] = pixels.value(i / 3, i % 3);
    if (scale) {
      for (int c = 0; c < 3; ++c) {
        const float factor = loadConstant(scale + c);
        const float offset = loadConstant(shift + c);
        for (int i = 0; i < kFour; ++i) {
          const bool isInside = row >= 0 && row < h && column + i >= 0 && column + i < w;
          v[i * 3 + c] = isInside ? v[i * 3 + c] * factor + offset : 0;
        }
      }
    }
    constexpr int kPerWord = Staged<T>::kPerWord;
    unsigned* words =
        to.words[thread / kFoursInRow] + thread % kFoursInRow * (kFour * 3 / kPerWord);
    for (int i = 0; i < kFour * 3; i += kPerWord) {
      if constexpr (kPerWord == 2) {
        words[i / 2] = toPair(T{}, v[i], v[i + 1]);
      } else {
        words[i] = bitsOf(roundToTf32(v[i]));
      }
    }
  }
};

}  // namespace
