// Each row's exponentials over their sum.
#include "cuda/executable.h"

namespace vgg::cuda {

Step CudaExecutable::prepare(const Softmax& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const CUfunction function = kernel("softmax", "softmax", output.type);
  return [=, this](const Run& run) {
    launch(function, output.batch, address(run, input), address(run, output),
           static_cast<int>(output.channels), static_cast<int>(output.padded));
  };
}

}  // namespace vgg::cuda
