// The linear layer of one image after a ReLU: only the weights of inputs that are not zero are
// read, where whole forwards are faster by it.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/random.h"
#include "cuda/kernels/launch.h"
#include "cuda/known_numbers.h"
#include "cuda/ops/gemm/linear.h"

namespace vgg::cuda {
namespace {

// What a second copy of the weight must be worth: by the layer alone, to be tried at all, and by
// whole forwards.
constexpr double kGain = 1.1;
constexpr double kForwardGain = 1.02;
// Of the greatest output: sums in another order, rounded to bfloat16. What is wrong is off by more.
constexpr double kTolerance = 0.02;

bool isNear(float a, float b, double allowed) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= allowed;  // the same infinity
}

/** Whether these are outputs of one layer, from two kernels. */
bool agree(const std::vector<float>& a, const std::vector<float>& b) {
  float greatest = 0;
  for (const float value : b) {
    if (std::isfinite(value)) greatest = std::max(greatest, std::abs(value));
  }
  return std::ranges::equal(a, b,
                            [&](float x, float y) { return isNear(x, y, greatest * kTolerance); });
}

}  // namespace

/** Into how many blocks the kernel for zeros cuts a layer, and the memory that it needs: a count
 * of each part and of each strip, and sums (parts, outputs). */
struct CudaExecutable::SparseSplit {
  int64_t strips, parts, outputs;

  /** For `count` of the outputs, with as many parts as the whole layer has. */
  SparseSplit(const Linear& layer, int multiprocessors, int64_t count)
      : strips(geometry::sparseGemvStrips(count / layer.vector())),
        parts(
            geometry::sparseGemvParts(geometry::sparseGemvStrips(layer.outputs() / layer.vector()),
                                      layer.inputs() / layer.vector(), multiprocessors)),
        outputs(count) {}
  [[nodiscard]] size_t endedOffset() const { return static_cast<size_t>(parts) * sizeof(int); }
  [[nodiscard]] size_t sumsOffset() const {
    return static_cast<size_t>(parts + strips) * sizeof(int);
  }
  [[nodiscard]] size_t bytes() const {
    return sumsOffset() + static_cast<size_t>(parts * outputs) * sizeof(float);
  }
};

CudaExecutable::SparseSplit CudaExecutable::splitOf(const Linear& layer, int64_t outputs) const {
  return {layer, context_.gpu().multiprocessors, outputs};
}

/** Zeros, as the kernel for zeros leaves its counts. */
std::unique_ptr<DeviceMemory> CudaExecutable::sparseScratch(const SparseSplit& split,
                                                            std::atomic<size_t>* bytes) {
  const size_t size = split.bytes();
  auto scratch = std::make_unique<DeviceMemory>(context_, size, bytes);
  context_.call(context_.api().cuMemsetD8Async, scratch->address(), 0, size, context_.compute());
  return scratch;
}

/** Takes the matrix transposed. `hasSpecial` is its flag, or 0 for a weight without. */
LinearKernel CudaExecutable::sparseKernel(const Linear& layer, const SparseSplit& split,
                                          CUdeviceptr hasSpecial, CUdeviceptr scratch) {
  const CUfunction function = kernel(
      "sparse_gemv", std::string("sparseGemv_") + suffixOf(layer.input.type), layer.output.type);
  return [=, this, outputs = static_cast<int>(split.outputs), inputs = layer.inputs(),
          relu = static_cast<int>(layer.op.relu)](const LinearBuffers& buffers) {
    launch(function, split.strips * split.parts, buffers.weight, hasSpecial, buffers.input,
           buffers.bias, buffers.output, scratch, scratch + split.sumsOffset(),
           scratch + split.endedOffset(), outputs, inputs, relu);
  };
}

/** Whether the kernel computes rightly here, and the one that turns its weight; false as well if
 * memory is too short to say. */
