// Measures how long a step takes on a GPU, inside a CUDA graph as it will run.
#pragma once

#include <functional>
#include <optional>

#include "cuda/step.h"

namespace vgg::cuda {

/** Returns what work() enqueues on the compute stream, as a graph that is ready to be launched
 * there. */
GraphExec capture(Context& context, const std::function<void()>& work);

/** Measures steps of one program. Only the device's thread uses it. */
class Stopwatch {
 public:
  /** `inputs` and `outputs` lie on the GPU, for `batch` images. Trials read and write them. */
  Stopwatch(const Shared& shared, const Program& program, int64_t batch,
            std::vector<CUdeviceptr> inputs, std::vector<CUdeviceptr> outputs);

  /** Returns the milliseconds of what work() enqueues on the compute stream. */
  double measure(const std::function<void()>& work);
  /** Returns the milliseconds of a step with a workspace of that size, or nothing if the step
   * fails. Throws Error kDeviceLost. */
  std::optional<double> timeOf(const Step& step, size_t workspaceBytes);
  /** Fills the inputs with random images. */
  void fillInputs();
  /** Returns what a step reads and writes in a trial, with `scratch` as its workspace. */
  Run trial(const DeviceMemory* scratch = nullptr);

 private:
  Context& context_;
  SharedArena& arena_;
  const Program& program_;
  int64_t batch_;
  std::vector<CUdeviceptr> inputs_, outputs_;
};

}  // namespace vgg::cuda
