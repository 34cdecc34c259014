// Max pooling as a step. Convolutions run most pools in their own step: see plan/choices.cc.
#include "cuda/kernels/launch.h"
#include "cuda/lowering.h"

namespace vgg::cuda {

Step Lowering::maxPoolStep(const MaxPool2d& op, CUdeviceptr bias, bool relu) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const MaxPool2d pool = op;
  const CUfunction function = kernel("pool", "maxPool2d", output.type);
  return [=, launch = launch_](const Run& run) {
    launch(function, geometry::blocksFor(output.vectors()), address(run, input), bias,
           address(run, output), static_cast<int>(input.batch), static_cast<int>(input.height),
           static_cast<int>(input.width), static_cast<int>(input.padded),
           static_cast<int>(output.height), static_cast<int>(output.width), pool.size, pool.stride,
           pool.padding, static_cast<int>(relu));
  };
}

Step Lowering::prepare(const MaxPool2d& op) { return maxPoolStep(op, 0, false); }

}  // namespace vgg::cuda
