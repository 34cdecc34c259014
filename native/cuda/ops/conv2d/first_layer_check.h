// A first layer whose answer is known: what our kernel for them must compute before it is used.
#pragma once

#include <string>

#include "core/precision.h"
#include "cuda/nvidia/nvrtc.h"

namespace vgg::cuda {

/** 3 × 3 filters on images (batch, 3, height, width) of float32, or (batch, height, width, 3) of
 * bytes. */
struct FirstLayerShape {
  int64_t batch, height, width, filters;
  Precision precision;
  bool isUint8, isNormalized, isPooled, relu;

  [[nodiscard]] std::string text() const;
};

/** Whether the kernel stores every element of up to two images and a sample is right, with a filter
 * that our kernel has packed. Throws Error if it cannot run, kOutOfMemory. */
bool isFirstLayerRight(Context& context, Kernels& kernels, CUfunction kernel,
                       const FirstLayerShape& shape);

}  // namespace vgg::cuda
