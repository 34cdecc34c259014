// The search for what runs a linear layer fastest on this GPU. The choice is kept on disk.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cuda/nvidia/matmul.h"
#include "cuda/ops/gemm/challenge.h"

namespace vgg::cuda {

/** What runs a linear layer. `step` is null if nothing can. */
struct LinearStep {
  Step step;
  size_t workspaceBytes = 0;
  std::optional<UsedInputs> usedInputs{};  // of a step that skips zeros
  std::optional<Challenger> challenger{};  // whose index is not yet set
};

/** Searches for one layer. Used on the device's thread alone. */
class LinearSearch {
 public:
  /** `makeBiasStep` makes the step that adds the bias and applies ReLU to the layer's output. The
   * layer outlives this. */
  LinearSearch(const Shared& shared, Stopwatch& stopwatch, CudaParameters& parameters,
               const Linear& layer, std::function<Step()> makeBiasStep);

  /** Returns what the cache holds, or else the fastest of our kernels and cuBLASLt's algorithms. If
   * nothing could be timed, returns our kernel for small batches or nothing. `addsBias`: the
   * product itself adds the bias. */
  LinearStep choose(bool addsBias);
  /** Returns our kernel that skips zeros, if it is right and there is memory for it. */
  LinearStep sparse();

 private:
  using Algorithm = cublasLtMatmulHeuristicResult_t;
  /** A product by cuBLASLt, and what follows it in the step, or null. */
  struct Product {
    std::shared_ptr<const Matmul> matmul;
    Step after;
  };
  static std::string toText(const Algorithm& algorithm);
  static std::optional<Algorithm> fromText(const std::string& text);
  [[nodiscard]] std::shared_ptr<const Matmul> matmulOf(bool addsBias) const;
  [[nodiscard]] Step productStep(const Product& product, const Algorithm& algorithm) const;
  std::optional<double> timeOf(const Product& product, const Algorithm& algorithm);
  LinearStep stepOf(const Product& product, const std::string& text);
  LinearStep knownStep(const Product& product, const std::string& key);
  std::optional<Challenger> challenge(const std::string& key, double least);

  Shared shared_;
  Stopwatch& stopwatch_;
  CudaParameters& parameters_;
  const Linear& layer_;
  std::function<Step()> makeBiasStep_;
};

}  // namespace vgg::cuda
