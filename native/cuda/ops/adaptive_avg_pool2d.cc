// Average pooling to a given size, with PyTorch's bins.
#include "cuda/kernels/launch.h"
#include "cuda/lowering.h"

namespace vgg::cuda {

Step Lowering::prepare(const AdaptiveAvgPool2d& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const CUfunction function = kernel("pool", "adaptiveAvgPool2d", output.type);
  return [=, launch = launch_](const Run& run) {
    launch(function, geometry::blocksFor(output.vectors()), address(run, input),
           address(run, output), static_cast<int>(input.batch), static_cast<int>(input.height),
           static_cast<int>(input.width), static_cast<int>(input.padded),
           static_cast<int>(output.height), static_cast<int>(output.width));
  };
}

}  // namespace vgg::cuda
