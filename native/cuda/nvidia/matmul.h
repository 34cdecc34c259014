// Computes linear layers with cuBLASLt, with bias and ReLU if cuBLASLt can, and lists the
// algorithms that it offers.
#pragma once

#include <optional>
#include <vector>

#include "cuda/parameters.h"

namespace vgg::cuda {

using MatmulDesc = Handle<cublasLtMatmulDesc_t, &Api::cublasLtMatmulDescDestroy, Lives::kOnHost>;
using MatrixLayout =
    Handle<cublasLtMatrixLayout_t, &Api::cublasLtMatrixLayoutDestroy, Lives::kOnHost>;
using MatmulPreference =
    Handle<cublasLtMatmulPreference_t, &Api::cublasLtMatmulPreferenceDestroy, Lives::kOnHost>;

/** weight (outputs, inputs), x (batch, inputs) → y (batch, outputs). */
struct MatmulShape {
  int64_t outputs, inputs, batch;
  Type type, outputType;  // the type of weight and x; the type of y and bias
  bool tf32;
};

/** What is added to the product before it is stored. */
struct Epilogue {
  CUdeviceptr bias;  // (outputs) on the GPU
  bool relu;
};

class Matmul {
 public:
  /** Throws Error kUnsupported, kOutOfMemory, kInternal. */
  Matmul(Context& context, const MatmulShape& shape, const std::optional<Epilogue>& epilogue);

  /** Returns the algorithms, the best by cuBLASLt's own estimate first. There may be no algorithm.
   */
  [[nodiscard]] std::vector<cublasLtMatmulHeuristicResult_t> algorithms(size_t workspaceLimit,
                                                                        int limit) const;

  void run(const cublasLtMatmulAlgo_t& algorithm, CUdeviceptr weight, CUdeviceptr x, CUdeviceptr y,
           CUdeviceptr workspace, size_t workspaceBytes) const;

 private:
  MatrixLayout layout(Type type, int64_t rows, int64_t columns) const;
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value);

  Context& context_;
  MatmulDesc description_;
  MatrixLayout weight_, x_, y_;
};

}  // namespace vgg::cuda
