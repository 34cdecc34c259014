// The kernels that can run a convolution or a linear layer. Times on the GPU decide which is used.
// Forced kernels restrict the list. No GPU is needed for any of this.
#pragma once

#include "cuda/nvidia/convolution.h"
#include "cuda/plan/choices.h"
#include "cuda/plan/forced_kernels.h"

namespace vgg::cuda {

/** Whether our own kernel is a candidate for linear layers at this batch size. */
bool isGemv(int64_t batch);

/** Whether the kernel that skips zero inputs is a candidate for a linear layer. It is if the batch
 * is one image, the input follows a ReLU, and the weight is large enough for a second copy. With
 * kSparse only the batch counts. With kDense the kernel is never a candidate. */
bool isSparse(const Gemm& op, const Choices& choices, ForcedLinear forced);

/** A convolution as cuDNN gets it, and the forms that it can take, the likeliest first. */
struct Forms {
  Convolution problem;
  std::vector<Form> forms;
  bool isForced = false;  // the choice is not kept in the cache
};
Forms formsOf(const Conv2d& conv, const Choices& choices, const std::vector<ParameterSpec>& specs,
              Precision precision, ForcedForm forced = ForcedForm::kNone);

}  // namespace vgg::cuda
