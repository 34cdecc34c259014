// Flatten: (N, C, H, W) → (N, C·H·W) for readers that depend on the order. Before a linear layer or
// an output it is no step: see plan/choices.cc.
#include "cuda/lowering.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const Flatten& op) const {
  const Buffer& input = buffer(op.input);
  const Buffer& output = buffer(op.output);
  const auto floats = static_cast<size_t>(output.batch * output.channels) * sizeof(float);
  return {transpose("flatten", "toChannelsFirst", input, input.channels, bytesOf(input) + floats),
          transpose("flatten", "toChannelsLast", output, output.padded, floats + bytesOf(output))};
}

Step Lowering::prepare(const Flatten& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const std::vector<Launch> launches = launches_.of(op);
  const Kernel first = shared_.kernel(launches.front());
  const Kernel last = shared_.kernel(launches.back());
  // It holds the value in the API's order, which then becomes rows of one pixel.
  needWorkspace(static_cast<size_t>(output.batch * output.channels) * sizeof(float));
  return [=, launch = launch_](const Run& run) {
    launch(first, address(run, input), run.workspace, static_cast<int>(input.batch),
           static_cast<int>(input.channels), static_cast<int>(input.padded),
           static_cast<int>(input.pixels()));
    launch(last, run.workspace, address(run, output), CUdeviceptr{0}, CUdeviceptr{0},
           static_cast<int>(output.batch), static_cast<int>(output.channels),
           static_cast<int>(output.padded), 1);
  };
}

}  // namespace vgg::cuda
