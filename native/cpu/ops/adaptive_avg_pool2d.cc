// Mean over PyTorch's bins: output i of n covers [⌊i·size / n⌋, ⌈(i + 1)·size / n⌉) of the input.
#include <algorithm>

#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const AdaptiveAvgPool2d& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  return [=, this](const Run& run) {
    const auto binStart = [](ptrdiff_t i, ptrdiff_t bins, ptrdiff_t size) {
      return i * size / bins;
    };
    const auto binEnd = [](ptrdiff_t i, ptrdiff_t bins, ptrdiff_t size) {
      return ((i + 1) * size + bins - 1) / bins;
    };
    forEachRow(run, output.height, [&](ptrdiff_t n, ptrdiff_t y) {
      clearBorder(output, run.arena, n, y, y + 1);
      const ptrdiff_t top = binStart(y, output.height, input.height);
      const ptrdiff_t bottom = binEnd(y, output.height, input.height);
      for (ptrdiff_t x = 0; x < output.width; ++x) {
        const ptrdiff_t left = binStart(x, output.width, input.width);
        const ptrdiff_t right = binEnd(x, output.width, input.width);
        float* to = output.pixel(run.arena, n, y, x);
        std::fill_n(to, output.channels, 0.0F);
        for (ptrdiff_t v = top; v < bottom; ++v) {
          for (ptrdiff_t u = left; u < right; ++u) {
            const float* from = input.pixel(run.arena, n, v, u);
            for (ptrdiff_t c = 0; c < output.channels; ++c) to[c] += from[c];
          }
        }
        const auto area = static_cast<float>((bottom - top) * (right - left));
        for (ptrdiff_t c = 0; c < output.channels; ++c) to[c] /= area;
      }
    });
  };
}

}  // namespace vgg::cpu
