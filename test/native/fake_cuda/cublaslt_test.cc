// Compares the fake cuBLASLt with plain loops.
#include <vector>

#include "fixture.h"
#include "tests.h"

void matricesAgreeWithPlainLoops() {
  cublasLtHandle_t lt = nullptr;
  OK(cublasLtCreate(&lt));
  for (const int type : {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16})
    for (const int64_t batch : {1, 7}) {
      const int64_t in = 72;
      const int64_t out = 24;
      auto w = randoms(out * in);
      auto x = randoms(batch * in);
      auto b = randoms(out);
      const Buffer dw(w, type);
      const Buffer dx(x, type);
      const Buffer db(b, CUDNN_DATA_FLOAT);
      const Buffer dy(batch * out);
      const int data = type == CUDNN_DATA_FLOAT  ? CUDA_R_32F
                       : type == CUDNN_DATA_HALF ? CUDA_R_16F
                                                 : CUDA_R_16BF;
      cublasLtMatmulDesc_t d = nullptr;
      cublasLtMatrixLayout_t lw = nullptr;
      cublasLtMatrixLayout_t lx = nullptr;
      cublasLtMatrixLayout_t ly = nullptr;
      cublasLtMatmulPreference_t preference = nullptr;
      OK(cublasLtMatmulDescCreate(&d, CUBLAS_COMPUTE_32F, CUDA_R_32F));
      const int transpose = CUBLAS_OP_T;
      const int epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
      OK(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, 4));
      OK(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, 4));
      OK(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &db.pointer, 8));
      OK(cublasLtMatrixLayoutCreate(&lw, data, in, out, in));
      OK(cublasLtMatrixLayoutCreate(&lx, data, in, batch, in));
      OK(cublasLtMatrixLayoutCreate(&ly, CUDA_R_32F, out, batch, out));
      OK(cublasLtMatmulPreferenceCreate(&preference));
      const uint64_t limit = 2 << 20;
      OK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                              &limit, 8));
      cublasLtMatmulHeuristicResult_t results[8];
      int count = 0;
      OK(cublasLtMatmulAlgoGetHeuristic(lt, d, lw, lx, ly, ly, preference, 8, results, &count));
      EXPECT(count == 2);
      const Buffer workspace(1 << 18);
      const float one = 1;
      const float zero = 0;
      for (int i = 0; i < count; ++i) {
        OK(cublasLtMatmul(
            lt, d, &one, reinterpret_cast<void*>(dw.pointer), lw,
            reinterpret_cast<void*>(dx.pointer), lx, &zero, reinterpret_cast<void*>(dy.pointer), ly,
            reinterpret_cast<void*>(dy.pointer), ly, &results[i].algo,
            reinterpret_cast<void*>(workspace.pointer), results[i].workspaceSize, stream));
        std::vector<float> wanted(batch * out);
        for (int64_t n = 0; n < batch; ++n)
          for (int64_t o = 0; o < out; ++o) {
            double sum = b[o];
            for (int64_t k = 0; k < in; ++k) sum += w[o * in + k] * x[n * in + k];
            wanted[n * out + o] = static_cast<float>(sum < 0 ? 0 : sum);
          }
        EXPECT(farthest(dy.read(), wanted) < 1e-5F);
      }
      cublasLtMatmulDescDestroy(d);
      for (auto layout : {lw, lx, ly}) cublasLtMatrixLayoutDestroy(layout);
      cublasLtMatmulPreferenceDestroy(preference);
    }
  cublasLtDestroy(lt);
}
