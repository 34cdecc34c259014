// Average pooling to a given size, with PyTorch's bins.
#include "cuda/lowering.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const AdaptiveAvgPool2d& op) const {
  const Buffer& input = buffer(op.input);
  return {perVector("adaptiveAvgPool2d", "pool", "adaptiveAvgPool2d", bytesOf(input),
                    buffer(op.output), elementsOf(input))};
}

Step Lowering::prepare(const AdaptiveAvgPool2d& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const Kernel kernel = shared_.kernel(launches_.of(op).front());
  return [=, launch = launch_](const Run& run) {
    launch(kernel, address(run, input), address(run, output), static_cast<int>(input.batch),
           static_cast<int>(input.height), static_cast<int>(input.width),
           static_cast<int>(input.padded), static_cast<int>(output.height),
           static_cast<int>(output.width));
  };
}

}  // namespace vgg::cuda
