// The linear layer of one image after a ReLU: only the weights of inputs that are not zero are
// read, where whole forwards are faster by it.
#include <numeric>

#include "core/random.h"
#include "cuda/kernels/launch.h"
#include "cuda/linear.h"

namespace vgg::cuda {
namespace {

// What a second copy of the weight must be worth: by the layer alone, to be tried at all, and by
// whole forwards.
constexpr double kGain = 1.1;
constexpr double kForwardGain = 1.02;

}  // namespace

/** Into how many blocks the kernel for zeros cuts a layer, and the memory that it needs: a count
 * of each part and of each strip, and sums (parts, outputs). */
struct CudaExecutable::SparseSplit {
  int64_t strips, parts, outputs;

  SparseSplit(const Linear& layer, int multiprocessors)
      : strips(geometry::sparseGemvStrips(layer.outputs() / layer.vector())),
        parts(geometry::sparseGemvParts(strips, layer.inputs() / layer.vector(), multiprocessors)),
        outputs(layer.outputs()) {}
  [[nodiscard]] size_t endedOffset() const { return static_cast<size_t>(parts) * sizeof(int); }
  [[nodiscard]] size_t sumsOffset() const {
    return static_cast<size_t>(parts + strips) * sizeof(int);
  }
  [[nodiscard]] size_t bytes() const {
    return sumsOffset() + static_cast<size_t>(parts * outputs) * sizeof(float);
  }
};

/** Zeros, as the kernel for zeros leaves its counts. */
std::unique_ptr<DeviceMemory> CudaExecutable::sparseScratch(const Linear& layer,
                                                            std::atomic<size_t>* bytes) {
  const size_t size = SparseSplit(layer, context_.gpu().multiprocessors).bytes();
  auto scratch = std::make_unique<DeviceMemory>(context_, size, bytes);
  context_.check(context_.api().cuMemsetD8Async(scratch->address(), 0, size, context_.compute()),
                 "cuMemsetD8Async");
  return scratch;
}

/** `weight` is the matrix transposed, `hasSpecial` its flag or 0 for a weight without. */
Step CudaExecutable::sparseGemvStep(const Linear& layer, CUdeviceptr weight, CUdeviceptr hasSpecial,
                                    CUdeviceptr scratch) {
  const CUfunction function = kernel(
      "sparse_gemv", std::string("sparseGemv_") + suffixOf(layer.input.type), layer.output.type);
  const SparseSplit split(layer, context_.gpu().multiprocessors);
  return [=, this, input = layer.input, output = layer.output, outputs = layer.outputs(),
          inputs = layer.inputs(), bias = layer.bias.values->address(),
          relu = static_cast<int>(layer.op.relu)](const Run& run) {
    launch(function, split.strips * split.parts, weight, hasSpecial, address(run, input), bias,
           address(run, output), scratch, scratch + split.sumsOffset(),
           scratch + split.endedOffset(), outputs, inputs, relu);
  };
}

/** Null where there is no memory for a second copy of the weight. */
Step CudaExecutable::sparseStep(const Linear& layer) {
  try {
    auto scratch = sparseScratch(layer, shared_.activationBytes);
    const auto transposed = parameters_->transposed(layer.op.weight, layer.matrix);
    Step step = [transposed, inner = sparseGemvStep(layer, transposed->memory->address(),
                                                    transposed->hasSpecial->address(),
                                                    scratch->address())](const Run& run) {
      inner(run);
    };
    const auto parts =
        static_cast<size_t>(SparseSplit(layer, context_.gpu().multiprocessors).parts);
    usedInputs_[layer.op.output] = {std::move(scratch), std::vector<int>(parts),
                                    layer.output.channels, byteSize(layer.input.type)};
    return step;
  } catch (const Error& error) {
    if (error.code() != Code::kOutOfMemory) throw;
    return nullptr;
  }
}

/** Milliseconds of the kernel where half of the inputs are zero, as a ReLU leaves them. */
std::optional<double> CudaExecutable::timeOfSparse(const Linear& layer) {
  const auto count = static_cast<size_t>(layer.matrix.columns);
  const size_t elementBytes = byteSize(layer.input.type);
  std::vector<float> draws(count);
  fillNormal(draws.data(), 0, count, 0, 0, 1);
  // One bit tells a number from zero.
  std::vector<std::byte> inputs(count * elementBytes);
  for (size_t i = 0; i < count; ++i) {
    if (draws[i] > 0) inputs[i * elementBytes] = std::byte{1};
  }
  context_.check(context_.api().cuMemcpyHtoDAsync_v2(address(trial(), layer.input), inputs.data(),
                                                     inputs.size(), context_.compute()),
                 "cuMemcpyHtoDAsync");
  context_.check(context_.api().cuStreamSynchronize(context_.compute()), "cuStreamSynchronize");
  // No time depends on what the weights are: before there is a copy, the matrix as it lies will do.
  const auto scratch = sparseScratch(layer, nullptr);
  return timeOf(sparseGemvStep(layer, layer.matrix.memory->address(), 0, scratch->address()), 0);
}

/** Of a step whose counts have been read. */
StepWork CudaExecutable::UsedInputs::work() const {
  const double inputs = std::accumulate(counts.begin(), counts.end(), 0.0);
  const auto ofEach = static_cast<double>(outputs);
  return {inputs * ofEach, (inputs * static_cast<double>(elementBytes) + sizeof(float)) * ofEach};
}

/** Has the kernel for zeros tried in whole forwards, where the layer alone is faster by it than the
 * `least` milliseconds of the others. */
void CudaExecutable::challenge(const Linear& layer, const std::string& key, double least) {
  const std::optional<double> time = timeOfSparse(layer);
  if (!time || *time * kGain > least) return;
  // The step that is about to be added is the one to be replaced.
  if (Step step = sparseStep(layer))
    challengers_.push_back({steps_.size(), layer.op.output, key, std::move(step)});
}

/** Takes each challenger by which forwards of random images get faster, with the parameters as they
 * are now: how many zeros there are is theirs to say, and what a kernel costs among its neighbours,
 * with which it overlaps, is not what it costs alone. */
void CudaExecutable::settleChallenges() {
  if (challengers_.empty()) return;
  std::vector<Challenger> challengers;
  challengers.swap(challengers_);
  fillInputs(*slots_.front());
  const Step forward = [this](const Run& run) { runSteps(run); };
  for (Challenger& challenger : challengers) {
    const std::optional<double> before = timeOf(forward, workspaceBytes_);
    Step& step = steps_[challenger.index].function;
    step.swap(challenger.step);
    const std::optional<double> after = timeOf(forward, workspaceBytes_);
    if (!before || !after || *before < *after * kForwardGain) {
      step.swap(challenger.step);
      usedInputs_.erase(challenger.value);
      continue;
    }
    shared_.cache.write(challenger.key, kSparseText);
  }
  for (const auto& each : slots_) captureSteps(*each);
}

}  // namespace vgg::cuda
