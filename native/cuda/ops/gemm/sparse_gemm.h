// Our kernel for the linear layer of one image after a ReLU: it reads only the weights of inputs
// that are not zero.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cuda/ops/gemm/linear.h"
#include "cuda/stopwatch.h"

namespace vgg::cuda {

/** The number of inputs that a layer which skips zeros multiplied when it last ran. */
struct UsedInputs {
  std::shared_ptr<DeviceMemory> memory;  // begins with a count for each part of the inputs
  std::vector<int> counts;               // on the host
  int64_t outputs = 0;
  size_t elementBytes = 0;

  /** Returns the work of the layer from `counts`, once they have been copied from the GPU. */
  [[nodiscard]] StepWork work() const;
};

struct SparseStep {
  Step step;
  UsedInputs usedInputs;
};

/** Returns nothing if the kernel is not known to be right, or if memory is too short for a second
 * copy of the weight. */
std::optional<SparseStep> sparseStep(const Shared& shared, CudaParameters& parameters,
                                     const Linear& layer);

/** Returns the kernel's milliseconds if half of the inputs are zero, as after a ReLU. Returns
 * nothing if it fails. Overwrites the inputs. */
std::optional<double> timeOfSparse(const Shared& shared, Stopwatch& stopwatch, const Linear& layer);

}  // namespace vgg::cuda
