// (N, C, H, W) → (N, C·H·W) for readers that depend on the order. Before a linear layer it needs no
// step: see choices.cc.
#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const Flatten& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  return [=, this](const Run& run) {
    forEachRow(run, input.height, [&](ptrdiff_t n, ptrdiff_t y) {
      float* to = output.image(run.arena, n) + y * input.width;
      for (ptrdiff_t x = 0; x < input.width; ++x) {
        const float* from = input.pixel(run.arena, n, y, x);
        for (ptrdiff_t c = 0; c < input.channels; ++c)
          to[c * input.height * input.width + x] = from[c];
      }
    });
  };
}

}  // namespace vgg::cpu
