// A 3 × 3 convolution of a few images with bias, ReLU and optional 2 × 2 max pooling, on the tensor
// cores of compute capability 9.0. If a layer has less work than the GPU has multiprocessors,
// cuDNN's engines leave most of them idle, and launches cost as much as the work.
//
// A block computes 8 × 16 pixels of 64 filters from 64 of the channels, and holds all its operands
// in shared memory at once. The blocks for the other channels form its cluster. They add up their
// sums through each other's shared memory. The pixels are stored once, and each of the nine taps
// begins at another place in them: a product reads its operand from 8 × 8 pixels, whose rows may
// lie any distance apart.
#include "vector.h"
#include "warpgroup.h"

#if !defined(__CUDACC_RTC__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

namespace {

using geometry::kConvolutionChannels;
using geometry::kConvolutionFilters;
using geometry::kConvolutionPatchPixels;
using geometry::kConvolutionPatchRows;
using geometry::kConvolutionTileHeight;
using geometry::kConvolutionTileWidth;

constexpr int kTaps = 9;
constexpr int kPatchWidth = kConvolutionTileWidth + 2;
// Vectors in a row of channels. Eight neighbouring threads load one row.
constexpr int kVectors = 8;
constexpr int kRowsAtATime = geometry::kThreads / kVectors;
// Floats from one pixel's sums to the next. The padding keeps the lanes of a fragment in different
// banks.
constexpr int kSumsRow = kConvolutionFilters + 8;
// Taps that the block waits for together.
constexpr int kTapsAtATime = 3;

template <int kChannels, typename T>
__forceinline__ void fetchTaps(uint4* taps, const T* filter, int first) {
  const int row = static_cast<int>(threadIdx.x) / kVectors;
  const int vector = static_cast<int>(threadIdx.x) % kVectors;
  const uint4* from =
      reinterpret_cast<const uint4*>(filter) + row * (kTaps * kChannels / 8) + vector;
  uint4* to = taps + swizzled(row, vector);
  UNROLL for (int tap = first; tap < first + kTapsAtATime; ++tap) {
    UNROLL for (int i = 0; i < kConvolutionFilters; i += kRowsAtATime) {
      copyLater(to + (tap * kConvolutionFilters + i) * kVectors,
                from + (i * kTaps + tap) * (kChannels / 8), true);
    }
  }
  endGroup();
}

struct Corner {
  int image, top, left;
};

template <int kChannels, typename T>
__forceinline__ void fetchPatch(uint4* patch, const T* x, const Corner& corner, int h, int w) {
  const int vector = static_cast<int>(threadIdx.x) % kVectors;
  const uint4* image =
      reinterpret_cast<const uint4*>(x + static_cast<long long>(corner.image) * h * w * kChannels) +
      vector;
  UNROLL for (int i = 0; i < kConvolutionPatchPixels; i += kRowsAtATime) {
    const int pixel = i + static_cast<int>(threadIdx.x) / kVectors;
    const int row = corner.top - 1 + pixel / kPatchWidth;
    const int column = corner.left - 1 + pixel % kPatchWidth;
    const bool isThere = static_cast<unsigned>(row) < static_cast<unsigned>(h) &&
                         static_cast<unsigned>(column) < static_cast<unsigned>(w);
    if (pixel < kConvolutionPatchPixels) {
      copyLater(patch + swizzled(pixel, vector),
                image + (isThere ? (row * w + column) * (kChannels / 8) : 0), isThere);
    }
  }
  endGroup();
}

template <typename T, int kParts, bool kPool>
__forceinline__ void convolve(const T* x, const T* filter, const float* bias, T* y, int h, int w,
                              int k, int relu) {
  constexpr int kChannels = kParts * kConvolutionChannels;
  const int thread = static_cast<int>(threadIdx.x);
  const int part = static_cast<int>(blockIdx.x) % kParts;
  const int firstFilter = static_cast<int>(blockIdx.y) * kConvolutionFilters;
  uint4* const patch = launchedShared();
  uint4* const taps = patch + kConvolutionPatchRows * kVectors;

  // Most of the filter is loaded while the kernel that makes x still runs, and the rest while the
  // first taps are multiplied.
  filter += static_cast<long long>(firstFilter) * kTaps * kChannels + part * kConvolutionChannels;
  fetchTaps<kChannels>(taps, filter, 0);
  fetchTaps<kChannels>(taps, filter, 3);
  const int tilesDown = static_cast<int>(geometry::convolutionTilesDown(h));
  const int image = static_cast<int>(blockIdx.z) / tilesDown;
  const Corner corner{image,
                      (static_cast<int>(blockIdx.z) - image * tilesDown) * kConvolutionTileHeight,
                      static_cast<int>(blockIdx.x) / kParts * kConvolutionTileWidth};
  waitForPrevious();
  fetchPatch<kChannels>(patch, x + part * kConvolutionChannels, corner, h, w);
  fetchTaps<kChannels>(taps, filter, 6);
  launchNext();

  // Each half of the block has 8 × 8 pixels.
  const int half = thread / 128;
  const Operand a(patch + half * 8 * kVectors, kPatchWidth * 128);
  const Operand b(taps, 8 * 128);
  float sums[32];
  UNROLL for (int first = 0; first < kTaps; first += kTapsAtATime) {
    if (first == 0) waitForGroups<1>();
    if (first == 6) waitForGroups<0>();
    if (first != 3) __syncthreads();
    beginProducts();
    UNROLL for (int tap = first; tap < first + kTapsAtATime; ++tap) {
      UNROLL for (int vector = 0; vector < kVectors; vector += 2) {
        multiplyLater(T{}, sums, a.at((tap / 3 * kPatchWidth + tap % 3) * kVectors + vector),
                      b.at(tap * kConvolutionFilters * kVectors + vector), tap + vector > 0);
      }
    }
    endProducts();
  }
  waitForProducts();

  // Store the sums into shared memory as (pixel, filter), over the operands.
  __syncthreads();
  float* const mine = reinterpret_cast<float*>(patch);
  {
    const int row = thread % 128 / 32 * 2;
    const int column = half * 8 + thread % 32 / 4;
    float* to = mine + (row * kConvolutionTileWidth + column) * kSumsRow + thread % 4 * 2;
    UNROLL for (int i = 0; i < 32; i += 2) {
      *reinterpret_cast<float2*>(to + i / 2 % 2 * kConvolutionTileWidth * kSumsRow + i / 4 * 8) = {
          sums[i], sums[i + 1]};
    }
  }
  if constexpr (kParts == 1) {
    __syncthreads();
  } else {
    synchronizeCluster();
  }

  // Each block finishes its share of the windows of 2 × 2 pixels and four filters.
  constexpr int kAcross = kConvolutionTileWidth / 2;
  constexpr int kFours = kConvolutionFilters / 4;
  constexpr int kShare = kConvolutionTileHeight / 2 * kAcross * kFours / kParts;
  UNROLL for (int i = 0; i < kShare; i += geometry::kThreads) {
    if (kShare < geometry::kThreads && thread >= kShare) break;
    const int unit = part * kShare + i + thread;
    const int four = unit % kFours * 4;
    const int row = unit / kFours / kAcross * 2;
    const int column = unit / kFours % kAcross * 2;
    const float* from = mine + (row * kConvolutionTileWidth + column) * kSumsRow + four;
    float term[4];
    loadVector(bias, (firstFilter + four) / 4, term);
    float v[4][4];
    UNROLL for (int pixel = 0; pixel < 4; ++pixel) {
      float all[kParts][4];
      UNROLL for (int rank = 0; rank < kParts; ++rank) {
        loadFrom(kParts == 1 ? -1 : rank,
                 from + (pixel / 2 * kConvolutionTileWidth + pixel % 2) * kSumsRow, all[rank]);
      }
      UNROLL for (int e = 0; e < 4; ++e) {
        v[pixel][e] = term[e];
        UNROLL for (int rank = 0; rank < kParts; ++rank) v[pixel][e] += all[rank][e];
        if (relu) v[pixel][e] = rectify(v[pixel][e]);
      }
    }
    const auto put = [&](long long at, const float(&four4)[4]) {
      store(reinterpret_cast<uint2*>(y + at * k + firstFilter + four),
            uint2{toPair(T{}, four4[0], four4[1]), toPair(T{}, four4[2], four4[3])});
    };
    if constexpr (kPool) {
      UNROLL for (int e = 0; e < 4; ++e) {
        v[0][e] = maxOrNan(maxOrNan(v[0][e], v[1][e]), maxOrNan(v[2][e], v[3][e]));
      }
      if (corner.top + row < h && corner.left + column < w) {
        put((static_cast<long long>(image) * (h / 2) + (corner.top + row) / 2) * (w / 2) +
                (corner.left + column) / 2,
            v[0]);
      }
    } else {
      UNROLL for (int pixel = 0; pixel < 4; ++pixel) {
        const int r = corner.top + row + pixel / 2;
        const int q = corner.left + column + pixel % 2;
        if (r < h && q < w) put((static_cast<long long>(image) * h + r) * w + q, v[pixel]);
      }
    }
  }
  // No block ends while another reads its sums.
  if constexpr (kParts > 1) synchronizeCluster();
}

}  // namespace

#define CONVOLUTION(form, pool, parts, suffix, T)                                             \
  KERNEL convolution_##form##parts##_##suffix(const T* x, const T* filter, const float* bias, \
                                              T* y, int h, int w, int k, int relu) {          \
    convolve<T, parts, pool>(x, filter, bias, y, h, w, k, relu);                              \
  }
#define CONVOLUTION_TYPES(parts)               \
  CONVOLUTION(pool, true, parts, f16, Half)    \
  CONVOLUTION(flat, false, parts, f16, Half)   \
  CONVOLUTION(pool, true, parts, bf16, Bfloat) \
  CONVOLUTION(flat, false, parts, bf16, Bfloat)
CONVOLUTION_TYPES(1)
CONVOLUTION_TYPES(2)
CONVOLUTION_TYPES(4)
CONVOLUTION_TYPES(8)

#endif
