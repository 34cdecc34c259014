// What may run a convolution or a linear layer, between which the GPU decides by time, and what
// forced kernels leave of it. Known without a GPU.
#pragma once

#include "cuda/nvidia/convolution.h"
#include "cuda/plan/choices.h"
#include "cuda/plan/forced_kernels.h"

namespace vgg::cuda {

/** Whether our own kernel is a candidate for the linear layers of such batches. */
bool isGemv(int64_t batch);

/** Whether the kernel for inputs that are often zero is a candidate for a linear layer: of one
 * image, after a ReLU, and with a weight that is worth a second copy. With kSparse only the
 * first of these counts. With kDense it is never one. */
bool isSparse(const Gemm& op, const Choices& choices, ForcedLinear forced);

/** The convolution as cuDNN gets it, and the forms that it can take, the likeliest first. */
struct Forms {
  Convolution problem;
  std::vector<Form> forms;
  bool isForced = false;  // what is chosen is not kept in the cache
};
Forms formsOf(const Conv2d& conv, const Choices& choices, const std::vector<ParameterSpec>& specs,
              Precision precision, ForcedForm forced = ForcedForm::kNone);

}  // namespace vgg::cuda
