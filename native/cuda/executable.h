// A program made ready for one batch size on a GPU: where each value lies, the steps in order, and
// the CUDA graphs captured from them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "cuda/nvidia/convolution.h"
#include "cuda/parameters.h"
#include "cuda/stopwatch.h"

namespace vgg::cuda {

class ConvolutionCheck;
class Matmul;
struct LinearBuffers;

/** A kernel of ours for a linear layer. */
using LinearKernel = std::function<void(const LinearBuffers&)>;

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
  /** Where one run's inputs and outputs lie on the GPU, and the graph that reads and writes them.
   */
  struct Slot {
    std::vector<std::unique_ptr<DeviceMemory>> inputs, outputs;
    Event uploaded, computed, downloaded;
    GraphExec graph;
    uint64_t generation = 0;  // of the arena when the graph was captured
    bool isBusy = false;
  };

  void prepareAll();
  // One overload per operation, each in the file of its name.
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
  // first_layer.cc
  bool areFirstLayersRight();
  CUfunction firstLayerKernel(const Conv2d& conv, const FirstLayer& layer);
  Step prepareFirstLayer(const Conv2d& conv, const FirstLayer& layer);
  // direct_convolution.cc
  /** Null where the kernel cannot, or is not to. */
  DirectConvolution prepareDirect(const Conv2d& op);
  // transpose.cc: between the (N, C, H, W) of the API and the layout of a Buffer.
  Step prepareInput(size_t index);
  /** Null where it is made in its place. */
  Step prepareOutput(size_t index);

  [[nodiscard]] const Buffer& buffer(int value) const { return choices_.buffers[value]; }
  [[nodiscard]] CUdeviceptr workspace();
  void needWorkspace(size_t bytes);
  [[nodiscard]] size_t inputIndex(int value) const;
  /** A kernel whose name ends in the type of its elements. */
  CUfunction kernel(const std::string& file, const std::string& name, Type type);
  template <typename... Arguments>
  void launch(CUfunction function, int64_t blocks, Arguments... arguments) {
    launchGrid(function, {static_cast<size_t>(blocks), 1}, arguments...);
  }
  template <typename... Arguments>
  void launchGrid(CUfunction function, Grid grid, Arguments... arguments);
  /** Numbers that a step reads, for as long as this lives. */
  CUdeviceptr constants(std::vector<float> values);
  Step maxPoolStep(const MaxPool2d& op, CUdeviceptr bias, bool relu);
  Step affineStep(const Buffer& input, const Buffer& output, CUdeviceptr scale, CUdeviceptr shift,
                  bool relu);

  // gemm.cc
  struct Linear;
  LinearKernel gemvKernel(const Linear& layer, int64_t outputs);
  std::optional<bool> isGemvRight(const Linear& layer);
  Step gemvStep(const Linear& layer);
  std::shared_ptr<const Matmul> matmulOf(const Linear& layer, bool addsBias);
  Step chooseLinear(const Linear& layer, bool addsBias);

  // sparse_gemm.cc
  /** How many inputs a layer that leaves out zeros multiplied when it ran last, and by what. */
  struct UsedInputs {
    std::unique_ptr<DeviceMemory> memory;  // a count of each part, and more of the kernel's
    std::vector<int> counts;               // on the host
    int64_t outputs = 0;
    size_t elementBytes = 0;

    [[nodiscard]] StepWork work() const;
  };
  /** A step that leaves out zeros and may replace the one of that index. */
  struct Challenger {
    size_t index;
    int value;  // that it makes
    std::string key;
    Step step;
  };
  struct SparseSplit;
  [[nodiscard]] SparseSplit splitOf(const Linear& layer, int64_t outputs) const;
  std::unique_ptr<DeviceMemory> sparseScratch(const SparseSplit& split, std::atomic<size_t>* bytes);
  LinearKernel sparseKernel(const Linear& layer, const SparseSplit& split, CUdeviceptr hasSpecial,
                            CUdeviceptr scratch);
  bool isSparseRight(const Linear& layer);
  Step sparseGemvStep(const Linear& layer, CUdeviceptr weight, CUdeviceptr hasSpecial,
                      CUdeviceptr scratch);
  Step sparseStep(const Linear& layer);
  std::optional<double> timeOfSparse(const Linear& layer);
  void challenge(const Linear& layer, const std::string& key, double least);
  std::vector<float> valueBy(const Step& last, const Challenger& challenger);
  bool isSame(const Challenger& challenger);
  void settleChallenges();

  /** A convolution in each form that it can take, and what else its step does. conv2d.cc */
  struct Candidates;
  struct Search;
  [[nodiscard]] std::string keyOf(const Candidates& candidates) const;
  [[nodiscard]] std::string problemOf(const Candidates& candidates) const;
  std::optional<bool> isRight(const Candidates& candidates, const DirectConvolution& direct,
                              const ConvolutionBuffers& buffers);
  Plan choosePlan(const Candidates& candidates);
  std::optional<Plan> knownPlan(Search& search);
  std::optional<Plan> firstPlan(Search& search);
  std::optional<Plan> fastestPlan(Search& search);
  template <typename Visit>
  void forEachPlan(Search& search, const Visit& visit);
  void tryOut(const Search& search, const Plan& plan);
  void checkPlan(Search& search, const Plan& plan);

  struct Call;
  void startPart(size_t first, size_t batch, const std::shared_ptr<Call>& call);
  Slot& acquire();
  void release(Slot& slot);
  /** Gives a slot back after a failure: copies that were started must not outlive the caller's
   * memory. */
  void abandon(Slot& slot);
  void makeSlots();
  /** Of a value as the API has it. */
  [[nodiscard]] size_t byteCount(int value, size_t images) const;
  void captureSteps(Slot& slot);
  void runSteps(const Run& run);
  Run runOf(const Slot& slot, CUdeviceptr workspace);
  void start(Slot& slot, size_t first, size_t batch, const Call& call);
  bool startDirect(Slot& slot, const Call& call);
  std::vector<StepTime> profilePart(size_t first, size_t batch, const Call& call);
  std::vector<StepTime> timeSteps(const Slot& slot);

  Shared shared_;
  Context& context_;
  FoldedProgram folded_;
  const Program& program_;
  std::shared_ptr<CudaParameters> parameters_;
  int64_t batch_;

  Choices choices_;
  size_t workspaceBytes_ = 0;
  std::vector<std::unique_ptr<DeviceMemory>> constants_;
  std::vector<LabelledStep> steps_;
  std::map<int, UsedInputs> usedInputs_;  // by the value that such a layer makes
  std::vector<Challenger> challengers_;   // until the first run
  std::vector<int> used_;                 // the parameters that the program reads
  std::optional<SharedArena::Lease> lease_;

  std::mutex slotMutex_;
  std::condition_variable slotFree_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::unique_ptr<Stopwatch> stopwatch_;  // once there are slots, with the memory of the first

  /** A graph that reads and writes memory of the caller's, without copies. */
  struct Direct {
    std::vector<CUdeviceptr> inputs, outputs;
    GraphExec graph;  // once they have come again
    uint64_t generation = 0;
  };
  std::deque<Direct> direct_;  // the last used first
};

template <typename... Arguments>
void CudaExecutable::launchGrid(CUfunction function, Grid grid, Arguments... arguments) {
  constexpr unsigned kThreads = 256;  // of every kernel (kernels/launch.h)
  shared_.kernels.launch(context_.compute(), function, grid, kThreads, arguments...);
}

}  // namespace vgg::cuda
