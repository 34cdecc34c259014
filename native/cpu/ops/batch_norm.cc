// Batch normalisation as a separate step: only if the value before it has another use or does not
// come from a convolution.
#include <cmath>

#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const BatchNorm& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const auto channels = static_cast<size_t>(output.channels);
  return [=, this](const Run& run) {
    std::vector<float> scale(channels);
    std::vector<float> shift(channels);
    const float* weight = parameters_.dense(op.weight);
    const float* bias = parameters_.dense(op.bias);
    const float* mean = parameters_.dense(op.mean);
    const float* variance = parameters_.dense(op.variance);
    for (size_t c = 0; c < channels; ++c) {
      const double factor = weight[c] / std::sqrt(static_cast<double>(variance[c]) + op.epsilon);
      scale[c] = static_cast<float>(factor);
      shift[c] = static_cast<float>(bias[c] - mean[c] * factor);
    }
    perPixelRow(input, output, std::move(scale), std::move(shift), op.relu)(run);
  };
}

}  // namespace vgg::cpu
