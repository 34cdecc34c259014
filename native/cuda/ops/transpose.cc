// Converts inputs and outputs between the API's (N, C, H, W) in float32 and the GPU's (N, H, W,
// padded C) in the type of its Buffer.
#include "cuda/lowering.h"

namespace vgg::cuda {

Launch Launches::input(int value) const {
  const Buffer& to = buffer(value);
  return transpose("input", "toChannelsLast", to, to.padded, apiBytes(value) + bytesOf(to));
}

std::optional<Launch> Launches::output(size_t index) const {
  const int value = program_.outputs[index];
  const Buffer& from = buffer(value);
  const size_t bytes = apiBytes(value);
  const bool isUint8 = program_.values[value].dtype == DType::kUint8;
  if (!isUint8 && !from.isPlain())
    return transpose("output", "toChannelsFirst", from, from.channels, bytesOf(from) + bytes);
  if (!isUint8 && from.output == static_cast<int>(index)) return std::nullopt;
  return Launch{.name = "output", .kernel = "copy", .bytes = 2 * bytes};
}

Step Lowering::prepareInput(size_t index) {
  const Buffer to = buffer(program_.inputs[index]);
  const Kernel kernel = shared_.kernel(launches_.input(program_.inputs[index]));
  return [=, launch = launch_](const Run& run) {
    launch(kernel, run.inputs[index], address(run, to), CUdeviceptr{0}, CUdeviceptr{0},
           static_cast<int>(to.batch), static_cast<int>(to.channels), static_cast<int>(to.padded),
           static_cast<int>(to.pixels()));
  };
}

Step Lowering::prepareOutput(size_t index) {
  const std::optional<Launch> planned = launches_.output(index);
  if (!planned) return nullptr;
  const int value = program_.outputs[index];
  const Buffer from = buffer(value);
  if (planned->file.empty()) {
    const auto copy = [&context = context_, bytes = planned->bytes / 2](CUdeviceptr to,
                                                                        CUdeviceptr source) {
      context.call(context.api().cuMemcpyDtoDAsync_v2, to, source, bytes, context.compute());
    };
    if (program_.values[value].dtype != DType::kUint8)
      return [=](const Run& run) { copy(run.outputs[index], address(run, from)); };
    const size_t input = inputIndex(value);
    return [=](const Run& run) { copy(run.outputs[index], run.inputs[input]); };
  }
  const Kernel kernel = shared_.kernel(*planned);
  return [=, launch = launch_](const Run& run) {
    launch(kernel, address(run, from), run.outputs[index], static_cast<int>(from.batch),
           static_cast<int>(from.channels), static_cast<int>(from.padded),
           static_cast<int>(from.pixels()));
  };
}

}  // namespace vgg::cuda
