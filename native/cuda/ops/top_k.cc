// The k greatest of each row in falling order, the lower index first among equals; NaN counts as
// the greatest.
#include "cuda/executable.h"

namespace vgg::cuda {

Step CudaExecutable::prepare(const TopK& op) {
  const Buffer input = buffer(op.input);
  const Buffer values = buffer(op.output);
  const Buffer indices = buffer(op.indices);
  const int k = op.k;
  const CUfunction function = kernel("top_k", "topK", input.type);
  return [=, this](const Run& run) {
    launch(function, input.batch, address(run, input), address(run, values), address(run, indices),
           static_cast<int>(input.channels), static_cast<int>(input.padded), k,
           static_cast<int>(values.padded));
  };
}

}  // namespace vgg::cuda
