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
  std::string name;    // of the parameter or the operation
  std::string kernel;  // ours, by name; else "cuDNN", "cuBLASLt" or "copy"
  int64_t blocks = 0;  // of our kernel; of firstLayer the tiles, which its blocks share
  size_t bytes = 0;    // of activations, read and written once each
  size_t weightBytes = 0;
  double operations = 0;  // additions and multiplications
};

/**
 * cuDNN's convolutions take the form `wanted`, or each its likeliest; linear layers our kernel
 * where it is a candidate: what is timed on a GPU may be chosen otherwise there. Throws Error
 * kOutOfMemory, kUnsupported.
 */
std::vector<StepCost> costsOf(const Program& program, const std::vector<ParameterSpec>& specs,
                              Precision precision, int64_t batch, std::optional<Form> wanted);

}  // namespace vgg::cuda
