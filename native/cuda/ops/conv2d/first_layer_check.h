// A first layer whose answer is known. Our kernel must compute it before it is used.
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

/** Returns whether the kernel stores every element of up to two images and a sample is right. The
 * filter is packed by our own kernel. Throws Error if it cannot run, and kOutOfMemory. */
bool isFirstLayerRight(Context& context, Kernels& kernels, CUfunction kernel,
                       const FirstLayerShape& shape);

}  // namespace vgg::cuda
