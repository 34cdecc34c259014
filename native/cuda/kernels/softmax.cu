// Softmax over rows, shifted by each row's maximum so that the exponential cannot overflow.
#include "vector.h"

namespace {

struct Greatest {
  static __forceinline__ float of(float a, float b) { return maxOrNan(a, b); }
};
struct Sum {
  static __forceinline__ float of(float a, float b) { return a + b; }
};

// Combines the values of all threads of the block. All get the result.
template <typename Combine>
__forceinline__ float overBlock(float value, float (&perWarp)[geometry::kWarps]) {
  for (int mask = 16; mask > 0; mask /= 2) {
    value = Combine::of(value, __shfl_xor_sync(~0U, value, mask));
  }
  if (threadIdx.x % 32 == 0) perWarp[threadIdx.x / 32] = value;
  __syncthreads();
  value = perWarp[0];
  for (int i = 1; i < geometry::kWarps; ++i) value = Combine::of(value, perWarp[i]);
  return value;
}

// One block computes a row of `padded` elements, the first `count` of them real. A NaN reaches
// every element through the maximum.
template <typename T>
__forceinline__ void softmax(const T* x, T* y, int count, int padded) {
  constexpr int kV = kVector<T>;
  __shared__ float maxima[geometry::kWarps];
  __shared__ float sums[geometry::kWarps];
  const int vectors = padded / kV;
  const long long row = static_cast<long long>(blockIdx.x) * vectors;
  const int thread = static_cast<int>(threadIdx.x);
  float v[kV];
  launchNext();
  waitForPrevious();
  float greatest = floatOf(0xff800000);  // -infinity
  for (int at = thread; at < vectors; at += geometry::kThreads) {
    loadVector(x, row + at, v);
    for (int i = 0; i < kV; ++i) {
      if (at * kV + i < count) greatest = maxOrNan(greatest, v[i]);
    }
  }
  greatest = overBlock<Greatest>(greatest, maxima);
  float sum = 0;
  for (int at = thread; at < vectors; at += geometry::kThreads) {
    loadVector(x, row + at, v);
    for (int i = 0; i < kV; ++i) {
      if (at * kV + i < count) sum += expf(v[i] - greatest);
    }
  }
  sum = overBlock<Sum>(sum, sums);
  for (int at = thread; at < vectors; at += geometry::kThreads) {
    loadVector(x, row + at, v);
    for (int i = 0; i < kV; ++i) {
      v[i] = at * kV + i < count ? expf(v[i] - greatest) / sum : 0;
    }
    storeVector(y, row + at, v);
  }
}

}  // namespace

#define SOFTMAX(suffix, T) \
  KERNEL softmax_##suffix(const T* x, T* y, int count, int padded) { softmax(x, y, count, padded); }
FOR_EACH_TYPE(SOFTMAX)
