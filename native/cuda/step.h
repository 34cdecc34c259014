// What a step of a program is on a GPU, and what all executables of a GPU share.
#pragma once

#include <functional>
#include <vector>

#include "core/backend.h"
#include "cuda/completions.h"
#include "cuda/nvidia/nvrtc.h"
#include "cuda/plan/choices.h"
#include "cuda/plan/forced_kernels.h"
#include "cuda/shared_arena.h"

namespace vgg::cuda {

/** What all executables of a GPU share. */
struct Shared {
  Context& context;
  Kernels& kernels;
  SharedArena& arena;
  Completions& completions;
  const DiskCache& cache;
  bool deterministic;  // the same bits in each process: choices are cuDNN's estimates, nothing is
                       // timed
  ForcedKernels forced;
  std::atomic<size_t>* activationBytes;
};

/** What a step may touch: addresses on the GPU. */
struct Run {
  CUdeviceptr arena, workspace;
  std::vector<CUdeviceptr> inputs, outputs;
};

inline CUdeviceptr address(const Run& run, const Buffer& buffer) {
  return buffer.output == kNone ? run.arena + buffer.offset
                                : run.outputs[static_cast<size_t>(buffer.output)];
}

using Step = std::function<void(const Run&)>;

struct LabelledStep {
  StepLabel label;
  Step function;
};

}  // namespace vgg::cuda
