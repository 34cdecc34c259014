// The k greatest elements of each row in descending order. Among equals the lower index comes
// first. NaN counts as the greatest.
#include "vector.h"

namespace {

// Returns a number that sorts as wanted: the value's bits made monotonic, then the inverted index.
// It is never 0 and never all ones.
__forceinline__ unsigned long long keyOf(float value, int index) {
  const unsigned bits = bitsOf(value);
  unsigned order = bits >> 31 ? ~bits : bits | 0x80000000;
  if (value == 0) order = 0x80000000;      // -0 equals 0
  if (value != value) order = 0xff800001;  // just above infinity
  return static_cast<unsigned long long>(order) << 32 | ~static_cast<unsigned>(index);
}

__forceinline__ unsigned long long greater(unsigned long long a, unsigned long long b) {
  return a > b ? a : b;
}

// One block per row. Each round finds the greatest element that comes after the last one found.
template <typename T>
__forceinline__ void topK(const T* x, T* values, int* indices, int count, int padded, int k,
                          int paddedK) {
  constexpr int kV = kVector<T>;
  __shared__ unsigned long long perWarp[2][geometry::kWarps];
  const long long row = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  launchNext();
  waitForPrevious();
  unsigned long long last = ~0ULL;
  for (int round = 0; round < k; ++round) {
    unsigned long long best = 0;
    for (int at = thread; at * kV < count; at += geometry::kThreads) {
      float v[kV];
      loadVector(x, row * (padded / kV) + at, v);
      for (int i = 0; i < kV; ++i) {
        const unsigned long long key = keyOf(v[i], at * kV + i);
        if (at * kV + i < count && key < last) best = greater(best, key);
      }
    }
    for (int mask = 16; mask > 0; mask /= 2) {
      best = greater(best, __shfl_xor_sync(~0U, best, mask));
    }
    // Two sets take turns, because a slow warp may still read the last round's set.
    if (thread % 32 == 0) perWarp[round % 2][thread / 32] = best;
    __syncthreads();
    last = perWarp[round % 2][0];
    for (int i = 1; i < geometry::kWarps; ++i) last = greater(last, perWarp[round % 2][i]);
    if (thread == 0) {
      const int index = static_cast<int>(~static_cast<unsigned>(last));
      store(indices + row * k + round, index);
      store(values + row * paddedK + round, load(x + row * padded + index));
    }
  }
  for (int i = k + thread; i < paddedK; i += geometry::kThreads) {
    store(values + row * paddedK + i, T{});
  }
}

}  // namespace

#define TOP_K(suffix, T)                                                                  \
  KERNEL topK_##suffix(const T* x, T* values, int* indices, int count, int padded, int k, \
                       int paddedK) {                                                     \
    topK(x, values, indices, count, padded, k, paddedK);                                  \
  }
FOR_EACH_TYPE(TOP_K)
