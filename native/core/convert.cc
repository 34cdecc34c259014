#include "core/convert.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace vgg {
namespace {

inline float fromHalf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  uint32_t magnitude = static_cast<uint32_t>(half & 0x7FFFU) << 13;
  // The exponent biases differ by 112. A multiplication adds that and also handles subnormals.
  const bool isSpecial = (half & 0x7C00U) == 0x7C00U;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
  magnitude = isSpecial ? magnitude | 0x7F800000U : std::bit_cast<uint32_t>(scaled);
  return std::bit_cast<float>(sign | magnitude);
}

template <typename From, typename Convert>
void convertAll(float* to, const std::byte* from, size_t count, const Convert& convert) {
  const auto* values = reinterpret_cast<const From*>(from);
  for (size_t i = 0; i < count; ++i) to[i] = convert(values[i]);
}

}  // namespace

void toFloat32(float* to, const std::byte* from, DType dtype, size_t count) {
  switch (dtype) {
    case DType::kFloat32:
      std::memcpy(to, from, count * sizeof(float));
      return;
    case DType::kFloat64:
      return convertAll<double>(to, from, count,
                                [](double value) { return static_cast<float>(value); });
    case DType::kFloat16:
      return convertAll<uint16_t>(to, from, count, fromHalf);
    case DType::kBfloat16:
      return convertAll<uint16_t>(to, from, count, [](uint16_t value) {
        return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
      });
    default:
      throw Error(Code::kInternal, "Expected a floating-point dtype");
  }
}

}  // namespace vgg
