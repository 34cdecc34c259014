// The first layer in one pass, on tensor cores: normalise, convolve 3 channels 3×3, add the bias,
// apply ReLU and optional 2×2 max pooling. Separate passes would move the padded input once and the
// unpooled output twice.
#include "first_layer_input.h"

namespace {

// A group is the channels that 4 lanes store, one vector of kV channels each. Column n of the
// group's product j stands for channel n / 2 * kV + 2j + n % 2, so that a lane's sums over all
// products of the group are neighbours.
template <typename T>
struct Group {
  static constexpr int kV = kVector<T>;
  static constexpr int kChannels = 4 * kV;
  static constexpr int kProducts = kV / 2;
  static constexpr int kWords = Staged<T>::kWords;
};

/** Channels of a warp, which keeps their filter in registers. The warps that share its row compute
 * the others. */
constexpr int kWarpChannels = 32;
constexpr int kShares = geometry::kFirstLayerChannels / kWarpChannels;

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
  for (int i = 0; i < 6; i += 2) {
    multiplyTf32(d, {a[0][i], a[1][i], a[0][i + 1], a[1][i + 1]}, b[i], b[i + 1]);
  }
  multiplyTf32(d, a[0][6], a[1][6], b[6]);  // the eighth elements are zero
}
#endif

// Loads the words of a lane for each product of a group.
template <typename T>
__forceinline__ void loadFilter(const T* filter, int firstChannel, int k,
                                unsigned (&b)[Group<T>::kProducts][Group<T>::kWords]) {
  using G = Group<T>;
  const int column = static_cast<int>(threadIdx.x) % 32 / 4;
  const int t = static_cast<int>(threadIdx.x) % 4;
  for (int j = 0; j < G::kProducts; ++j) {
    const int channel = firstChannel + column / 2 * G::kV + 2 * j + column % 2;
    for (int i = 0; i < G::kWords; i += 4) {
      uint4 words = {};
      if (channel < k) {
        words = load(reinterpret_cast<const uint4*>(filter) + (channel * 4 + t) * (G::kWords / 4) +
                     i / 4);
      }
      b[j][i] = words.x;
      b[j][i + 1] = words.y;
      b[j][i + 2] = words.z;
      b[j][i + 3] = words.w;
    }
  }
}

template <typename T>
__forceinline__ void loadBias(const float* bias, int channel, int k, float (&terms)[kVector<T>]) {
  for (int i = 0; i < kVector<T>; i += 4) {
    float four[4] = {};
    if (channel < k)
      unpack<float>(loadConstant(reinterpret_cast<const uint4*>(bias + channel + i)), four);
    for (int e = 0; e < 4; ++e) terms[i + e] = four[e];
  }
}

// A lane's vector of channels at one pixel, filled two channels at a time.
template <typename T>
struct Vector {
  unsigned words[4];

  __forceinline__ void set(int pair, float low, float high) {
    if constexpr (sizeof(T) == 4) {
      words[2 * pair] = bitsOf(low);
      words[2 * pair + 1] = bitsOf(high);
    } else {
      words[pair] = toPair(T{}, low, high);
    }
  }
};

template <typename T>
struct Output {
  T* y;
  int h, w, vectors;  // in a pixel

  __forceinline__ void put(int image, int row, int column, int vector, const Vector<T>& v) const {
    if (row >= h || column >= w || vector >= vectors) return;
    const long long pixel = (static_cast<long long>(image) * h + row) * w + column;
    store(reinterpret_cast<uint4*>(y) + pixel * vectors + vector,
          uint4{v.words[0], v.words[1], v.words[2], v.words[3]});
  }
};

