// The linear layer. Our own kernels stream over the weights at small batches. cuBLASLt computes it
// as a matrix product at all batches. The fastest runs.
#include "cuda/lowering.h"
#include "cuda/ops/gemm/gemv.h"

namespace vgg::cuda {

std::vector<Launch> Launches::of(const Gemm& op) const {
  const Buffer& input = buffer(op.input);
  const Buffer& output = buffer(op.output);
  Launch launch = isGemv(batch_) ? gemvLaunch(batch_, output.padded, input.type, output.type)
                                 : Launch{.kernel = "cuBLASLt"};
  launch.name = layerOf(op.weight);
  launch.bytes = bytesOf(input) + bytesOf(output);
  launch.weightBytes =
      static_cast<size_t>(output.padded * input.pixels() * input.padded) * byteSize(input.type);
  launch.operations =
      2.0 * elementsOf(output) * static_cast<double>(input.channels * input.pixels());
  return {launch};
}

/** Keeps what the step of a layer needs, and returns the step. */
Step Lowering::take(const Gemm& op, LinearStep chosen) {
  needWorkspace(chosen.workspaceBytes);
  if (chosen.usedInputs) lowered_.usedInputs[op.output] = *std::move(chosen.usedInputs);
  if (chosen.challenger) {
    // The step that is about to be added is the one that it may replace.
    chosen.challenger->index = lowered_.steps.size();
    lowered_.challengers.push_back(*std::move(chosen.challenger));
  }
  return std::move(chosen.step);
}

Step Lowering::prepare(const Gemm& op) {
  const Buffer input = buffer(op.input);
  const Buffer output = buffer(op.output);
  const Matrix& matrix = parameters_.matrix(op.weight, input.channels, input.pixels());
  const bool isSparse = cuda::isSparse(op, choices_, shared_.forced.linear);
  const std::string key =
      context_.identity() + " cuBLASLt " + context_.libraries().cublasLt.version + " linear " +
      precisionName(parameters_.precision()) + " " + std::to_string(matrix.rows) + " " +
      std::to_string(matrix.columns) + " " + std::to_string(batch_) + " " + suffixOf(output.type) +
      (op.relu ? " relu" : "") + (isSparse ? " sparse " + kernelsText("sparse_gemv.cu") : "") +
      (isGemv(batch_) ? " gemv " + kernelsText("gemv.cu") : "");
  const Linear layer{op,       input, output, matrix, parameters_.bias(op.bias, output.channels),
                     isSparse, key};
  LinearSearch search(shared_, *stopwatch_, parameters_, layer, [&] {
    return affineStep(output, output, 0, layer.bias.values->address(), op.relu);
  });
  if (isSparse && shared_.forced.linear == ForcedLinear::kSparse) {
    LinearStep sparse = search.sparse();
    if (sparse.step) return take(op, std::move(sparse));
  }
  if (shared_.deterministic) {
    if (Step gemv = gemvStep(shared_, layer)) return gemv;
  }
  // Not every type and GPU has a product that adds the bias.
  for (const bool addsBias : {true, false}) {
    LinearStep chosen = search.choose(addsBias);
    if (chosen.step) return take(op, std::move(chosen));
  }
  throw Error(Code::kUnsupported,
              "cuBLASLt has no algorithm for a linear layer of " + std::to_string(matrix.columns) +
                  " inputs and " + std::to_string(matrix.rows) + " outputs in " +
                  precisionName(parameters_.precision()) + " on " + context_.gpu().name);
}

}  // namespace vgg::cuda
