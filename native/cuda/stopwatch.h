// How long a step takes on a GPU, measured inside a CUDA graph as it will run.
#pragma once

#include <functional>
#include <optional>

#include "cuda/step.h"

namespace vgg::cuda {

/** What work() enqueues on the compute stream, as a graph that is ready to be launched there. */
GraphExec capture(Context& context, const std::function<void()>& work);

/** On the device's thread alone. */
class Stopwatch {
 public:
  /** `inputs` and `outputs` are the program's, for `batch` images: trials read and write them. */
  Stopwatch(const Shared& shared, const Program& program, int64_t batch,
            std::vector<CUdeviceptr> inputs, std::vector<CUdeviceptr> outputs);

  /** Milliseconds of work(), which enqueues on the compute stream. */
  double measure(const std::function<void()>& work);
  /** The same of a step, with a workspace of that size; nothing if it fails here. */
  std::optional<double> timeOf(const Step& step, size_t workspaceBytes);
  /** Fills the inputs with random images. */
  void fillInputs();
  /** For trying out steps, with `scratch` as their workspace. */
  Run trial(const DeviceMemory* scratch = nullptr);

 private:
  Context& context_;
  SharedArena& arena_;
  const Program& program_;
  int64_t batch_;
  std::vector<CUdeviceptr> inputs_, outputs_;
};

}  // namespace vgg::cuda
