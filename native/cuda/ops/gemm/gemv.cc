#include "cuda/ops/gemm/gemv.h"

#include "cuda/kernels/launch.h"
#include "cuda/plan/candidates.h"

namespace vgg::cuda {

Launch gemvLaunch(int64_t batch, int64_t outputs, Type input, Type output) {
  const auto columns = static_cast<int>(batch);
  return {
      .file = "gemv",
      .kernel = "gemv" + std::to_string(columns) + "_" + suffixOf(input) + "_" + suffixOf(output),
      .grid = {static_cast<size_t>(
          geometry::gemvBlocks(outputs, columns, static_cast<int>(byteSize(input))))}};
}

namespace {

/** Computes the first `outputs` outputs of the layer. */
LinearKernel gemvKernel(const Shared& shared, const Linear& layer, int64_t outputs) {
  const Kernel kernel =
      shared.kernel(gemvLaunch(layer.batch(), outputs, layer.input.type, layer.output.type));
  return [=, launch = shared.launcher(), count = static_cast<int>(outputs), inputs = layer.inputs(),
          relu = static_cast<int>(layer.op.relu)](const LinearBuffers& buffers) {
    launch(kernel, buffers.weight, buffers.input, buffers.bias, buffers.output, count, inputs,
           relu);
  };
}

}  // namespace

std::optional<bool> isGemvRight(const Shared& shared, const Linear& layer) {
  return shared.kernels.isRight("gemv " + layer.problem(), [&] {
    const LinearCheck check(shared.context, layer.shape());
    return check.passes(gemvKernel(shared, layer, check.outputs()));
  });
}

Step gemvStep(const Shared& shared, const Linear& layer) {
  if (!isGemv(layer.batch()) || !isGemvRight(shared, layer).value_or(false)) return nullptr;
  return [kernel = gemvKernel(shared, layer, layer.outputs()), input = layer.input,
          output = layer.output, weight = layer.matrix.memory->address(),
          bias = layer.bias.values->address()](const Run& run) {
    kernel({weight, address(run, input), bias, address(run, output)});
  };
}

}  // namespace vgg::cuda
