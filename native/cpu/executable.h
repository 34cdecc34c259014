// A program compiled for one batch size: the memory and layout of each value, and the steps in
// order.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "core/threads/parallel.h"
#include "cpu/choices.h"
#include "cpu/kernels.h"
#include "cpu/parameters.h"
#include "cpu/shared_arena.h"

namespace vgg::cpu {

/** Zeroes the ring beside rows [top, bottom) of an image. Also zeroes the ring above the first row
 * and below the last row if they are in the range. */
void clearBorder(const Buffer& buffer, std::byte* arena, ptrdiff_t n, ptrdiff_t top,
                 ptrdiff_t bottom);

/** The memory that a step may access, and the images [first, last) that it runs for. */
struct Run {
  std::byte* arena;
  const std::vector<Binding>& inputs;
  const std::vector<Binding>& outputs;
  ptrdiff_t first, last;

  [[nodiscard]] const std::byte* input(size_t index) const { return bytes(inputs[index]); }
  [[nodiscard]] std::byte* output(size_t index) const { return bytes(outputs[index]); }

 private:
  static std::byte* bytes(const Binding& binding);
};

using Step = std::function<void(const Run&)>;
/** Returns the work of the step's last run. Null if it is the work of the definition. */
using Work = std::function<StepWork()>;

struct LabelledStep {
  StepLabel label;
  Step function;
  Work work;
};

class CpuExecutable final : public Executable {
 public:
  CpuExecutable(const Program& program, std::shared_ptr<CpuParameters> parameters, size_t batch,
                const Kernels& kernels, ThreadPool& pool, SharedArena& arena);
  ~CpuExecutable() override;
  CpuExecutable(const CpuExecutable&) = delete;
  CpuExecutable& operator=(const CpuExecutable&) = delete;

  void run(size_t batch, const std::vector<Binding>& inputs, const std::vector<Binding>& outputs,
           const std::atomic<bool>& cancelled, Completion done) noexcept override;
  std::vector<StepTime> profile(size_t batch, const std::vector<Binding>& inputs,
                                const std::vector<Binding>& outputs,
                                const std::atomic<bool>& cancelled) override;

 private:
  /** `times`, if given, has one entry for each step; the step's time is added to it. */
  void runSteps(const std::vector<Binding>& inputs, const std::vector<Binding>& outputs,
                const std::atomic<bool>& cancelled, StepTime* times);

  // One overload per operation, each in the file with the operation's name.
#define VGG_PREPARE(Kind) Step prepare(const Kind& op);
  VGG_FOR_EACH_OPERATION(VGG_PREPARE)
#undef VGG_PREPARE
  Step prepareDirect(const Conv2d& op);
  Step prepareWinograd(const Conv2d& op, const WinogradTiling& tiling);
  /** Returns the work of the chosen algorithm, or null if it is the work of the definition. */
  [[nodiscard]] Work workOf(const Op& op);
  [[nodiscard]] Work workOf(const Conv2d& op);
  [[nodiscard]] Work workOf(const Gemm& op);
  // In transpose.cc: convert between the API's (N, C, H, W) and the layout of a Buffer.
  Step prepareInput(size_t index);
  Step prepareOutput(size_t index);

  [[nodiscard]] const Buffer& buffer(int value) const { return choices_.buffers[value]; }
  [[nodiscard]] bool isUnplaced(int value) const {
    return program_.values[value].dtype == DType::kUint8;
  }
  [[nodiscard]] size_t inputIndex(int value) const;
  /** Calls body(n, y) for each row y of each image n of the run, on all threads. */
  template <typename Body>
  void forEachRow(const Run& run, ptrdiff_t height, const Body& body) {
    pool_.run(static_cast<size_t>((run.last - run.first) * height), [&](size_t task) {
      const auto row = static_cast<ptrdiff_t>(task);
      body(run.first + row / height, row % height);
    });
  }
  Step perPixelRow(const Buffer& input, const Buffer& output, std::vector<float> scale,
                   std::vector<float> shift, bool relu);

  FoldedProgram folded_;
  const Program& program_;
  std::shared_ptr<CpuParameters> owner_;
  CpuParameters& parameters_;
  ptrdiff_t batch_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  SharedArena& arena_;

  Choices choices_;
  std::vector<std::atomic<ptrdiff_t>> columnsRead_;  // per value of a linear layer: the columns of
                                                     // its weight that the last run read
  std::vector<LabelledStep> imagewiseSteps_, steps_;
  std::vector<int> used_;  // the parameters that the program reads
};

}  // namespace vgg::cpu
