// A convolution whose answer is known. A plan must compute it before it is used, because engines
// that were fast and wrong have been seen.
#pragma once

#include <functional>

#include "cuda/nvidia/context.h"
#include "cuda/nvidia/convolution.h"

namespace vgg::cuda {

class ConvolutionCheck {
 public:
  /** Puts a filter, a bias and, at `input`, images on the GPU. They are small integers, whose sums
   * are exact in every order. Throws Error kOutOfMemory. */
  ConvolutionCheck(Context& context, const Convolution& convolution, CUdeviceptr input);

  /** Returns whether the plan stores every element of its output and a sample of these agrees with
   * the definition. Takes input, output and workspace from `buffers`. Throws Error if the plan
   * cannot run. */
  [[nodiscard]] bool passes(const Plan& plan, ConvolutionBuffers buffers) const;
  /** Returns the same for our own kernel, which takes its bias in float32. If `isPooled`, the
   * kernel stores maxima over 2 × 2 outputs. */
  [[nodiscard]] bool passes(const DirectConvolution& direct, ConvolutionBuffers buffers,
                            bool isPooled) const;

 private:
  /** The right value of an output. */
  struct Truth {
    double value, tolerance;
  };
  [[nodiscard]] Truth truthOf(int64_t image, int64_t y, int64_t x, int64_t filter,
                              bool isFused) const;
  void poisonOutput(CUdeviceptr output, int64_t window) const;
  /** Each element is the maximum of `window` × `window` outputs. */
  [[nodiscard]] bool isRight(CUdeviceptr output, bool isFused, int64_t window) const;

  Context& context_;
  Convolution convolution_;
  DType type_;
  DeviceMemory filter_, bias_;
};

}  // namespace vgg::cuda
