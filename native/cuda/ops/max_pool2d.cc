// Max pooling as a step. Convolutions run most pools in their own step: see plan/choices.cc.
#include "cuda/lowering.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const MaxPool2d& op) const {
  return {
      perVector("maxPool2d", "pool", "maxPool2d", bytesOf(buffer(op.input)), buffer(op.output))};
}

Step Lowering::maxPoolStep(const MaxPool2d& op, CUdeviceptr bias, bool relu) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const MaxPool2d pool = op;
  const Kernel kernel = shared_.kernel(launches_.of(op).front());
  return [=, launch = launch_](const Run& run) {
    launch(kernel, address(run, input), bias, address(run, output), static_cast<int>(input.batch),
           static_cast<int>(input.height), static_cast<int>(input.width),
           static_cast<int>(input.padded), static_cast<int>(output.height),
           static_cast<int>(output.width), pool.size, pool.stride, pool.padding,
           static_cast<int>(relu));
  };
}

Step Lowering::prepare(const MaxPool2d& op) { return maxPoolStep(op, 0, false); }

}  // namespace vgg::cuda
