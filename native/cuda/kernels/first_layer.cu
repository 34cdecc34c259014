// The first layer in one pass, on tensor cores: normalise, convolve 3 channels 3×3, add the bias,
// relu and, for the pooled form, the maximum over 2×2. Separate passes would move the padded input
// once and the unpooled output twice.
#include "first_layer_input.h"

namespace {

// The fragments that hold a chunk of the filter: vectors of four words per lane.
constexpr int kFragments = 8;

// The order of the 27 products is free as long as both operands agree. Here a lane's pairs lie side
// by side in a staged row (9 elements: 3 pixels), so that one word brings two of them; the ninth
// elements of the three rows fill the rest. Gives the entry of the filter's row, or -1 for a zero.
template <typename T>
__forceinline__ int tapOf(int t, int element) {
  if constexpr (sizeof(T) == 2) {
    if (element < 6) return element / 2 * 9 + 2 * t + element % 2;
    if (element == 6) return t < 2 ? t * 18 + 8 : -1;
    return t == 0 ? 17 : -1;
  } else {
    if (element < 6) return element / 2 * 9 + t + element % 2 * 4;
    return element == 6 && t < 3 ? t * 9 + 8 : -1;
  }
}

// A group is what one lane stores as a vector: its kV channels, over 4 lanes. Column n of the
// group's product j stands for channel n / 2 * kV + 2j + n % 2, so that a lane's sums over all
// products of the group are neighbours.
template <typename T>
struct Group {
  static constexpr int kV = kVector<T>;
  static constexpr int kChannels = 4 * kV;
  static constexpr int kProducts = kV / 2;
  static constexpr int kWords = Staged<T>::kWords;
  /** Groups whose filter a lane keeps in registers at a time. */
  static constexpr int kPerChunk = kFragments * 4 / (kProducts * kWords);
};

__forceinline__ void multiply(Half type, float (&d)[4], const unsigned (&a)[2][4],
                              const unsigned* b) {
  multiply16x8x16(type, d, {a[0][0], a[1][0], a[0][1], a[1][1]}, b[0], b[1]);
  multiply16x8x16(type, d, {a[0][2], a[1][2], a[0][3], a[1][3]}, b[2], b[3]);
}
#if !defined(__CUDACC_RTC__) || __CUDA_ARCH__ >= 800
__forceinline__ void multiply(Bfloat type, float (&d)[4], const unsigned (&a)[2][4],
                              const unsigned* b) {
  multiply16x8x16(type, d, {a[0][0], a[1][0], a[0][1], a[1][1]}, b[0], b[1]);
  multiply16x8x16(type, d, {a[0][2], a[1][2], a[0][3], a[1][3]}, b[2], b[3]);
}
__forceinline__ void multiply(float, float (&d)[4], const unsigned (&a)[2][8], const unsigned* b) {
  for (int i = 0; i < 8; i += 2) {
    multiplyTf32(d, {a[0][i], a[1][i], a[0][i + 1], a[1][i + 1]}, b[i], b[i + 1]);
  }
}
#endif

// Each thread makes one fragment: the words of one lane for one product, or half of them.
template <typename T>
__forceinline__ uint4 filterFragment(const T* filter, int firstChannel, int k) {
  using G = Group<T>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int fragment = static_cast<int>(threadIdx.x) / 32;
  constexpr int kPerProduct = G::kWords / 4;
  constexpr int kEach = kElements / kPerProduct;
  const int product = fragment / kPerProduct;
  const int column = lane / 4;
  const int channel = firstChannel + product / G::kProducts * G::kChannels + column / 2 * G::kV +
                      product % G::kProducts * 2 + column % 2;
  T taps[kEach];
  for (int i = 0; i < kEach; ++i) {
    const int tap = tapOf<T>(lane % 4, fragment % kPerProduct * kEach + i);
    taps[i] = T{};
    if (tap >= 0 && channel < k) {
      taps[i] = load(filter + static_cast<long long>(channel) * geometry::kFirstLayerRow + tap);
    }
  }
  unsigned words[4];
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 2) {
      words[i] = taps[2 * i].bits | static_cast<unsigned>(taps[2 * i + 1].bits) << 16;
    } else {
      words[i] = bitsOf(taps[i]);
    }
  }
  return {words[0], words[1], words[2], words[3]};
}

template <typename T>
struct Output {
  T* y;
  int h, w, k, relu;

  __forceinline__ void put(long long image, int row, int column, int channel,
                           float (&v)[kVector<T>]) const {
    if (row >= h || column >= w) return;
    if (relu) {
      for (int i = 0; i < kVector<T>; ++i) v[i] = rectify(v[i]);
    }
    storeVector(y, (((image * h + row) * w + column) * k + channel) / kVector<T>, v);
  }
};

