// A lowered program on a GPU: the memory of runs under way, and the CUDA graphs captured from its
// steps.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "cuda/lowering.h"

namespace vgg::cuda {

class CudaExecutable final : public Executable {
 public:
  CudaExecutable(const Program& program, std::shared_ptr<CudaParameters> parameters, size_t batch,
                 const Shared& shared);
  ~CudaExecutable() override;
  CudaExecutable(const CudaExecutable&) = delete;
  CudaExecutable& operator=(const CudaExecutable&) = delete;

  void run(size_t batch, const std::vector<Binding>& inputs, const std::vector<Binding>& outputs,
           const std::atomic<bool>& cancelled, Completion done) noexcept override;
  std::vector<StepTime> profile(size_t batch, const std::vector<Binding>& inputs,
                                const std::vector<Binding>& outputs,
                                const std::atomic<bool>& cancelled) override;

 private:
  /** The memory of one run's inputs and outputs on the GPU, and the graph that reads and writes
   * them. */
  struct Slot {
    std::vector<std::unique_ptr<DeviceMemory>> inputs, outputs;
    Event uploaded, computed, downloaded;
    GraphExec graph;
    uint64_t generation = 0;  // the arena's, when the graph was captured
    bool isBusy = false;
  };
  /** A graph that reads and writes the caller's memory, without copies. */
  struct InPlaceGraph {
    std::vector<CUdeviceptr> inputs, outputs;
    GraphExec graph;  // null until the addresses are used again
    uint64_t generation = 0;
  };
  /** What a call reads and writes. All of it lives until the call has ended. */
  struct Bindings {
    const std::vector<Binding>& inputs;
    const std::vector<Binding>& outputs;
    const std::atomic<bool>& cancelled;
    bool isWhole;  // whether the call is a run of as many images as the executable takes
  };
  struct Call;

  void prepare(Lowering& lowering);
  void makeSlots();
  void captureSteps(Slot& slot);
  void settleChallenges();
  [[nodiscard]] CUdeviceptr workspace();
  /** Bytes of a value in the API's layout. */
  [[nodiscard]] size_t byteCount(int value, size_t images) const;
  Run runOf(const Slot& slot, CUdeviceptr workspace);

  Slot& acquire();
  void release(Slot& slot);
  /** Gives a slot back after a failure: copies that were started must not outlive the caller's
   * memory. */
  void abandon(Slot& slot);
  void startPart(size_t first, size_t batch, const std::shared_ptr<Call>& call);
  void start(Slot& slot, size_t first, size_t batch, const Bindings& bindings);
  bool startInPlace(Slot& slot, const Bindings& bindings);

  // profile.cc
  std::vector<StepTime> profilePart(size_t first, size_t batch, const Bindings& bindings);
  std::vector<StepTime> timeSteps(const Slot& slot);

  Shared shared_;
  Context& context_;
  FoldedProgram folded_;
  const Program& program_;
  std::shared_ptr<CudaParameters> parameters_;
  int64_t batch_;
  std::vector<int> usedParameters_;
  size_t activationBytes_ = 0;  // the arena's bytes before the workspace
  Lowered lowered_;
  std::optional<SharedArena::Lease> lease_;

  std::mutex slotMutex_;
  std::condition_variable slotFree_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::unique_ptr<Stopwatch> stopwatch_;  // measures with the memory of the first slot
  std::deque<InPlaceGraph> inPlace_;      // begins with the graph used last
};

}  // namespace vgg::cuda
