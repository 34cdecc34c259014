// Normalize: pixels → network input. Pixels are uint8 (N, H, W, C), as images are decoded, or
// float32 (N, C, H, W) in [0, 1]. The kernel for first layers includes it: see plan/choices.cc.
#include "cuda/lowering.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const Normalize& op) const {
  const Buffer& output = buffer(op.output);
  const double operations = 2 * elementsOf(output);
  if (program_.values[op.input].dtype != DType::kUint8)
    return {affine("normalize", buffer(op.input), output, operations)};
  return {
      perVector("normalize", "layout", "normalizeBytes", apiBytes(op.input), output, operations)};
}

Step Lowering::prepare(const Normalize& op) {
  const Buffer output = buffer(op.output);
  const bool isUint8 = program_.values[op.input].dtype == DType::kUint8;
  const double unit = isUint8 ? 255.0 : 1.0;
  std::vector<float> scales(static_cast<size_t>(output.padded), 0.0F);
  std::vector<float> shifts(scales.size(), 0.0F);
  for (size_t c = 0; c < op.mean.size(); ++c) {
    scales[c] = static_cast<float>(1.0 / (unit * op.std[c]));
    shifts[c] = static_cast<float>(-static_cast<double>(op.mean[c]) / op.std[c]);
  }
  const CUdeviceptr scale = constants(std::move(scales));
  const CUdeviceptr shift = constants(std::move(shifts));
  if (!isUint8) return affineStep(buffer(op.input), output, scale, shift, false);

  const size_t index = inputIndex(op.input);
  const Kernel kernel = shared_.kernel(launches_.of(op).front());
  const long long pixels = output.batch * output.pixels();
  return [=, launch = launch_](const Run& run) {
    launch(kernel, run.inputs[index], address(run, output), scale, shift, pixels,
           static_cast<int>(output.channels), static_cast<int>(output.padded));
  };
}

}  // namespace vgg::cuda
