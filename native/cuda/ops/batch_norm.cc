// Batch normalisation that is not folded into a convolution, and other steps that multiply and add
// per channel.
#include "cuda/lowering.h"

namespace vgg::cuda {

Launch Launches::affine(const std::string& name, const Buffer& input, const Buffer& output,
                        double operations) {
  return perVector(name, "pointwise", "affine", bytesOf(input), output, operations);
}

std::vector<Launch> Launches::of(const BatchNorm& op) const {
  const Buffer& output = buffer(op.output);
  return {affine(layerOf(op.weight), buffer(op.input), output, 2 * elementsOf(output))};
}

/** output = input · scale + shift. Scale and shift have one number per channel. An address of 0
 * stands for no scale or no shift. */
Step Lowering::affineStep(const Buffer& input, const Buffer& output, CUdeviceptr scale,
                          CUdeviceptr shift, bool relu) {
  const Kernel kernel = shared_.kernel(Launches::affine("", input, output, 0));
  return [=, launch = launch_](const Run& run) {
    launch(kernel, address(run, input), scale, shift, address(run, output),
           static_cast<long long>(output.vectors()), static_cast<int>(output.padded),
           static_cast<int>(relu));
  };
}

Step Lowering::prepare(const BatchNorm& op) {
  const Affine& affine = parameters_.affine(op);
  return affineStep(buffer(op.input), buffer(op.output), affine.scale->address(),
                    affine.shift->address(), op.relu);
}

}  // namespace vgg::cuda
