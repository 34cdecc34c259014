// What a forward does, launch by launch, as far as it is known without a GPU: bytes, operations and
// the shapes of our own kernels.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cuda/plan/candidates.h"

namespace vgg::cuda {

/** One launch of ours, one plan of cuDNN's or one product of cuBLASLt's, which may launch more than
 * one kernel. */
struct StepCost {
  std::string name;    // the parameter's or the operation's
  std::string kernel;  // ours, by name; else "cuDNN", "cuBLASLt" or "copy"
  int64_t blocks = 0;  // our kernel's blocks; for firstLayer the tiles, which its blocks share
  size_t bytes = 0;    // activations, read and written once each
  size_t weightBytes = 0;
  double operations = 0;  // additions and multiplications
};

/**
 * Returns the cost of each step. cuDNN's convolutions take the form `wanted`, or each its likeliest
 * one. Linear layers take our kernel if it is a candidate. A GPU chooses by time and may choose
 * otherwise. Throws Error kOutOfMemory, kUnsupported.
 */
std::vector<StepCost> costsOf(const Program& program, const std::vector<ParameterSpec>& specs,
                              Precision precision, int64_t batch, std::optional<Form> wanted);

}  // namespace vgg::cuda
