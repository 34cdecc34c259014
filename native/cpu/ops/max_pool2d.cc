// Takes the maximum of each window. Padded positions are skipped, because padding can never be the
// maximum.
#include <algorithm>

#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const MaxPool2d& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  return [=, this](const Run& run) {
    forEachRow(run, output.height, [&](ptrdiff_t n, ptrdiff_t y) {
      clearBorder(output, run.arena, n, y, y + 1);
      const ptrdiff_t top = std::max<ptrdiff_t>(0, y * op.stride - op.padding);
      const ptrdiff_t bottom =
          std::min<ptrdiff_t>(input.height, y * op.stride - op.padding + op.size);
      // Go through the window row by row with the maximum so far as one of the inputs, so that a
      // window may have any size.
      constexpr int kMost = 16;
      const float* window[kMost];
      for (ptrdiff_t x = 0; x < output.width; ++x) {
        const ptrdiff_t left = std::max<ptrdiff_t>(0, x * op.stride - op.padding);
        const ptrdiff_t right =
            std::min<ptrdiff_t>(input.width, x * op.stride - op.padding + op.size);
        float* to = output.pixel(run.arena, n, y, x);
        int count = 0;
        for (ptrdiff_t v = top; v < bottom; ++v) {
          for (ptrdiff_t u = left; u < right; ++u) {
            if (count == kMost) {
              kernels_.maximum(to, window, count, output.channels);
              window[0] = to;
              count = 1;
            }
            window[count++] = input.pixel(run.arena, n, v, u);
          }
        }
        kernels_.maximum(to, window, count, output.channels);
      }
    });
  };
}

}  // namespace vgg::cpu
