// Shapes, element types and overflow-checked arithmetic on sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace vgg {

enum class DType : std::uint8_t { kFloat32, kFloat64, kFloat16, kBfloat16, kUint8, kInt32 };

constexpr size_t byteSize(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return 8;
    case DType::kFloat16:
    case DType::kBfloat16:
      return 2;
    case DType::kUint8:
      return 1;
    default:
      return 4;
  }
}

/** Returns the name of the dtype in JavaScript. */
constexpr const char* dtypeName(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "float32";
    case DType::kFloat64:
      return "float64";
    case DType::kFloat16:
      return "float16";
    case DType::kBfloat16:
      return "bfloat16";
    case DType::kUint8:
      return "uint8";
    case DType::kInt32:
      return "int32";
  }
  return "float32";
}

/** Outermost dimension first. The shape of a recorded value omits its batch dimension N. */
using Shape = std::vector<int64_t>;

/** Returns a / b, rounded up, for nonnegative numbers. */
template <typename Integer>
constexpr Integer divideUp(Integer a, std::type_identity_t<Integer> b) {
  return (a + b - 1) / b;
}

/** Returns a × b. Throws Error kOutOfMemory if it overflows size_t: nothing that large can be
 * allocated. */
size_t checkedMultiply(size_t a, size_t b);

size_t elementCount(const Shape& shape);

std::string toString(const Shape& shape);

}  // namespace vgg
