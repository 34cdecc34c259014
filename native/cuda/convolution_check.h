// A convolution whose answer is known: what a plan must compute before it is used. Engines that
// were fast and wrong have been seen.
#pragma once

#include "cuda/context.h"
#include "cuda/convolution.h"

namespace vgg::cuda {

class ConvolutionCheck {
 public:
  /** Puts a filter and a bias of its own on the GPU, and images at `input`, which is overwritten:
   * small integers, whose sums are exact in whatever order they are added. Throws Error
   * kOutOfMemory. */
  ConvolutionCheck(Context& context, const Convolution& convolution, CUdeviceptr input);

  /** Whether a sample of what the plan makes of them is what the definition says; for the input,
   * output and workspace of `buffers`. Throws Error where the plan cannot run. */
  [[nodiscard]] bool passes(const Plan& plan, ConvolutionBuffers buffers) const;

 private:
  /** Whether output (image, y, x, filter) may be `actual`. */
  [[nodiscard]] bool isRight(int64_t image, int64_t y, int64_t x, int64_t filter, Form form,
                             float actual) const;

  Context& context_;
  Convolution convolution_;
  DType type_;
  DeviceMemory filter_, bias_;
};

}  // namespace vgg::cuda
