// Searches for the kernel or product that runs a linear layer fastest on this GPU. The choice is
// kept on disk.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cuda/nvidia/matmul.h"
#include "cuda/ops/gemm/challenge.h"

namespace vgg::cuda {

/** A step that runs a linear layer. `step` is null if nothing can run it. */
struct LinearStep {
  Step step;
  size_t workspaceBytes = 0;
  std::optional<UsedInputs> usedInputs{};  // if the step skips zeros
  std::optional<Challenger> challenger{};  // its index is not set yet
};

/** Searches for one layer. Only the device's thread uses it. */
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
