// Finds the k greatest of each row in descending order. Among equals the lower index comes first.
// NaN counts as the greatest.
#include "cuda/lowering.h"

namespace vgg::cuda {

Step Lowering::prepare(const TopK& op) {
  const Buffer input = buffer(op.input);
  const Buffer values = buffer(op.output);
  const Buffer indices = buffer(op.indices);
  const int k = op.k;
  const CUfunction function = kernel("top_k", "topK", input.type);
  return [=, launch = launch_](const Run& run) {
    launch(function, input.batch, address(run, input), address(run, values), address(run, indices),
           static_cast<int>(input.channels), static_cast<int>(input.padded), k,
           static_cast<int>(values.padded));
  };
}

}  // namespace vgg::cuda
