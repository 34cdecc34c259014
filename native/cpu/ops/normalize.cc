// Converts pixels to network input. Pixels are uint8 (N, H, W, C), as images are decoded, or
// float32 (N, C, H, W) in [0, 1].
#include "cpu/executable.h"

namespace vgg::cpu {

Step CpuExecutable::prepare(const Normalize& op) {
  const Buffer output = buffer(op.output);
  const bool isUint8 = isUnplaced(op.input);
  const double unit = isUint8 ? 255.0 : 1.0;
  std::vector<float> scale;
  std::vector<float> shift;
  for (size_t c = 0; c < op.mean.size(); ++c) {
    scale.push_back(static_cast<float>(1.0 / (unit * op.std[c])));
    shift.push_back(static_cast<float>(-static_cast<double>(op.mean[c]) / op.std[c]));
  }
  if (!isUint8)
    return perPixelRow(buffer(op.input), output, std::move(scale), std::move(shift), false);

  const size_t index = inputIndex(op.input);
  return [=, this](const Run& run) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(run.input(index));
    forEachRow(run, output.height, [&](ptrdiff_t n, ptrdiff_t y) {
      clearBorder(output, run.arena, n, y, y + 1);
      const uint8_t* from = bytes + (n * output.height + y) * output.width * output.channels;
      float* to = output.pixel(run.arena, n, y, 0);
      for (ptrdiff_t x = 0; x < output.width; ++x) {
        for (ptrdiff_t c = 0; c < output.channels; ++c) {
          const ptrdiff_t i = x * output.channels + c;
          to[i] = static_cast<float>(from[i]) * scale[c] + shift[c];
        }
      }
    });
  };
}

}  // namespace vgg::cpu
