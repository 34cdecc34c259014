// What may run a convolution or a linear layer, between which the GPU decides by time, and what the
// environment leaves of it. Known without a GPU.
#pragma once

#include <string_view>

#include "cuda/nvidia/convolution.h"
#include "cuda/plan/choices.h"

namespace vgg::cuda {

/** Whether our own kernel is a candidate for the linear layers of such batches. */
bool isGemv(int64_t batch);

/** Whether the kernel for inputs that are often zero is a candidate for a linear layer: of one
 * image, after a ReLU, and with a weight that is worth a second copy. Always of one image with
 * VGG_CUDA_LINEAR=sparse, never with dense (docs/gpu.md). */
bool isSparse(const Gemm& op, const Choices& choices);

/** VGG_CUDA_LINEAR=dense|sparse: for comparing the kernels of linear layers with one another. Empty
 * where it is not set. Throws Error kUnsupported for another value. */
std::string_view wantedLinear();

/** VGG_CUDA_FORM=plain|fused|cudnn|direct: for comparing the forms with one another
 * (docs/gpu.md). Empty where it is not set. Throws Error kUnsupported for another value. */
std::string_view wantedForm();

/** The convolution as cuDNN gets it, and the forms that it can take, the likeliest first. */
struct Forms {
  Convolution problem;
  std::vector<Form> forms;
  bool isForced = false;  // by VGG_CUDA_FORM: what comes of it is not kept in the cache
};
Forms formsOf(const Conv2d& conv, const Choices& choices, const std::vector<ParameterSpec>& specs,
              Precision precision);

}  // namespace vgg::cuda
