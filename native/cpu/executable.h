// A program compiled for one batch size: the place and layout of each value, and the steps in
// order.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/backend.h"
#include "core/threads/parallel.h"
#include "cpu/kernels.h"
#include "cpu/ops/conv2d/winograd_plan.h"
#include "cpu/parameters.h"
#include "cpu/shared_arena.h"

namespace vgg::cpu {

/**
 * The place of a value in the arena. Activations are channels last, float (N, H, W, C). If a padded
 * convolution reads them, a ring of `border` zero pixels surrounds them, plus `rowsBelow` and
 * `columnsBeside` if its tiles reach further, so that it never tests for an edge. A value (N, F) is
 * (N, 1, 1, F).
 */
struct Buffer {
  size_t offset = 0;
  ptrdiff_t images = 0;  // held at once: the batch, or fewer if the steps run image by image
  ptrdiff_t channels = 0, height = 1, width = 1, border = 0, rowsBelow = 0, columnsBeside = 0;

  [[nodiscard]] ptrdiff_t rowStride() const {
    return (width + 2 * border + columnsBeside) * channels;
  }
  [[nodiscard]] ptrdiff_t imageStride() const {
    return (height + 2 * border + rowsBelow) * rowStride();
  }
  [[nodiscard]] float* image(std::byte* arena, ptrdiff_t n) const {
    return reinterpret_cast<float*>(arena + offset) + (n < images ? n : n % images) * imageStride();
  }
  /** Returns the first channel of pixel (y, x); -border ≤ y, x. */
  [[nodiscard]] float* pixel(std::byte* arena, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x) const {
    return image(arena, n) + (y + border) * rowStride() + (x + border) * channels;
  }
};

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
  void choose();
  void joinPools();
  void chooseConvolutions();
  void chooseImagewise();
  void place();

  // One overload per operation, each in the file with the operation's name.
  Step prepare(const Normalize& op);
  Step prepare(const Conv2d& op);
  Step prepare(const BatchNorm& op);
  Step prepare(const Relu& op);
  Step prepare(const MaxPool2d& op);
  Step prepare(const AdaptiveAvgPool2d& op);
  Step prepare(const Flatten& op);
  Step prepare(const Gemm& op);
  Step prepare(const Softmax& op);
  Step prepare(const TopK& op);
  Step prepareDirect(const Conv2d& op);
  Step prepareWinograd(const Conv2d& op, const WinogradPlan& plan);
  [[nodiscard]] std::shared_ptr<const PackedMatrix> matrixOf(const Gemm& op);
  [[nodiscard]] size_t scratchFloats(const Gemm& op);
  /** Returns the work of the chosen algorithm, or null if it is the work of the definition. */
  [[nodiscard]] Work workOf(const Op& op);
  [[nodiscard]] Work workOf(const Conv2d& op);
  [[nodiscard]] Work workOf(const Gemm& op);
  // In transpose.cc: convert between the API's (N, C, H, W) and the layout of a Buffer.
  Step prepareInput(size_t index);
  Step prepareOutput(size_t index);

  [[nodiscard]] const Buffer& buffer(int value) const { return buffers_[value]; }
  [[nodiscard]] bool isExternal(int value) const {
    return program_.values[value].dtype == DType::kUint8;
  }
  [[nodiscard]] size_t inputIndex(int value) const;
  int use(int parameter);
  void use(const Conv2d& op);
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

  Program program_;
  std::shared_ptr<CpuParameters> owner_;
  CpuParameters& parameters_;
  ptrdiff_t batch_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  SharedArena& arena_;

  std::vector<Buffer> buffers_;  // one per value
  std::vector<int>
      home_;  // per value: itself, or the value whose bytes it shares (a flatten without a step)
  std::vector<std::optional<WinogradPlan>> winograd_;  // per value, if Winograd computes it
  std::vector<std::atomic<ptrdiff_t>> columnsRead_;  // per value of a linear layer: the columns of
                                                     // its weight that the last run read
  std::vector<size_t> scratch_;  // per value: the offset of the scratch memory of its step
  size_t imagewise_ = 0;  // the first operations, which run for `imagesAtOnce_` images at a time
  ptrdiff_t imagesAtOnce_;
  size_t arenaBytes_ = 0;
  std::vector<LabelledStep> imagewiseSteps_, steps_;
  std::vector<int> used_;  // the parameters that the program reads
};

}  // namespace vgg::cpu
