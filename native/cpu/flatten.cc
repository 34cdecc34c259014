// (N, C, H, W) → (N, C·H·W) for readers that depend on the order. Before a linear layer it costs
// nothing: see choose().
#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const Flatten& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  return [=, this](const Run& run) {
    pool_.run(static_cast<size_t>(input.batch * input.height), [&](size_t task) {
      const ptrdiff_t n = static_cast<ptrdiff_t>(task) / input.height;
      const ptrdiff_t y = static_cast<ptrdiff_t>(task) % input.height;
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
