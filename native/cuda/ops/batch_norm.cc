// Batch normalisation that no convolution could take in, and what else multiplies and adds per
// channel.
#include "cuda/executable.h"
#include "cuda/kernels/launch.h"

namespace vgg::cuda {

/** output = input · scale + shift, each with one number per channel or 0 for none. */
Step CudaExecutable::affineStep(const Buffer& input, const Buffer& output, CUdeviceptr scale,
                                CUdeviceptr shift, bool relu) {
  const CUfunction function = kernel("pointwise", "affine", output.type);
  return [=, this](const Run& run) {
    launch(function, geometry::blocksFor(output.vectors()), address(run, input), scale, shift,
           address(run, output), static_cast<long long>(output.vectors()),
           static_cast<int>(output.padded), static_cast<int>(relu));
  };
}

Step CudaExecutable::prepare(const BatchNorm& op) {
  const Affine& affine = parameters_->affine(op);
  return affineStep(buffer(op.input), buffer(op.output), affine.scale->address(),
                    affine.shift->address(), op.relu);
}

}  // namespace vgg::cuda
