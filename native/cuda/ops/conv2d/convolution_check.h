// A convolution whose answer is known: what a plan must compute before it is used. Engines that
// were fast and wrong have been seen.
#pragma once

#include <functional>

#include "cuda/nvidia/context.h"
#include "cuda/nvidia/convolution.h"

namespace vgg::cuda {

class ConvolutionCheck {
 public:
  /** Puts a filter and a bias of its own on the GPU, and images at `input`, which is overwritten:
   * small integers, whose sums are exact in whatever order they are added. Throws Error
   * kOutOfMemory. */
  ConvolutionCheck(Context& context, const Convolution& convolution, CUdeviceptr input);

  /** Whether the plan stores every element of what it makes of them, and a sample of it is what the
   * definition says; for the input, output and workspace of `buffers`. Throws Error if the plan
   * cannot run. */
  [[nodiscard]] bool passes(const Plan& plan, ConvolutionBuffers buffers) const;
  /** The same of a kernel of ours, which takes its bias in float32 and may make the maximum over
   * 2 × 2 on its way. */
  [[nodiscard]] bool passes(const DirectConvolution& direct, ConvolutionBuffers buffers,
                            bool isPooled) const;

 private:
  /** What an output may be. */
  struct Truth {
    double value, tolerance;
  };
  [[nodiscard]] Truth truthOf(int64_t image, int64_t y, int64_t x, int64_t filter,
                              bool isFused) const;
  void poisonOutput(CUdeviceptr output, int64_t window) const;
  /** `window` × `window` outputs became one by a maximum. */
  [[nodiscard]] bool isRight(CUdeviceptr output, bool isFused, int64_t window) const;

  Context& context_;
  Convolution convolution_;
  DType type_;
  DeviceMemory filter_, bias_;
};

}  // namespace vgg::cuda
