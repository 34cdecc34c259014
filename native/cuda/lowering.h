// Lowering: a program becomes steps for one batch size on a GPU. Choices that need times measured
// on the GPU are made here.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/fold.h"
#include "cuda/nvidia/convolution.h"
#include "cuda/ops/conv2d/convolution_search.h"
#include "cuda/ops/gemm/challenge.h"
#include "cuda/ops/gemm/linear_search.h"
#include "cuda/parameters.h"
#include "cuda/stopwatch.h"

namespace vgg::cuda {

/** All that the runs of a lowered program need. It refers to nothing of the Lowering that made it.
 */
struct Lowered {
  std::vector<std::unique_ptr<DeviceMemory>> constants;  // numbers that steps read
  std::vector<LabelledStep> steps;
  std::map<int, UsedInputs> usedInputs;  // keyed by the value that a layer which skips zeros makes
  std::vector<Challenger> challengers;   // empty after the first run
  size_t workspaceBytes = 0;

  /** Enqueues all steps. */
  void run(const Run& run) const {
    for (const LabelledStep& step : steps) step.function(run);
  }
};

/** Lowers one program, once. Only the device's thread uses it. */
class Lowering {
 public:
  /** Makes the choices that need no GPU. `folded` outlives this. */
  Lowering(const Shared& shared, const FoldedProgram& folded, CudaParameters& parameters,
           int64_t batch);
  Lowering(const Lowering&) = delete;
  Lowering& operator=(const Lowering&) = delete;

  /** Runs our kernel for first layers once. If it computes wrong numbers, first layers run as other
   * layers do. */
  void checkFirstLayers();
  /** Bytes of the arena that hold values. They do not change after checkFirstLayers(). */
  [[nodiscard]] size_t activationBytes() const { return choices_.activationBytes; }
  /** Prepares all steps. The stopwatch outlives this; trials write the values in the arena. */
  Lowered lower(Stopwatch& stopwatch);

 private:
  // Each operation has one overload, in the file of its name in ops/.
#define VGG_PREPARE(Kind) Step prepare(const Kind& op);
  VGG_FOR_EACH_OPERATION(VGG_PREPARE)
#undef VGG_PREPARE
  // ops/conv2d.cc
  ConvolutionCandidates candidatesOf(const Conv2d& op);
  // ops/conv2d/first_layer.cc
  bool areFirstLayersRight();
  Step prepareFirstLayer(const Conv2d& conv, const FirstLayer& layer);
  // ops/conv2d/direct_convolution.cc
  /** Returns null if the kernel cannot compute the convolution, or is not wanted. */
  DirectConvolution prepareDirect(const Conv2d& op);
  // ops/gemm.cc
  Step take(const Gemm& op, LinearStep chosen);
  // ops/transpose.cc: between the API's (N, C, H, W) and the layout of a Buffer.
  Step prepareInput(size_t index);
  /** Returns null if a step writes the value straight to the output's memory. */
  Step prepareOutput(size_t index);
  // ops/max_pool2d.cc and ops/batch_norm.cc
  Step maxPoolStep(const MaxPool2d& op, CUdeviceptr bias, bool relu);
  Step affineStep(const Buffer& input, const Buffer& output, CUdeviceptr scale, CUdeviceptr shift,
                  bool relu);

  [[nodiscard]] const Buffer& buffer(int value) const { return choices_.buffers[value]; }
  [[nodiscard]] size_t inputIndex(int value) const;
  /** Puts numbers that steps read on the GPU. */
  CUdeviceptr constants(std::vector<float> values);
  void needWorkspace(size_t bytes);

  Shared shared_;
  Context& context_;
  const FoldedProgram& folded_;
  const Program& program_;
  CudaParameters& parameters_;
  int64_t batch_;
  Launcher launch_;
  Choices choices_;
  Launches launches_;
  Stopwatch* stopwatch_ = nullptr;  // set by lower()
  Lowered lowered_;
};

}  // namespace vgg::cuda