bool CudaExecutable::isSparseRight(const Linear& layer) {
  const auto check = [&] {
    const LinearCheck known(context_, layer.shape());
    const SparseSplit split = splitOf(layer, known.outputs());
    const auto scratch = sparseScratch(split, nullptr);
    const Transposed transposed =
        parameters_->transpose(known.weight(), split.outputs, layer.inputs());
    const LinearKernel kernel =
        sparseKernel(layer, split, transposed.hasSpecial->address(), scratch->address());
    return known.passes([&](LinearBuffers buffers) {
      buffers.weight = transposed.memory->address();
      kernel(buffers);
    });
  };
  return shared_.kernels.isRight("sparse " + layer.problem(), check).value_or(false);
}

Step CudaExecutable::sparseGemvStep(const Linear& layer, CUdeviceptr weight, CUdeviceptr hasSpecial,
                                    CUdeviceptr scratch) {
  const SparseSplit split = splitOf(layer, layer.outputs());
  return [=, kernel = sparseKernel(layer, split, hasSpecial, scratch), input = layer.input,
          output = layer.output, bias = layer.bias.values->address()](const Run& run) {
    kernel({weight, address(run, input), bias, address(run, output)});
  };
}

/** Null if the kernel is not known to be right, or there is no memory for a second copy of the
 * weight. */
Step CudaExecutable::sparseStep(const Linear& layer) {
  if (!isSparseRight(layer)) return nullptr;
  try {
    const SparseSplit split = splitOf(layer, layer.outputs());
    auto scratch = sparseScratch(split, shared_.activationBytes);
    const auto transposed = parameters_->transposed(layer.op.weight, layer.matrix);
    Step step = [transposed, inner = sparseGemvStep(layer, transposed->memory->address(),
                                                    transposed->hasSpecial->address(),
                                                    scratch->address())](const Run& run) {
      inner(run);
    };
    usedInputs_[layer.op.output] = {std::move(scratch),
                                    std::vector<int>(static_cast<size_t>(split.parts)),
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
  context_.call(context_.api().cuMemcpyHtoDAsync_v2, address(stopwatch_->trial(), layer.input),
                inputs.data(), inputs.size(), context_.compute());
  context_.call(context_.api().cuStreamSynchronize, context_.compute());
  // No time depends on what the weights are: before there is a copy, the matrix as it lies will do.
  const auto scratch = sparseScratch(splitOf(layer, layer.outputs()), nullptr);
  return stopwatch_->timeOf(
      sparseGemvStep(layer, layer.matrix.memory->address(), 0, scratch->address()), 0);
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

/** What a forward's steps before the challenger's and `last` in its place make of the layer. */
std::vector<float> CudaExecutable::valueBy(const Step& last, const Challenger& challenger) {
  const DeviceMemory workspace(context_, workspaceBytes_, nullptr);
  const Run run = stopwatch_->trial(&workspace);
  const Buffer& output = buffer(challenger.value);
  const auto count = static_cast<size_t>(output.batch * output.pixels() * output.padded);
  poison(context_, address(run, output), count * byteSize(output.type));
  for (size_t i = 0; i < challenger.index; ++i) steps_[i].function(run);
  last(run);
  return download(context_, address(run, output), dtypeOf(output.type), count);
}

/** Whether it computes the same as the step that it replaces; false if that cannot be tried. */
bool CudaExecutable::isSame(const Challenger& challenger) {
  try {
    return agree(valueBy(challenger.step, challenger),
                 valueBy(steps_[challenger.index].function, challenger));
  } catch (const Error& error) {
    if (error.code() == Code::kDeviceLost) throw;
    return false;
  }
}

/** Takes each challenger that computes the same outputs and makes forwards of random images faster,
 * with the parameters as they are now: how many zeros there are is theirs to say, and what a kernel
 * costs among its neighbours, with which it overlaps, is not what it costs alone. */
void CudaExecutable::settleChallenges() {
  if (challengers_.empty()) return;
  std::vector<Challenger> challengers;
  challengers.swap(challengers_);
  stopwatch_->fillInputs();
  const Step forward = [this](const Run& run) { runSteps(run); };
  for (Challenger& challenger : challengers) {
    const bool isRight = isSame(challenger);
    const std::optional<double> before = stopwatch_->timeOf(forward, workspaceBytes_);
    Step& step = steps_[challenger.index].function;
    step.swap(challenger.step);
    const std::optional<double> after =
        isRight ? stopwatch_->timeOf(forward, workspaceBytes_) : std::nullopt;
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
