// Defines a step of a program on a GPU, and what all executables of a GPU share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "cuda/completions.h"
#include "cuda/nvidia/nvrtc.h"
#include "cuda/plan/choices.h"
#include "cuda/plan/forced_kernels.h"
#include "cuda/plan/launches.h"
#include "cuda/shared_arena.h"

namespace vgg::cuda {

/** One of our kernels on this GPU, and its grid. */
struct Kernel {
  CUfunction function;
  Grid grid;
};

/** Launches our kernels on the compute stream. Steps hold copies of it. */
class Launcher {
 public:
  Launcher(Kernels& kernels, CUstream stream) : kernels_(&kernels), stream_(stream) {}

  /** The arguments must have exactly the types of the kernel's parameters. */
  template <typename... Arguments>
  void operator()(CUfunction function, Grid grid, Arguments... arguments) const {
    constexpr unsigned kThreads = 256;  // every kernel has as many (kernels/launch.h)
    kernels_->launch(stream_, function, grid, kThreads, arguments...);
  }
  template <typename... Arguments>
  void operator()(const Kernel& kernel, Arguments... arguments) const {
    (*this)(kernel.function, kernel.grid, arguments...);
  }
  template <typename... Arguments>
  void operator()(CUfunction function, int64_t blocks, Arguments... arguments) const {
    (*this)(function, Grid{static_cast<size_t>(blocks)}, arguments...);
  }

 private:
  Kernels* kernels_;
  CUstream stream_;
};

/** What all executables of a GPU share. */
struct Shared {
  Context& context;
  Kernels& kernels;
  SharedArena& arena;
  Completions& completions;
  const DiskCache& cache;
  bool deterministic;  // each process gets the same bits: cuDNN's estimates choose, not times
  ForcedKernels forced;
  std::atomic<size_t>* activationBytes;

  [[nodiscard]] Launcher launcher() const { return {kernels, context.compute()}; }
  [[nodiscard]] Kernel kernel(const Launch& launch) const {
    return {kernels.function(launch.file, launch.kernel), launch.grid};
  }
  /** Returns a kernel whose name ends in the type of its elements. */
  [[nodiscard]] CUfunction kernel(const std::string& file, const std::string& name,
                                  Type type) const {
    return kernels.function(file, name + "_" + suffixOf(type));
  }
};

/** What a step reads and writes: addresses on the GPU. */
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