// A block computes one tile after the other, of up to kFirstLayerChannels channels. It loads the
// next tile while it computes one. A warp computes two rows, 16 columns at a time, as two products
// with 16 pixels: the even columns and the odd ones, each with 8 pixels of the upper row and the 8
// below. So one lane has the 4 pixels of a pooling window.
template <typename T, bool kBytes, bool kPool>
__forceinline__ void firstLayer(const Image<kBytes>& from, const T* filter, const float* bias, T* y,
                                int n, int k, int relu) {
  using G = Group<T>;
  constexpr int kV = G::kV;
  constexpr int kGroups = kWarpChannels / G::kChannels;
  // Four-byte types leave no registers for loading ahead.
  constexpr bool kAhead = sizeof(T) == 2;
  // Two buffers, so that a warp may start the next tile while others still read this one.
  __shared__ Staged<T> staged[2];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
  const int t = static_cast<int>(threadIdx.x) % 4;
  const int firstChannel =
      static_cast<int>(blockIdx.y) * geometry::kFirstLayerChannels + warp % kShares * kWarpChannels;
  const int tileColumns = (from.w + kTileWidth - 1) / kTileWidth;
  const int tileRows = (from.h + kTileHeight - 1) / kTileHeight;
  const unsigned tiles = static_cast<unsigned>(n * tileRows) * static_cast<unsigned>(tileColumns);
  const auto tileAt = [&](unsigned index) {
    const unsigned row = index / static_cast<unsigned>(tileColumns);
    const unsigned image = row / static_cast<unsigned>(tileRows);
    return Corner{static_cast<int>(image),
                  (static_cast<int>(row) - static_cast<int>(image) * tileRows) * kTileHeight,
                  (static_cast<int>(index) - static_cast<int>(row) * tileColumns) * kTileWidth};
  };
  const float least = floatOf(relu ? 0 : 0xff800000);  // -infinity
  const Output<T> out =
      kPool ? Output<T>{y, from.h / 2, from.w / 2, k / kV} : Output<T>{y, from.h, from.w, k / kV};

  launchNext();
  unsigned b[kGroups][G::kProducts][G::kWords];
  for (int group = 0; group < kGroups; ++group)
    loadFilter(filter, firstChannel + group * G::kChannels, k, b[group]);
  float terms[kGroups][kV];
  for (int group = 0; group < kGroups; ++group)
    loadBias<T>(bias, firstChannel + group * G::kChannels + t * kV, k, terms[group]);
  waitForPrevious();
  const bool fours = from.hasFours();
  Pixels<kBytes> pixels;
  Corner next = tileAt(blockIdx.x);
  if (kAhead) from.load(next, fours, pixels);
  int buffer = 0;

  for (unsigned index = blockIdx.x; index < tiles; index += gridDim.x, buffer ^= 1) {
    const Corner tile = kAhead ? next : tileAt(index);
    if (!kAhead) from.load(tile, fours, pixels);
    Staged<T>& input = staged[buffer];
    from.stage(tile, pixels, input);
    __syncthreads();
    if (kAhead && index + gridDim.x < tiles) {
      next = tileAt(index + gridDim.x);
      from.load(next, fours, pixels);
    }
    for (int rows = warp / kShares; rows < kTileHeight / 2; rows += geometry::kWarps / kShares) {
      for (int pair = g; pair < kTileWidth / 2; pair += 8) {
        unsigned even[2][G::kWords];
        unsigned odd[2][G::kWords];
        for (int i = 0; i < 2; ++i) {
          input.template window<false>(rows * 2 + i, pair, t, even[i]);
          input.template window<true>(rows * 2 + i, pair, t, odd[i]);
        }
        for (int group = 0; group < kGroups; ++group) {
          const int channel = firstChannel + group * G::kChannels + t * kV;
          // By pixel: one if pooled, otherwise the upper even, upper odd, lower even and lower odd.
          Vector<T> v[kPool ? 1 : 4];
          for (int j = 0; j < G::kProducts; ++j) {
            float d[2][4] = {};
            multiply(T{}, d[0], even, b[group][j]);
            multiply(T{}, d[1], odd, b[group][j]);
            const auto finish = [&](int pixel, float low, float high) {
              v[pixel].set(j, maxOrNan(low + terms[group][2 * j], least),
                           maxOrNan(high + terms[group][2 * j + 1], least));
            };
            if constexpr (kPool) {
              // Adding the bias and ReLU commute with the maximum.
              finish(0, maxOrNan(maxOrNan(d[0][0], d[1][0]), maxOrNan(d[0][2], d[1][2])),
                     maxOrNan(maxOrNan(d[0][1], d[1][1]), maxOrNan(d[0][3], d[1][3])));
            } else {
              for (int i = 0; i < 4; ++i) finish(i, d[i % 2][i / 2 * 2], d[i % 2][i / 2 * 2 + 1]);
            }
          }
          if constexpr (kPool) {
            out.put(tile.image, tile.top / 2 + rows, tile.left / 2 + pair, channel / kV, v[0]);
          } else {
            for (int i = 0; i < 4; ++i) {
              out.put(tile.image, tile.top + rows * 2 + i / 2, tile.left + pair * 2 + i % 2,
                      channel / kV, v[i]);
            }
          }
        }
      }
    }
  }
}

}  // namespace

#define FIRST_LAYER(input, bytes, form, pool, suffix, T)                                           \
  KERNEL firstLayer_##input##_##form##_##suffix(const void* x, const T* filter, const float* bias, \
                                                const float* scale, const float* shift, T* y,      \
                                                int n, int h, int w, int k, int relu) {            \
    firstLayer<T, bytes, pool>({x, scale, shift, h, w}, filter, bias, y, n, k, relu);              \
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
