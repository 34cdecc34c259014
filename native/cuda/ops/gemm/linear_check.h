// A linear layer whose answer is known. Each of our kernels must compute it before it is used.
#pragma once

#include <functional>

#include "cuda/nvidia/context.h"
#include "cuda/plan/choices.h"

namespace vgg::cuda {

/** y (batch, outputs) = relu(x (batch, inputs) weight (outputs, inputs)ᵀ + bias), counts padded. */
struct LinearShape {
  int64_t batch, inputs, outputs;
  Type type, outputType;  // the type of weight and x; the type of y
  bool relu;
};

/** The addresses of a layer's numbers on the GPU. The bias is float32. */
struct LinearBuffers {
  CUdeviceptr weight, input, bias, output;
};

class LinearCheck {
 public:
  /** Puts a weight, a bias and inputs on the GPU. Half of the inputs are zero. There are as many
   * inputs as in the layer, and as many outputs as fit into 4 MiB of weight. Throws Error
   * kOutOfMemory. */
  LinearCheck(Context& context, const LinearShape& layer);

  [[nodiscard]] int64_t outputs() const { return shape_.outputs; }
  [[nodiscard]] CUdeviceptr weight() const { return weight_.address(); }
  /** Returns whether every output is right in two runs: the kernel must leave nothing behind that
   * spoils its next run. Throws Error if it cannot run. */
  [[nodiscard]] bool passes(const std::function<void(const LinearBuffers&)>& kernel) const;

 private:
  [[nodiscard]] bool isRight() const;

  Context& context_;
  LinearShape shape_;
  DeviceMemory weight_, input_, bias_, output_;
};

}  // namespace vgg::cuda
