// Matrix products by cuBLASLt: a linear layer with its bias and ReLU, and the algorithms offered
// for it.
#pragma once

#include <vector>

#include "cuda/parameters.h"

namespace vgg::cuda {

using MatmulDesc = Handle<cublasLtMatmulDesc_t, &Api::cublasLtMatmulDescDestroy, Lives::kOnHost>;
using MatrixLayout =
    Handle<cublasLtMatrixLayout_t, &Api::cublasLtMatrixLayoutDestroy, Lives::kOnHost>;
using MatmulPreference =
    Handle<cublasLtMatmulPreference_t, &Api::cublasLtMatmulPreferenceDestroy, Lives::kOnHost>;

/** weight (outputs, inputs), x (batch, inputs), bias (outputs) → y (batch, outputs). */
struct MatmulShape {
  int64_t outputs, inputs, batch;
  Type type, outputType;  // of weight and x; of y and bias
  bool relu;
  bool tf32;
};

class Matmul {
 public:
  /** `bias` is an address on the GPU. Throws Error kUnsupported, kOutOfMemory, kInternal. */
  Matmul(Context& context, const MatmulShape& shape, CUdeviceptr bias);

  /** Best first by cuBLASLt's own estimate; empty where it has none. */
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
