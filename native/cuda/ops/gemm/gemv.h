// Our kernel for linear layers of small batches, which streams over the weight.
#pragma once

#include <optional>

#include "cuda/ops/gemm/linear.h"
#include "cuda/step.h"

namespace vgg::cuda {

/** Returns the kernel and the grid for the first `outputs` outputs of a layer. Needs no GPU. */
Launch gemvLaunch(int64_t batch, int64_t outputs, Type input, Type output);

/** Returns whether the kernel computes right numbers on this GPU, or nothing if memory is too short
 * to say. Throws Error kDeviceLost. */
std::optional<bool> isGemvRight(const Shared& shared, const Linear& layer);

/** Returns null if there is no kernel for the batch, or the kernel is not known to be right. */
Step gemvStep(const Shared& shared, const Linear& layer);

}  // namespace vgg::cuda
