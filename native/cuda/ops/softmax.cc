// Softmax: each row's exponentials over their sum.
#include "cuda/lowering.h"

namespace vgg::cuda {

Step Lowering::prepare(const Softmax& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const CUfunction function = kernel("softmax", "softmax", output.type);
  return [=, launch = launch_](const Run& run) {
    launch(function, output.batch, address(run, input), address(run, output),
           static_cast<int>(output.channels), static_cast<int>(output.padded));
  };
}

}  // namespace vgg::cuda
