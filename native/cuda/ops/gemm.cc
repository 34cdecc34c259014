// The linear layer: at small batches a stream of our own over the weights; above, a matrix product
// of cuBLASLt. Whichever is fastest where both can.
#include <cstring>
#include <optional>

#include "cuda/executable.h"
#include "cuda/kernels/launch.h"
#include "cuda/nvidia/matmul.h"
#include "cuda/ops/gemm/linear.h"
#include "cuda/plan/candidates.h"

namespace vgg::cuda {
namespace {

constexpr size_t kMatmulWorkspace = size_t{32} << 20;  // as cuBLAS itself takes on Hopper
constexpr int kAlgorithms = 8;                         // of cuBLASLt's, that are timed

using Algorithm = cublasLtMatmulHeuristicResult_t;

// What the cache keeps of a choice: this, kSparseText, or an algorithm of cuBLASLt's with its
// workspace.
constexpr const char* kGemvText = "";

std::string toText(const Algorithm& algorithm) {
  return {reinterpret_cast<const char*>(&algorithm), sizeof algorithm};
}

std::optional<Algorithm> fromText(const std::string& text) {
  Algorithm algorithm{};
  if (text.size() != sizeof algorithm) return std::nullopt;
  std::memcpy(&algorithm, text.data(), sizeof algorithm);
  if (algorithm.workspaceSize > kMatmulWorkspace) return std::nullopt;
  return algorithm;
}

}  // namespace

/** Our kernel for the first `outputs` outputs of the layer. */
LinearKernel CudaExecutable::gemvKernel(const Linear& layer, int64_t outputs) {
  const CUfunction function =
      kernel("gemv", "gemv" + std::to_string(batch_) + "_" + suffixOf(layer.input.type),
             layer.output.type);
  const int64_t blocks = geometry::gemvBlocks(outputs, static_cast<int>(batch_),
                                              static_cast<int>(byteSize(layer.input.type)));
  return [=, this, count = static_cast<int>(outputs), inputs = layer.inputs(),
          relu = static_cast<int>(layer.op.relu)](const LinearBuffers& buffers) {
    launch(function, blocks, buffers.weight, buffers.input, buffers.bias, buffers.output, count,
           inputs, relu);
  };
}

/** Whether the kernel computes rightly here; nothing if memory is too short to say. */
std::optional<bool> CudaExecutable::isGemvRight(const Linear& layer) {
  return shared_.kernels.isRight("gemv " + layer.problem(), [&] {
    const LinearCheck check(context_, layer.shape());
    return check.passes(gemvKernel(layer, check.outputs()));
  });
}

/** Null if the batch is none of the kernel's, or the kernel is not known to be right. */
Step CudaExecutable::gemvStep(const Linear& layer) {
  if (!isGemv(batch_) || !isGemvRight(layer).value_or(false)) return nullptr;
  return [=, kernel = gemvKernel(layer, layer.outputs()), input = layer.input,
          output = layer.output, weight = layer.matrix.memory->address(),
          bias = layer.bias.values->address()](const Run& run) {
    kernel({weight, address(run, input), bias, address(run, output)});
  };
}

std::shared_ptr<const Matmul> CudaExecutable::matmulOf(const Linear& layer, bool addsBias) {
  const MatmulShape shape{
      layer.outputs(),  layer.inputs(),    batch_,
      layer.input.type, layer.output.type, parameters_->precision() == Precision::kTf32};
  if (!addsBias) return std::make_shared<const Matmul>(context_, shape, std::nullopt);
  const bool isFloat = layer.output.type == Type::kFloat32;
  const auto& bias = isFloat ? layer.bias.values : layer.bias.typed;
  return std::make_shared<const Matmul>(context_, shape, Epilogue{bias->address(), layer.op.relu});
}

/** The fastest of our kernels and cuBLASLt's algorithms, or what the cache knows; with the bias
 * added by the product itself, or apart. Our own, or null, if none could be timed. */
Step CudaExecutable::chooseLinear(const Linear& layer, bool addsBias) {
  const auto matmul = matmulOf(layer, addsBias);
  const Step after = addsBias ? nullptr
                              : affineStep(layer.output, layer.output, 0,
                                           layer.bias.values->address(), layer.op.relu);
  const auto productStep = [&](const Algorithm& algorithm) -> Step {
    return [=, input = layer.input, output = layer.output,
            weight = layer.matrix.memory->address()](const Run& run) {
      matmul->run(algorithm.algo, weight, address(run, input), address(run, output), run.workspace,
                  algorithm.workspaceSize);
      if (after) after(run);
    };
  };
  const auto timeOfProduct = [&](const Algorithm& algorithm) {
    return stopwatch_->timeOf(productStep(algorithm), algorithm.workspaceSize);
  };
  const auto stepOf = [&](const std::string& text) -> Step {
    if (text == kGemvText) return gemvStep(layer);
    if (text == kSparseText) return layer.isSparse ? sparseStep(layer) : nullptr;
    const std::optional<Algorithm> algorithm = fromText(text);
    if (!algorithm) return nullptr;
    needWorkspace(algorithm->workspaceSize);
    return productStep(*algorithm);
  };

  const bool isKept = !shared_.deterministic && shared_.forced.linear == ForcedLinear::kNone;
  const std::string key = layer.key + (addsBias ? "" : " apart");
  if (const auto cached = isKept ? shared_.cache.read(key) : std::nullopt) {
    const std::optional<Algorithm> algorithm = fromText(*cached);
    if (!algorithm || timeOfProduct(*algorithm)) {
      if (Step step = stepOf(*cached)) return step;
    }
  }
  Step gemv = gemvStep(layer);
  std::string best;
  std::optional<double> least;
  const auto consider = [&](const std::string& text, const std::optional<double>& time) {
    if (!time || (least && *time >= *least)) return;
    least = time;
    best = text;
  };
  if (gemv) consider(kGemvText, stopwatch_->timeOf(gemv, 0));
  for (const Algorithm& algorithm : matmul->algorithms(kMatmulWorkspace, kAlgorithms)) {
    if (shared_.deterministic && least) break;
    consider(toText(algorithm), timeOfProduct(algorithm));
  }
  if (!least) return gemv;
  // Our kernel is left out if memory is too short to check it: the next process may have more.
  const bool isWhole = !isGemv(batch_) || isGemvRight(layer).has_value();
  if (isKept && isWhole) shared_.cache.write(key, best);
  if (layer.isSparse) challenge(layer, key, *least);
  Step step = stepOf(best);
  return step ? step : gemv;
}

Step CudaExecutable::prepare(const Gemm& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const Matrix& matrix = parameters_->matrix(op.weight, input.channels, input.pixels());
  const bool isSparse = cuda::isSparse(op, choices_, shared_.forced.linear);
  const std::string key =
      context_.identity() + " cuBLASLt " + context_.libraries().cublasLt.version + " linear " +
      precisionName(parameters_->precision()) + " " + std::to_string(matrix.rows) + " " +
      std::to_string(matrix.columns) + " " + std::to_string(batch_) + " " + suffixOf(output.type) +
      (op.relu ? " relu" : "") + (isSparse ? " sparse " + kernelsText("sparse_gemv.cu") : "") +
      (isGemv(batch_) ? " gemv " + kernelsText("gemv.cu") : "");
  const Linear layer{op,       input, output, matrix, parameters_->bias(op.bias, output.channels),
                     isSparse, key};
  if (isSparse && shared_.forced.linear == ForcedLinear::kSparse) {
    if (Step sparse = sparseStep(layer)) return sparse;
  }
  if (shared_.deterministic) {
    if (Step gemv = gemvStep(layer)) return gemv;
  }
  if (Step step = chooseLinear(layer, true)) return step;
  // Not every type and GPU has a product that adds the bias.
  if (Step step = chooseLinear(layer, false)) return step;
  throw Error(Code::kUnsupported,
              "cuBLASLt has no algorithm for a linear layer of " + std::to_string(matrix.columns) +
                  " inputs and " + std::to_string(matrix.rows) + " outputs in " +
                  precisionName(parameters_->precision()) + " on " + context_.gpu().name);
}

}  // namespace vgg::cuda
