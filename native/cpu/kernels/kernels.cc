// The table of one instruction set, and the loops that apply one thing to each element.
#include "cpu/kernels/vector.h"

namespace vgg::cpu::VGG_KERNELS {
namespace {

void maximum(float* to, const float* const* inputs, int count, ptrdiff_t length) {
  ptrdiff_t i = 0;
  for (; i + kLanes <= length; i += kLanes) {
    Vector greatest = load(inputs[0] + i);
    for (int k = 1; k < count; ++k) greatest = greater(greatest, load(inputs[k] + i));
    store(to + i, greatest);
  }
  for (; i < length; ++i) {
    float greatest = inputs[0][i];
    for (int k = 1; k < count; ++k) {
      const float v = inputs[k][i];
      greatest = v > greatest || v != v ? v : greatest;
    }
    to[i] = greatest;
  }
}

void affine(float* to, const float* from, const float* scale, const float* shift, ptrdiff_t length,
            bool relu) {
  for (ptrdiff_t i = 0; i < length; ++i) {
    float value = from[i];
    if (scale != nullptr) value *= scale[i];
    if (shift != nullptr) value += shift[i];
    to[i] = relu && value < 0.0F ? 0.0F : value;
  }
}

}  // namespace

void widen(float* to, const uint16_t* from, ptrdiff_t length) {
  ptrdiff_t i = 0;
  for (; i + kLanes <= length; i += kLanes) store(to + i, load(from + i));
  if (i == length) return;
  uint16_t rest[kLanes] = {};
  float wide[kLanes];
  for (ptrdiff_t k = 0; i + k < length; ++k) rest[k] = from[i + k];
  store(wide, load(rest));
  for (ptrdiff_t k = 0; i + k < length; ++k) to[i + k] = wide[k];
}

void narrow(uint16_t* to, const float* from, ptrdiff_t length) {
  for (ptrdiff_t i = 0; i < length; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, from + i, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000U;
    const uint32_t magnitude = bits & 0x7fffffffU;
    // Below 2⁻¹⁴ the sum with ½ leaves the denormal's bits, rounded, at the end of the mantissa.
    float value;
    __builtin_memcpy(&value, &magnitude, sizeof value);
    value += 0.5F;
    uint32_t denormal;
    __builtin_memcpy(&denormal, &value, sizeof denormal);
    const uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
    uint32_t half =
        magnitude < 0x38800000U ? denormal - 0x3f000000U : (rounded - 0x38000000U) >> 13;
    half = rounded >= 0x47800000U ? 0x7c00U : half;
    half = magnitude > 0x7f800000U ? 0x7e00U : half;
    to[i] = static_cast<uint16_t>(sign | half);
  }
}

extern const Kernels kernels{kName,
                             static_cast<int>(kLanes),
                             static_cast<int>(kPanelWidth),
                             kMaxRows,
                             kPooledRows,
                             tile,
                             tileOfHalf,
                             pooledTile,
                             winogradInput,
                             winogradOutput,
                             widen,
                             narrow,
                             maximum,
                             affine};

}  // namespace vgg::cpu::VGG_KERNELS
