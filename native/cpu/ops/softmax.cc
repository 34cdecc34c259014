// Softmax over each row, shifted by its maximum so that the exponential cannot overflow.
#include <algorithm>
#include <cmath>

#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const Softmax& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  return [=, this](const Run& run) {
    pool_.run(static_cast<size_t>(batch_), [&](size_t task) {
      const auto n = static_cast<ptrdiff_t>(task);
      const float* from = input.image(run.arena, n);
      float* to = output.image(run.arena, n);
      // A NaN reaches every element through the sum.
      const float greatest = *std::max_element(from, from + output.channels);
      double sum = 0;
      for (ptrdiff_t i = 0; i < output.channels; ++i) {
        to[i] = std::exp(from[i] - greatest);
        sum += static_cast<double>(to[i]);
      }
      for (ptrdiff_t i = 0; i < output.channels; ++i) to[i] = static_cast<float>(to[i] / sum);
    });
  };
}

}  // namespace vgg::cpu
