// Converts inputs and outputs between the API's (N, C, H, W) in float32 and the GPU's (N, H, W,
// padded C) in the type of its Buffer.
#include "cuda/kernels/launch.h"
#include "cuda/lowering.h"

namespace vgg::cuda {

Step Lowering::prepareInput(size_t index) {
  const Buffer to = buffer(program_.inputs[index]);
  const CUfunction function = kernel("layout", "toChannelsLast", to.type);
  const Grid grid{static_cast<size_t>(geometry::transposeBlocks(to.batch, to.pixels())),
                  static_cast<size_t>(geometry::transposeSlices(to.padded))};
  return [=, launch = launch_](const Run& run) {
    launch(function, grid, run.inputs[index], address(run, to), CUdeviceptr{0}, CUdeviceptr{0},
           static_cast<int>(to.batch), static_cast<int>(to.channels), static_cast<int>(to.padded),
           static_cast<int>(to.pixels()));
  };
}

Step Lowering::prepareOutput(size_t index) {
  const int value = program_.outputs[index];
  const Buffer from = buffer(value);
  const auto copy = [&context = context_](CUdeviceptr to, CUdeviceptr source, size_t bytes) {
    context.call(context.api().cuMemcpyDtoDAsync_v2, to, source, bytes, context.compute());
  };
  const size_t count = elementCount(program_.values[value].shape) * static_cast<size_t>(batch_);
  if (program_.values[value].dtype == DType::kUint8) {
    const size_t input = inputIndex(value);
    return [=](const Run& run) { copy(run.outputs[index], run.inputs[input], count); };
  }
  if (from.output == static_cast<int>(index)) return nullptr;
  if (from.isPlain())
    return [=](const Run& run) {
      copy(run.outputs[index], address(run, from), count * sizeof(float));
    };
  const CUfunction function = kernel("layout", "toChannelsFirst", from.type);
  const Grid grid{static_cast<size_t>(geometry::transposeBlocks(from.batch, from.pixels())),
                  static_cast<size_t>(geometry::transposeSlices(from.channels))};
  return [=, launch = launch_](const Run& run) {
    launch(function, grid, address(run, from), run.outputs[index], static_cast<int>(from.batch),
           static_cast<int>(from.channels), static_cast<int>(from.padded),
           static_cast<int>(from.pixels()));
  };
}

}  // namespace vgg::cuda
