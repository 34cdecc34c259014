// The table of one instruction set, and the elementwise loops.
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

#ifdef VGG_HALVES
/** Converts whole vectors, and the rest through a temporary vector. */
template <typename To, typename From>
void convert(To* to, const From* from, ptrdiff_t length) {
  ptrdiff_t i = 0;
  for (; i + kLanes <= length; i += kLanes) store(to + i, load(from + i));
  From rest[kLanes] = {};
  To converted[kLanes];
  for (ptrdiff_t k = 0; i + k < length; ++k) rest[k] = from[i + k];
  store(converted, load(rest));
  for (ptrdiff_t k = 0; i + k < length; ++k) to[i + k] = converted[k];
}
constexpr auto kWiden = convert<float, uint16_t>;
constexpr auto kNarrow = convert<uint16_t, float>;
#else
constexpr void (*kWiden)(float*, const uint16_t*, ptrdiff_t) = nullptr;
constexpr void (*kNarrow)(uint16_t*, const float*, ptrdiff_t) = nullptr;
#endif

}  // namespace

extern const Kernels kernels{kName,
                             static_cast<int>(kLanes),
                             static_cast<int>(kPanelWidth),
                             kMaxRows,
                             multiply,
                             multiplyAndPool,
                             multiplyStrip,
                             winogradInput,
                             winogradOutput,
                             kWiden,
                             kNarrow,
                             maximum,
                             affine};

}  // namespace vgg::cpu::VGG_KERNELS
