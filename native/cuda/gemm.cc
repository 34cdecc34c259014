// The linear layer: at small batches our own stream over the weights, above a matrix product of
// cuBLASLt; whichever is faster where both can.
#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <optional>

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
  const auto run = [&](const cublasLtMatmulHeuristicResult_t& result, const DeviceMemory& scratch) {
    const Run here{shared_.arena.address(), {}, {}};
    matmul->run(result.algo, weight, address(here, input), address(here, output), scratch.address(),
                result.workspaceSize);
  };
  // Milliseconds; nothing where the algorithm fails here.
  const auto timeOf = [&](const std::function<void()>& work) -> std::optional<double> {
    try {
      return measure(work);
    } catch (const Error& error) {
      if (error.code() == Code::kDeviceLost) throw;
      return std::nullopt;
    }
  };
  if (const auto cached = shared_.deterministic ? std::nullopt : shared_.cache.read(key)) {
    if (cached->empty() && gemv) return gemv;
    cublasLtMatmulHeuristicResult_t result{};
    if (cached->size() == sizeof result) {
      std::memcpy(&result, cached->data(), sizeof result);
      if (result.workspaceSize <= kMatmulWorkspace) {
        const DeviceMemory scratch(context_, result.workspaceSize, nullptr);
        if (timeOf([&] { run(result, scratch); })) {
          needWorkspace(result.workspaceSize);
          return stepOf(result);
        }
      }
    }
  }

  const auto algorithms = matmul->algorithms(kMatmulWorkspace, kAlgorithms);
  const cublasLtMatmulHeuristicResult_t* best = nullptr;
  {
    const DeviceMemory scratch(context_, kMatmulWorkspace, nullptr);
    std::optional<double> least;
    if (gemv) least = timeOf([&] { gemv({shared_.arena.address(), {}, {}}); });
    for (const auto& result : algorithms) {
      if (shared_.deterministic && best != nullptr) break;
      const auto time = timeOf([&] { run(result, scratch); });
      if (!time || (least && *time >= *least)) continue;
      least = time;
      best = &result;
    }
  }
  if (best == nullptr && !gemv) {
    throw Error(Code::kUnsupported,
                "cuBLASLt has no algorithm for a linear layer of " + std::to_string(inputs) +
                    " inputs and " + std::to_string(outputs) + " outputs in " +
                    precisionName(parameters_->precision()) + " on " + context_.gpu().name);
  }
  if (!shared_.deterministic) shared_.cache.write(key, best == nullptr ? "" : toText(*best));
  if (best == nullptr) return gemv;
  needWorkspace(best->workspaceSize);
  return stepOf(*best);
}

}  // namespace vgg::cuda