// A warp makes two rows of the tile, 16 columns at a time, as two products with 16 pixels: the even
// columns and the odd ones, each with 8 pixels of the upper row and the 8 below. So the 4 pixels of
// a pooling window meet in one lane.
template <typename T, bool kBytes, bool kPool>
__forceinline__ void firstLayer(const Image& from, const T* filter, const float* bias, T* y, int k,
                                int relu) {
  using G = Group<T>;
  constexpr int kV = G::kV;
  __shared__ Staged<T> staged;
  __shared__ uint4 fragments[kFragments][32];
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int g = thread % 32 / 4;
  const int t = thread % 4;
  const int tileColumns = (from.w + kTileWidth - 1) / kTileWidth;
  const int tileRows = (from.h + kTileHeight - 1) / kTileHeight;
  long long image = blockIdx.x;
  const int left = takeDigit(image, tileColumns) * kTileWidth;
  const int top = takeDigit(image, tileRows) * kTileHeight;
  const Output<T> out =
      kPool ? Output<T>{y, from.h / 2, from.w / 2, k, relu} : Output<T>{y, from.h, from.w, k, relu};

  launchNext();
  uint4 fragment = filterFragment(filter, 0, k);
  waitForPrevious();
  stageTile<T, kBytes>(staged, from, Corner{image, top, left});
  for (int chunk = 0; chunk < k; chunk += G::kPerChunk * G::kChannels) {
    if (chunk > 0) {
      fragment = filterFragment(filter, chunk, k);
      __syncthreads();  // until all warps have taken the last chunk's
    }
    fragments[warp][thread % 32] = fragment;
    __syncthreads();
    unsigned b[kFragments * 4];
    for (int i = 0; i < kFragments; ++i) {
      const uint4 words = fragments[i][thread % 32];
      b[4 * i] = words.x;
      b[4 * i + 1] = words.y;
      b[4 * i + 2] = words.z;
      b[4 * i + 3] = words.w;
    }
    for (int part = 0; part < kTileWidth; part += 16) {
      const int row = warp * 2;
      const int column = part + 2 * g;
      unsigned even[2][G::kWords];
      unsigned odd[2][G::kWords];
      for (int i = 0; i < 2; ++i) {
        staged.template window<0>(row + i, column, t, even[i]);
        // The copy for odd columns; there is only one where elements are words.
        staged.template window<Staged<T>::kCopies - 1>(row + i, column + 1, t, odd[i]);
      }
      for (int group = 0; group < G::kPerChunk; ++group) {
        const int channel = chunk + group * G::kChannels + t * kV;
        if (chunk + group * G::kChannels >= k) break;  // the same for the whole block
        float terms[kV] = {};
        if (channel < k) {
          for (int i = 0; i < kV; i += 4) {
            const uint4 raw = loadConstant(reinterpret_cast<const uint4*>(bias + channel + i));
            float four[4];
            unpack<float>(raw, four);
            for (int e = 0; e < 4; ++e) terms[i + e] = four[e];
          }
        }
        // By pixel: one when pooled, else the upper even and odd and the lower even and odd.
        float v[kPool ? 1 : 4][kV];
        for (int j = 0; j < G::kProducts; ++j) {
          const unsigned* words = b + (group * G::kProducts + j) * G::kWords;
          // The sums begin with the bias: adding it to each commutes with the maximum.
          float d[2][4];
          for (int i = 0; i < 8; ++i) d[i / 4][i % 4] = terms[2 * j + i % 2];
          multiply(T{}, d[0], even, words);
          multiply(T{}, d[1], odd, words);
          for (int e = 0; e < 2; ++e) {
            if constexpr (kPool) {
              v[0][2 * j + e] =
                  maxOrNan(maxOrNan(d[0][e], d[1][e]), maxOrNan(d[0][2 + e], d[1][2 + e]));
            } else {
              for (int i = 0; i < 4; ++i) v[i][2 * j + e] = d[i % 2][i / 2 * 2 + e];
            }
          }
        }
        if (channel >= k) continue;
        if constexpr (kPool) {
          out.put(image, (top + row) / 2, (left + column) / 2, channel, v[0]);
        } else {
          for (int i = 0; i < 4; ++i) {
            out.put(image, top + row + i / 2, left + column + i % 2, channel, v[i]);
          }
        }
      }
    }
  }
}

}  // namespace

#define FIRST_LAYER(input, bytes, form, pool, suffix, T)                                           \
  KERNEL firstLayer_##input##_##form##_##suffix(const void* x, const T* filter, const float* bias, \
                                                const float* scale, const float* shift, T* y, int, \
                                                int h, int w, int k, int relu) {                   \
    firstLayer<T, bytes, pool>({x, scale, shift, h, w}, filter, bias, y, k, relu);                 \
  }
#define FIRST_LAYER_FORMS(suffix, T)                \
  FIRST_LAYER(bytes, true, pool, true, suffix, T)   \
  FIRST_LAYER(bytes, true, flat, false, suffix, T)  \
  FIRST_LAYER(floats, false, pool, true, suffix, T) \
  FIRST_LAYER(floats, false, flat, false, suffix, T)
FIRST_LAYER_FORMS(f16, Half)
#if !defined(__CUDACC_RTC__) || __CUDA_ARCH__ >= 800
FIRST_LAYER_FORMS(bf16, Bfloat)
FIRST_LAYER_FORMS(tf32, float)
#endif
