// The linear layer: at small batches our own stream over the weights, above a matrix product of
// cuBLASLt; whichever is faster where both can.
#include <cstring>
#include <optional>

#include "cuda/executable.h"
#include "cuda/kernels/launch.h"
#include "cuda/matmul.h"

namespace vgg::cuda {
namespace {

constexpr size_t kMatmulWorkspace = size_t{32} << 20;  // as cuBLAS itself takes on Hopper
constexpr int kAlgorithms = 8;                         // of cuBLASLt's, that are timed

using Algorithm = cublasLtMatmulHeuristicResult_t;

/** With its workspace, as text for the cache; "" is our kernel. */
std::string toText(const Algorithm& algorithm) {
  return {reinterpret_cast<const char*>(&algorithm), sizeof algorithm};
}

std::optional<Algorithm> fromText(const std::string& text) {
  Algorithm algorithm{};
  if (text.size() != sizeof algorithm) return std::nullopt;
  std::memcpy(&algorithm, text.data(), sizeof algorithm);
  return algorithm;
}

/** A product of cuBLASLt's, and what follows it where it does not add the bias itself. */
struct Product {
  std::shared_ptr<const Matmul> matmul;
  Step after;
  std::string key;
};

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
  if (isGemv(batch_)) {
    const std::string name = "gemv" + std::to_string(batch_) + "_" + suffixOf(input.type);
    const CUfunction function = kernel("gemv", name, output.type);
    const int64_t blocks = geometry::gemvBlocks(outputs, static_cast<int>(batch_),
                                                static_cast<int>(byteSize(input.type)));
    gemv = [=, this](const Run& run) {
      launch(function, blocks, weight, address(run, input), bias, address(run, output), outputs,
             inputs, static_cast<int>(relu));
    };
  }
  if (shared_.deterministic && gemv) return gemv;

  const std::string key = context_.identity() + " cuBLASLt " +
                          context_.libraries().cublasLt.version + " linear " +
                          precisionName(parameters_->precision()) + " " + std::to_string(outputs) +
                          " " + std::to_string(inputs) + " " + std::to_string(batch_) + " " +
                          suffixOf(output.type) + (relu ? " relu" : "");
  const auto productOf = [&](bool isFused) -> Product {
    const MatmulShape shape{outputs,    inputs,      batch_,
                            input.type, output.type, parameters_->precision() == Precision::kTf32};
    if (!isFused)
      return {std::make_shared<Matmul>(context_, shape, std::nullopt),
              affineStep(output, output, 0, bias, relu), key + " apart"};
    const CUdeviceptr typed = output.type == Type::kFloat32 ? bias : biases.typed->address();
    return {std::make_shared<Matmul>(context_, shape, Epilogue{typed, relu}), nullptr, key};
  };
  const auto stepOf = [=, this](const Product& product, const Algorithm& algorithm) -> Step {
    return [=, this](const Run& run) {
      product.matmul->run(algorithm.algo, weight, address(run, input), address(run, output),
                          run.workspace, algorithm.workspaceSize);
      if (product.after) product.after(run);
    };
  };
  // Milliseconds; nothing where it fails here.
  const auto timeOf = [&](const Step& step, const DeviceMemory* scratch) -> std::optional<double> {
    try {
      return measure([&, run = trial(scratch)] { step(run); });
    } catch (const Error& error) {
      if (error.code() == Code::kDeviceLost) throw;
      return std::nullopt;
    }
  };

  // Not every type and GPU has a product that adds the bias.
  for (const bool isFused : {true, false}) {
    if (!isFused && gemv) break;
    const Product product = productOf(isFused);
    if (const auto cached =
            shared_.deterministic ? std::nullopt : shared_.cache.read(product.key)) {
      if (cached->empty() && gemv) return gemv;
      const std::optional<Algorithm> known = fromText(*cached);
      if (known && known->workspaceSize <= kMatmulWorkspace) {
        const DeviceMemory scratch(context_, known->workspaceSize, nullptr);
        const Step step = stepOf(product, *known);
        if (timeOf(step, &scratch)) {
          needWorkspace(known->workspaceSize);
          return step;
        }
      }
    }
    const auto algorithms = product.matmul->algorithms(kMatmulWorkspace, kAlgorithms);
    const Algorithm* best = nullptr;
    {
      const DeviceMemory scratch(context_, kMatmulWorkspace, nullptr);
      std::optional<double> least;
      if (gemv) least = timeOf(gemv, nullptr);
      for (const auto& algorithm : algorithms) {
        if (shared_.deterministic && best != nullptr) break;
        const auto time = timeOf(stepOf(product, algorithm), &scratch);
        if (!time || (least && *time >= *least)) continue;
        least = time;
        best = &algorithm;
      }
    }
    if (best == nullptr && !gemv) continue;
    if (!shared_.deterministic)
      shared_.cache.write(product.key, best == nullptr ? "" : toText(*best));
    if (best == nullptr) return gemv;
    needWorkspace(best->workspaceSize);
    return stepOf(product, *best);
  }
  throw Error(Code::kUnsupported,
              "cuBLASLt has no algorithm for a linear layer of " + std::to_string(inputs) +
                  " inputs and " + std::to_string(outputs) + " outputs in " +
                  precisionName(parameters_->precision()) + " on " + context_.gpu().name);
}

}  // namespace vgg::cuda
