// Puts small integers on the GPU for the checks of kernels. Their sums are exact in any order of
// addition.
#pragma once

#include <bit>
#include <cstring>
#include <vector>

#include "core/shape.h"
#include "cuda/nvidia/context.h"
#include "cuda/plan/choices.h"

namespace vgg::cuda {

/** Returns the API's name of a floating-point type. */
constexpr DType dtypeOf(Type type) {
  if (type == Type::kFloat16) return DType::kFloat16;
  return type == Type::kBfloat16 ? DType::kBfloat16 : DType::kFloat32;
}

/** Returns the largest relative error of rounding a sum to a type. */
constexpr double roundoffOf(Type type) {
  if (type == Type::kFloat32) return 0;
  return type == Type::kFloat16 ? 0x1p-11 : 0x1p-8;
}

/** Returns pseudorandom bits that depend on the index of an element. */
inline uint32_t scatter(int64_t index) {
  auto bits = static_cast<uint32_t>(index);
  bits = (bits ^ bits >> 16) * 0x7feb352dU;
  bits = (bits ^ bits >> 15) * 0x846ca68bU;
  return bits ^ bits >> 16;
}

/** Returns the bits of an integer in a type. Every type must be able to hold the integer. */
inline uint32_t bitsOf(int value, DType type) {
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  if (type == DType::kFloat32) return bits;
  if (type == DType::kBfloat16) return bits >> 16;
  constexpr uint32_t kLessExponent = (127 - 15) << 23;
  return value == 0 ? 0 : (bits >> 31 << 15) | ((bits & 0x7fffffffU) - kLessExponent) >> 13;
}

/** Copies bytes to the GPU. Returns when they are there, because some kernels read early. */
void upload(Context& context, CUdeviceptr to, const std::vector<std::byte>& bytes);

/** Copies elements [first, first + count) of a type to `to`. elementAt(index) gives their integers.
 */
template <typename ElementAt>
void upload(Context& context, CUdeviceptr to, DType type, int64_t first, int64_t count,
            const ElementAt& elementAt) {
  const size_t size = byteSize(type);
  std::vector<std::byte> bytes(static_cast<size_t>(count) * size);
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = bitsOf(elementAt(first + i), type);
    std::memcpy(bytes.data() + static_cast<size_t>(i) * size, &bits, size);  // little-endian
  }
  upload(context, to, bytes);
}

/** Fills memory with NaN of any type, which reveals elements that a kernel does not store. */
void poison(Context& context, CUdeviceptr at, size_t bytes);

/** Returns elements of the GPU as floats, after all earlier work on the compute stream. */
std::vector<float> download(Context& context, CUdeviceptr from, DType type, size_t count);

}  // namespace vgg::cuda
