// ReLU as a step. Most ReLUs are part of the operation before them.
#include "cuda/lowering.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const Relu& op) const {
  return {affine("relu", buffer(op.input), buffer(op.output), 0)};
}

Step Lowering::prepare(const Relu& op) {
  return affineStep(buffer(op.input), buffer(op.output), 0, 0, true);
}

}  // namespace vgg::cuda
