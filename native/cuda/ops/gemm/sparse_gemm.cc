#include "cuda/ops/gemm/sparse_gemm.h"

#include <numeric>

#include "core/random.h"
#include "cuda/kernels/launch.h"

namespace vgg::cuda {
namespace {

/** How the kernel divides a layer into blocks. Its memory holds a count for each part of the
 * inputs, a count for each strip of the outputs, and sums (parts, outputs). */
struct SparseSplit {
  int64_t strips, parts, outputs;

  /** Divides the work for `count` outputs into as many parts as the whole layer has. */
  SparseSplit(const Shared& shared, const Linear& layer, int64_t count)
      : strips(geometry::sparseGemvStrips(count / layer.vector())),
        parts(geometry::sparseGemvParts(
            geometry::sparseGemvStrips(layer.outputs() / layer.vector()),
            layer.inputs() / layer.vector(), shared.context.gpu().multiprocessors)),
        outputs(count) {}
  [[nodiscard]] size_t endedOffset() const { return static_cast<size_t>(parts) * sizeof(int); }
  [[nodiscard]] size_t sumsOffset() const {
    return static_cast<size_t>(parts + strips) * sizeof(int);
  }
  [[nodiscard]] size_t bytes() const {
    return sumsOffset() + static_cast<size_t>(parts * outputs) * sizeof(float);
  }
};

/** Returns memory for the kernel. Its counts are zero, as the kernel leaves them. */
std::shared_ptr<DeviceMemory> sparseScratch(Context& context, const SparseSplit& split,
                                            std::atomic<size_t>* bytes) {
  const size_t size = split.bytes();
  auto scratch = std::make_shared<DeviceMemory>(context, size, bytes);
  context.call(context.api().cuMemsetD8Async, scratch->address(), 0, size, context.compute());
  return scratch;
}

/** Takes the matrix transposed. `hasSpecial` is the matrix's flag, or 0 for a weight without
 * infinities and NaN. */
LinearKernel sparseKernel(const Shared& shared, const Linear& layer, const SparseSplit& split,
                          CUdeviceptr hasSpecial, CUdeviceptr scratch) {
  const CUfunction function = shared.kernel(
      "sparse_gemv", std::string("sparseGemv_") + suffixOf(layer.input.type), layer.output.type);
  return [=, launch = shared.launcher(), outputs = static_cast<int>(split.outputs),
          inputs = layer.inputs(),
          relu = static_cast<int>(layer.op.relu)](const LinearBuffers& buffers) {
    launch(function, split.strips * split.parts, buffers.weight, hasSpecial, buffers.input,
           buffers.bias, buffers.output, scratch, scratch + split.sumsOffset(),
           scratch + split.endedOffset(), outputs, inputs, relu);
  };
}

/** Returns whether the kernel, and the kernel that transposes its weight, compute right numbers on
 * this GPU. Returns false if memory is too short to say. */
bool isSparseRight(const Shared& shared, CudaParameters& parameters, const Linear& layer) {
  const auto check = [&] {
    const LinearCheck known(shared.context, layer.shape());
    const SparseSplit split(shared, layer, known.outputs());
    const auto scratch = sparseScratch(shared.context, split, nullptr);
    const Transposed transposed =
        parameters.transpose(known.weight(), split.outputs, layer.inputs());
    const LinearKernel kernel =
        sparseKernel(shared, layer, split, transposed.hasSpecial->address(), scratch->address());
    return known.passes([&](LinearBuffers buffers) {
      buffers.weight = transposed.memory->address();
      kernel(buffers);
    });
  };
  return shared.kernels.isRight("sparse " + layer.problem(), check).value_or(false);
}

Step stepOf(const Shared& shared, const Linear& layer, CUdeviceptr weight, CUdeviceptr hasSpecial,
            CUdeviceptr scratch) {
  const SparseSplit split(shared, layer, layer.outputs());
  return [kernel = sparseKernel(shared, layer, split, hasSpecial, scratch), weight,
          input = layer.input, output = layer.output, bias = layer.bias.values->address()](
             const Run& run) { kernel({weight, address(run, input), bias, address(run, output)}); };
}

}  // namespace

StepWork UsedInputs::work() const {
  const double inputs = std::accumulate(counts.begin(), counts.end(), 0.0);
  const auto ofEach = static_cast<double>(outputs);
  return {inputs * ofEach, (inputs * static_cast<double>(elementBytes) + sizeof(float)) * ofEach};
}

std::optional<SparseStep> sparseStep(const Shared& shared, CudaParameters& parameters,
                                     const Linear& layer) {
  if (!isSparseRight(shared, parameters, layer)) return std::nullopt;
  try {
    const SparseSplit split(shared, layer, layer.outputs());
    auto scratch = sparseScratch(shared.context, split, shared.activationBytes);
    const auto transposed = parameters.transposed(layer.op.weight, layer.matrix);
    // The step holds the copy of the weight, and the memory that it writes.
    Step step = [transposed, scratch,
                 inner = stepOf(shared, layer, transposed->memory->address(),
                                transposed->hasSpecial->address(),
                                scratch->address())](const Run& run) { inner(run); };
    UsedInputs used;
    used.counts.resize(static_cast<size_t>(split.parts));
    used.memory = std::move(scratch);
    used.outputs = layer.output.channels;
    used.elementBytes = byteSize(layer.input.type);
    return SparseStep{std::move(step), std::move(used)};
  } catch (const Error& error) {
    if (error.code() != Code::kOutOfMemory) throw;
    return std::nullopt;
  }
}

std::optional<double> timeOfSparse(const Shared& shared, Stopwatch& stopwatch,
                                   const Linear& layer) {
  Context& context = shared.context;
  const auto count = static_cast<size_t>(layer.matrix.columns);
  const size_t elementBytes = byteSize(layer.input.type);
  std::vector<float> draws(count);
  fillNormal(draws.data(), 0, count, 0, 0, 1);
  // One bit tells a number from zero.
  std::vector<std::byte> inputs(count * elementBytes);
  for (size_t i = 0; i < count; ++i) {
    if (draws[i] > 0) inputs[i * elementBytes] = std::byte{1};
  }
  context.call(context.api().cuMemcpyHtoDAsync_v2, address(stopwatch.trial(), layer.input),
               inputs.data(), inputs.size(), context.compute());
  context.call(context.api().cuStreamSynchronize, context.compute());
  // No time depends on the values of the weights, so the matrix in its own order is enough.
  const auto scratch = sparseScratch(context, SparseSplit(shared, layer, layer.outputs()), nullptr);
  return stopwatch.timeOf(
      stepOf(shared, layer, layer.matrix.memory->address(), 0, scratch->address()), 0);
}

}  // namespace vgg::cuda
