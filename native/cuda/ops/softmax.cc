// Softmax: each row's exponentials over their sum.
#include "cuda/lowering.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const Softmax& op) const {
  const Buffer& output = buffer(op.output);
  return {{.name = "softmax",
           .file = "softmax",
           .kernel = typed("softmax", output.type),
           .grid = {static_cast<size_t>(output.batch)},
           .bytes = bytesOf(buffer(op.input)) + bytesOf(output),
           .operations = 3 * elementsOf(output)}};
}

Step Lowering::prepare(const Softmax& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const Kernel kernel = shared_.kernel(launches_.of(op).front());
  return [=, launch = launch_](const Run& run) {
    launch(kernel, address(run, input), address(run, output), static_cast<int>(output.channels),
           static_cast<int>(output.padded));
  };
}

}  // namespace vgg::cuda
