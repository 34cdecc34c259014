// The linear layer: at small batches our own stream over the weights, above a matrix product of
// cuBLASLt; whichever is faster where both can.
#include <algorithm>
#include <bit>
#include <cstring>

#include "cuda/executable.h"
#include "cuda/kernels/launch.h"
#include "cuda/matmul.h"

namespace vgg::cuda {
namespace {

constexpr int64_t kGemvBatch = 8;                      // columns of the widest gemv kernel
constexpr size_t kMatmulWorkspace = size_t{32} << 20;  // as cuBLAS itself takes on Hopper
constexpr int kAlgorithms = 8;                         // of cuBLASLt's, that are timed

/** An algorithm and its workspace as text for the cache; "" is our kernel. */
std::string toText(const cublasLtMatmulHeuristicResult_t& result) {
  return {reinterpret_cast<const char*>(&result), sizeof result};
}

}  // namespace

Step CudaExecutable::prepare(const Gemm& op) {
  use(op.weight);
  use(op.bias);
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const Matrix& matrix = parameters_->matrix(op.weight, input.channels, input.pixels());
  const Bias& biases = parameters_->bias(op.bias, output.channels);
  const CUdeviceptr weight = matrix.memory->address();
  const CUdeviceptr bias = biases.values->address();
  const auto outputs = static_cast<int>(matrix.rows);
  const auto inputs = static_cast<int>(matrix.columns);
  const bool relu = op.relu;

  Step gemv;
  if (batch_ <= kGemvBatch && std::has_single_bit(static_cast<uint64_t>(batch_))) {
    const std::string name = "gemv" + std::to_string(batch_) + "_" + suffixOf(input.type);
    const CUfunction function = kernel("gemv", name, output.type);
    const int64_t blocks = geometry::gemvBlocks(outputs, static_cast<int>(batch_),
                                                static_cast<int>(byteSize(input.type)));
    gemv = [=, this](const Run& run) {
      launch(function, blocks, weight, address(run, input), bias, address(run, output), outputs,
             inputs, static_cast<int>(relu));
    };
  }
  const auto matmul =
      std::make_shared<Matmul>(context_,
                               MatmulShape{outputs, inputs, batch_, input.type, output.type, relu,
                                           parameters_->precision() == Precision::kTf32},
                               output.type == Type::kFloat32 ? bias : biases.typed->address());
  const auto stepOf = [=, this](const cublasLtMatmulHeuristicResult_t& result) -> Step {
    return [=, this](const Run& run) {
      matmul->run(result.algo, weight, address(run, input), address(run, output), workspace(run),
                  result.workspaceSize);
    };
  };

  if (shared_.deterministic && gemv) return gemv;
  const std::string key = context_.identity() + " cuBLASLt " +
                          context_.libraries().cublasLt.version + " linear " +
                          precisionName(parameters_->precision()) + " " + std::to_string(outputs) +
                          " " + std::to_string(inputs) + " " + std::to_string(batch_) + " " +
                          suffixOf(output.type) + (relu ? " relu" : "");
  if (const auto cached = shared_.deterministic ? std::nullopt : shared_.cache.read(key)) {
    if (cached->empty() && gemv) return gemv;
    cublasLtMatmulHeuristicResult_t result{};
    if (cached->size() == sizeof result) {
      std::memcpy(&result, cached->data(), sizeof result);
      needWorkspace(result.workspaceSize);
      return stepOf(result);
    }
  }

  const auto algorithms = matmul->algorithms(kMatmulWorkspace, kAlgorithms);
  if (algorithms.empty()) {
    if (gemv) return gemv;
    throw Error(Code::kUnsupported,
                "cuBLASLt has no algorithm for a linear layer of " + std::to_string(inputs) +
                    " inputs and " + std::to_string(outputs) + " outputs in " +
                    precisionName(parameters_->precision()) + " on " + context_.gpu().name);
  }
  const cublasLtMatmulHeuristicResult_t* best = gemv ? nullptr : &algorithms.front();
  if (!shared_.deterministic) {
    const DeviceMemory scratch(context_, kMatmulWorkspace, nullptr);
    // The workspace of a Run lies after its activations: for the measurements it is this block.
    const Run run{shared_.arena.address(), {}, {}};
    double least = gemv ? measure([&] { gemv(run); }) : 0;
    for (const auto& result : algorithms) {
      const double time = measure([&] {
        matmul->run(result.algo, weight, address(run, input), address(run, output),
                    scratch.address(), result.workspaceSize);
      });
      if (least > 0 && time >= least) continue;
      least = time;
      best = &result;
    }
    shared_.cache.write(key, best == nullptr ? "" : toText(*best));
  }
  if (best == nullptr) return gemv;
  needWorkspace(best->workspaceSize);
  return stepOf(*best);
}

}  // namespace vgg::cuda
