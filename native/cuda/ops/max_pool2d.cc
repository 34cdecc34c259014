// Max pooling that follows no convolution, or one whose output is wanted too.
#include "cuda/executable.h"
#include "cuda/kernels/launch.h"

namespace vgg::cuda {

Step CudaExecutable::maxPoolStep(const MaxPool2d& op, CUdeviceptr bias, bool relu) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const MaxPool2d pool = op;
  const CUfunction function = kernel("pool", "maxPool2d", output.type);
  return [=, this](const Run& run) {
    launch(function, geometry::blocksFor(output.vectors()), address(run, input), bias,
           address(run, output), static_cast<int>(input.batch), static_cast<int>(input.height),
           static_cast<int>(input.width), static_cast<int>(input.padded),
           static_cast<int>(output.height), static_cast<int>(output.width), pool.size, pool.stride,
           pool.padding, static_cast<int>(relu));
  };
}

Step CudaExecutable::prepare(const MaxPool2d& op) { return maxPoolStep(op, 0, false); }

}  // namespace vgg::cuda
