#include "cuda/ops/gemm/linear_search.h"

#include <cstring>

#include "cuda/ops/gemm/gemv.h"
#include "cuda/plan/candidates.h"

namespace vgg::cuda {
namespace {

constexpr size_t kMatmulWorkspace = size_t{32} << 20;  // cuBLAS itself takes as much on Hopper
constexpr int kMaxAlgorithms = 8;                      // cuBLASLt's algorithms that are timed
// The kernel that skips zeros is tried in whole forwards if the layer alone is faster by this
// factor.
constexpr double kLayerGain = 1.1;

// The cache keeps this, kSparseText, or an algorithm of cuBLASLt with its workspace.
constexpr const char* kGemvText = "";

}  // namespace

LinearSearch::LinearSearch(const Shared& shared, Stopwatch& stopwatch, CudaParameters& parameters,
                           const Linear& layer, std::function<Step()> makeBiasStep)
    : shared_(shared),
      stopwatch_(stopwatch),
      parameters_(parameters),
      layer_(layer),
      makeBiasStep_(std::move(makeBiasStep)) {}

std::string LinearSearch::toText(const Algorithm& algorithm) {
  return {reinterpret_cast<const char*>(&algorithm), sizeof algorithm};
}

std::optional<LinearSearch::Algorithm> LinearSearch::fromText(const std::string& text) {
  Algorithm algorithm{};
  if (text.size() != sizeof algorithm) return std::nullopt;
  std::memcpy(&algorithm, text.data(), sizeof algorithm);
  if (algorithm.workspaceSize > kMatmulWorkspace) return std::nullopt;
  return algorithm;
}

std::shared_ptr<const Matmul> LinearSearch::matmulOf(bool addsBias) const {
  const MatmulShape shape{layer_.outputs(),   layer_.inputs(),
                          layer_.batch(),     layer_.input.type,
                          layer_.output.type, parameters_.precision() == Precision::kTf32};
  if (!addsBias) return std::make_shared<const Matmul>(shared_.context, shape, std::nullopt);
  const bool isFloat = layer_.output.type == Type::kFloat32;
  const auto& bias = isFloat ? layer_.bias.values : layer_.bias.typed;
  return std::make_shared<const Matmul>(shared_.context, shape,
                                        Epilogue{bias->address(), layer_.op.relu});
}

Step LinearSearch::productStep(const Product& product, const Algorithm& algorithm) const {
  return [product, algorithm, input = layer_.input, output = layer_.output,
          weight = layer_.matrix.memory->address()](const Run& run) {
    product.matmul->run(algorithm.algo, weight, address(run, input), address(run, output),
                        run.workspace, algorithm.workspaceSize);
    if (product.after) product.after(run);
  };
}

std::optional<double> LinearSearch::timeOf(const Product& product, const Algorithm& algorithm) {
  return stopwatch_.timeOf(productStep(product, algorithm), algorithm.workspaceSize);
}

LinearStep LinearSearch::sparse() {
  auto made = sparseStep(shared_, parameters_, layer_);
  if (!made) return {};
  return {std::move(made->step), 0, std::move(made->usedInputs)};
}

/** Returns the step that the cache keeps as `text`. */
LinearStep LinearSearch::stepOf(const Product& product, const std::string& text) {
  if (text == kGemvText) return {gemvStep(shared_, layer_)};
  if (text == kSparseText) return layer_.isSparse ? sparse() : LinearStep{};
  const std::optional<Algorithm> algorithm = fromText(text);
  if (!algorithm) return {};
  return {productStep(product, *algorithm), algorithm->workspaceSize};
}

/** Returns the step that the cache knows, if it still runs. */
LinearStep LinearSearch::knownStep(const Product& product, const std::string& key) {
  const auto cached = shared_.cache.read(key);
  if (!cached) return {};
  const std::optional<Algorithm> algorithm = fromText(*cached);
  if (algorithm && !timeOf(product, *algorithm)) return {};
  return stepOf(product, *cached);
}

LinearStep LinearSearch::choose(bool addsBias) {
  auto matmul = matmulOf(addsBias);
  const Product product{std::move(matmul), addsBias ? nullptr : makeBiasStep_()};
  const bool isKept = !shared_.deterministic && shared_.forced.linear == ForcedLinear::kNone;
  const std::string key = layer_.key + (addsBias ? "" : " apart");
  if (isKept) {
    LinearStep known = knownStep(product, key);
    if (known.step) return known;
  }
  Step gemv = gemvStep(shared_, layer_);
  std::string best;
  std::optional<double> least;
  const auto consider = [&](const std::string& text, const std::optional<double>& time) {
    if (!time || (least && *time >= *least)) return;
    least = time;
    best = text;
  };
  if (gemv) consider(kGemvText, stopwatch_.timeOf(gemv, 0));
  for (const Algorithm& algorithm : product.matmul->algorithms(kMatmulWorkspace, kMaxAlgorithms)) {
    if (shared_.deterministic && least) break;
    consider(toText(algorithm), timeOf(product, algorithm));
  }
  if (!least) return {gemv};
  // If memory was too short to check our kernel, it was no candidate. The next process may have
  // more.
  const bool isWhole = !isGemv(layer_.batch()) || isGemvRight(shared_, layer_).has_value();
  if (isKept && isWhole) shared_.cache.write(key, best);
  LinearStep chosen = stepOf(product, best);
  if (!chosen.step) return {gemv};
  if (layer_.isSparse) chosen.challenger = challenge(key, *least);
  return chosen;
}

/** Returns the kernel that skips zeros if it computes the layer alone faster than the others, which
 * need at least `least` milliseconds. */
std::optional<Challenger> LinearSearch::challenge(const std::string& key, double least) {
  const std::optional<double> time = timeOfSparse(shared_, stopwatch_, layer_);
  if (!time || *time * kLayerGain > least) return std::nullopt;
  auto made = sparseStep(shared_, parameters_, layer_);
  if (!made) return std::nullopt;
  return Challenger{0, layer_.op.output, layer_.output, key, *std::move(made)};
}

}  // namespace vgg::cuda
