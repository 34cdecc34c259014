// Finds the k greatest of each row in descending order. Among equals the lower index comes first.
// NaN counts as the greatest.
#include "cuda/lowering.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const TopK& op) const {
  const Buffer& input = buffer(op.input);
  return {{.name = "topK",
           .file = "top_k",
           .kernel = typed("topK", input.type),
           .grid = {static_cast<size_t>(input.batch)},
           .bytes = bytesOf(input) + bytesOf(buffer(op.output)) + bytesOf(buffer(op.indices))}};
}

Step Lowering::prepare(const TopK& op) {
  const Buffer input = buffer(op.input);
  const Buffer values = buffer(op.output);
  const Buffer indices = buffer(op.indices);
  const int k = op.k;
  const Kernel kernel = shared_.kernel(launches_.of(op).front());
  return [=, launch = launch_](const Run& run) {
    launch(kernel, address(run, input), address(run, values), address(run, indices),
           static_cast<int>(input.channels), static_cast<int>(input.padded), k,
           static_cast<int>(values.padded));
  };
}

}  // namespace vgg::cuda
