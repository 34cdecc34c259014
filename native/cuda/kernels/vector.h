// Loads and stores 16-byte vectors of any element type as floats, and holds small functions that
// all kernels share. Needs ptx.h only.
#pragma once

#include "ptx.h"

__forceinline__ float toFloat(float f) { return f; }
__forceinline__ float toFloat(Bfloat b) { return floatOf(static_cast<unsigned>(b.bits) << 16); }

__forceinline__ void roundTo(float f, float& to) { to = f; }
__forceinline__ void roundTo(float f, Half& to) {
  to.bits = static_cast<unsigned short>(toPair(to, f, 0));
}
__forceinline__ void roundTo(float f, Bfloat& to) {
  to.bits = static_cast<unsigned short>(toPair(to, f, 0));
}

/** Elements in 16 bytes. */
template <typename T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));

template <typename T>
__forceinline__ void unpack(uint4 raw, float (&to)[kVector<T>]) {
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 4) {
      to[i] = floatOf(words[i]);
    } else {
      to[2 * i] = toFloat(T{static_cast<unsigned short>(words[i] & 0xffff)});
      to[2 * i + 1] = toFloat(T{static_cast<unsigned short>(words[i] >> 16)});
    }
  }
}

template <typename T>
__forceinline__ uint4 pack(const float (&from)[kVector<T>]) {
  unsigned words[4];
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 4) {
      words[i] = bitsOf(from[i]);
    } else {
      words[i] = toPair(T{}, from[2 * i], from[2 * i + 1]);
    }
  }
  return {words[0], words[1], words[2], words[3]};
}

/** `index` counts vectors. */
template <typename T>
__forceinline__ void loadVector(const T* from, long long index, float (&to)[kVector<T>]) {
  unpack<T>(load(reinterpret_cast<const uint4*>(from) + index), to);
}

template <typename T>
__forceinline__ void storeVector(T* to, long long index, const float (&from)[kVector<T>]) {
  store(reinterpret_cast<uint4*>(to) + index, pack<T>(from));
}

// NaN < 0 is false, so NaN stays.
__forceinline__ float rectify(float f) { return f < 0 ? 0.0F : f; }

__forceinline__ long long threadIndex() {
  return static_cast<long long>(blockIdx.x) * geometry::kThreads + threadIdx.x;
}

/** Returns index % count and divides the index by count: one digit of a mixed-radix number. Indices
 * of 32 bits have a separate path, because 64-bit division is slow. */
__forceinline__ int takeDigit(long long& index, int count) {
  if (index >> 32 == 0) {
    const unsigned narrow = static_cast<unsigned>(index);
    const unsigned rest = narrow / static_cast<unsigned>(count);
    index = rest;
    return static_cast<int>(narrow - rest * static_cast<unsigned>(count));
  }
  const long long rest = index / count;
  const int digit = static_cast<int>(index - rest * count);
  index = rest;
  return digit;
}

/** EACH(suffix, type) for every element type. */
#define FOR_EACH_TYPE(EACH) EACH(f32, float) EACH(f16, Half) EACH(bf16, Bfloat)
