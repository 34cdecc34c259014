// The first layer of a network as one kernel. It reads the uploaded image, normalises, convolves
// three channels on tensor cores, adds the bias, applies ReLU and pools.
#include "cuda/kernels/launch.h"
#include "cuda/lowering.h"
#include "cuda/ops/conv2d/first_layer_check.h"

namespace vgg::cuda {

Launch Launches::firstLayer(const Conv2d& op, const FirstLayer& layer) const {
  const Shape& weight = specs_[op.weight].shape;
  const Shape& image = program_.values[op.input].shape;
  const Buffer& output = buffer(layer.maxPool == nullptr ? op.output : layer.maxPool->output);
  const bool isUint8 = program_.values[layer.input].dtype == DType::kUint8;
  return {.name = layerOf(op.weight),
          .file = "first_layer",
          .kernel = std::string("firstLayer_") + (isUint8 ? "bytes" : "floats") +
                    (layer.maxPool == nullptr ? "_flat_" : "_pool_") +
                    (precision_ == Precision::kTf32 ? "tf32" : suffixOf(output.type)),
          .grid = {static_cast<size_t>(geometry::firstLayerTiles(batch_, image[1], image[2])),
                   static_cast<size_t>(geometry::firstLayerSlices(output.channels))},
          .bytes = apiBytes(layer.input) + bytesOf(output),
          .weightBytes = static_cast<size_t>(weight[0] * geometry::kFirstLayerRow) *
                         byteSize(typeOf(precision_)),
          .operations = multiplyAddsOf(op)};
}

/** Returns whether the kernel computes right numbers on this GPU for each convolution that it is
 * chosen for. Returns false if memory is too short to say. Throws Error kDeviceLost. */
bool Lowering::areFirstLayersRight() {
  for (const Op& op : program_.ops) {
    const auto* conv = std::get_if<Conv2d>(&op);
    if (conv == nullptr) continue;
    const auto& chosen = choices_.firstLayers[conv->output];
    if (!chosen) continue;
    const FirstLayer& layer = *chosen;
    const Shape& image = program_.values[conv->input].shape;
    const FirstLayerShape shape{
        batch_,
        image[1],
        image[2],
        parameters_.specs()[conv->weight].shape[0],
        parameters_.precision(),
        program_.values[layer.input].dtype == DType::kUint8,
        layer.normalize != nullptr,
        layer.maxPool != nullptr,
        conv->relu,
    };
    const auto check = [&] {
      const Kernel kernel = shared_.kernel(launches_.firstLayer(*conv, layer));
      return isFirstLayerRight(context_, shared_.kernels, kernel.function, shape);
    };
    if (!shared_.kernels.isRight("first layer " + shape.text(), check).value_or(false))
      return false;
  }
  return true;
}

Step Lowering::prepareFirstLayer(const Conv2d& conv, const FirstLayer& layer) {
  const Buffer output = buffer(layer.maxPool == nullptr ? conv.output : layer.maxPool->output);
  // (C, H, W), even if the graph's input is uint8 (H, W, C).
  const Shape& image = program_.values[conv.input].shape;
  const bool isUint8 = program_.values[layer.input].dtype == DType::kUint8;
  const Filter& filter = parameters_.firstFilter(conv, folded_.norms[conv.output]);
  CUdeviceptr scale = 0;
  CUdeviceptr shift = 0;
  if (layer.normalize != nullptr) {
    std::vector<float> scales;
    std::vector<float> shifts;
    for (size_t c = 0; c < layer.normalize->mean.size(); ++c) {
      const double deviation = layer.normalize->std[c];
      scales.push_back(static_cast<float>(1.0 / ((isUint8 ? 255.0 : 1.0) * deviation)));
      shifts.push_back(
          static_cast<float>(-static_cast<double>(layer.normalize->mean[c]) / deviation));
    }
    scale = constants(std::move(scales));
    shift = constants(std::move(shifts));
  }
  Kernel kernel = shared_.kernel(launches_.firstLayer(conv, layer));
  // Its blocks share the tiles, and all are resident at once.
  kernel.grid.x = static_cast<size_t>(geometry::firstLayerBlocks(
      static_cast<int64_t>(kernel.grid.x), context_.gpu().multiprocessors));
  const size_t index = inputIndex(layer.input);
  const CUdeviceptr weight = filter.weight->address();
  const CUdeviceptr bias = filter.bias->address();
  const auto height = static_cast<int>(image[1]);
  const auto width = static_cast<int>(image[2]);
  const bool relu = conv.relu;
  return [=, launch = launch_](const Run& run) {
    launch(kernel, run.inputs[index], weight, bias, scale, shift, address(run, output),
           static_cast<int>(output.batch), height, width, static_cast<int>(output.channels),
           static_cast<int>(relu));
  };
}

}  // namespace vgg::cuda
