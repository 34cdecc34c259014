// Flatten: (N, C, H, W) → (N, C·H·W) for readers that depend on the order. Before a linear layer or
// an output it is no step: see plan/choices.cc.
#include "cuda/kernels/launch.h"
#include "cuda/lowering.h"

namespace vgg::cuda {

Step Lowering::prepare(const Flatten& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const CUfunction first = kernel("layout", "toChannelsFirst", input.type);
  const CUfunction last = kernel("layout", "toChannelsLast", output.type);
  // It holds the value in the API's order, which then becomes rows of one pixel.
  needWorkspace(static_cast<size_t>(output.batch * output.channels) * sizeof(float));
  const Grid firstGrid{static_cast<size_t>(geometry::transposeBlocks(input.batch, input.pixels())),
                       static_cast<size_t>(geometry::transposeSlices(input.channels))};
  const Grid lastGrid{static_cast<size_t>(geometry::transposeBlocks(output.batch, 1)),
                      static_cast<size_t>(geometry::transposeSlices(output.padded))};
  return [=, launch = launch_](const Run& run) {
    launch(first, firstGrid, address(run, input), run.workspace, static_cast<int>(input.batch),
           static_cast<int>(input.channels), static_cast<int>(input.padded),
           static_cast<int>(input.pixels()));
    launch(last, lastGrid, run.workspace, address(run, output), CUdeviceptr{0}, CUdeviceptr{0},
           static_cast<int>(output.batch), static_cast<int>(output.channels),
           static_cast<int>(output.padded), 1);
  };
}

}  // namespace vgg::cuda
