// Lists the types, values and functions of cuBLASLt that are called (api.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/nvidia/driver_api.h"

#ifdef VGG_NVIDIA_HEADERS
#include <cublasLt.h>
#else
using cublasStatus_t = int;
using cublasComputeType_t = int;
using cublasOperation_t = int;
using cudaDataType = int;
using cublasLtEpilogue_t = int;
using cublasLtMatmulDescAttributes_t = int;
using cublasLtMatmulPreferenceAttributes_t = int;
using cublasLtHandle_t = struct cublasLtContext*;
using cublasLtMatmulDesc_t = struct cublasLtMatmulDescOpaque_t*;
using cublasLtMatrixLayout_t = struct cublasLtMatrixLayoutOpaque_t*;
using cublasLtMatmulPreference_t = struct cublasLtMatmulPreferenceOpaque_t*;
struct cublasLtMatmulAlgo_t {
  uint64_t data[8];
};
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
};
static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == 96);
#endif

/** Values of its enums: VALUE(name, value). */
#define VGG_CUBLASLT_VALUES(VALUE)                     \
  VALUE(CUBLAS_STATUS_SUCCESS, 0)                      \
  VALUE(CUBLAS_STATUS_ALLOC_FAILED, 3)                 \
  VALUE(CUBLAS_STATUS_EXECUTION_FAILED, 13)            \
  VALUE(CUBLAS_STATUS_INTERNAL_ERROR, 14)              \
  VALUE(CUBLAS_STATUS_NOT_SUPPORTED, 15)               \
  VALUE(CUBLAS_COMPUTE_32F, 68)                        \
  VALUE(CUBLAS_COMPUTE_32F_FAST_TF32, 77)              \
  VALUE(CUBLAS_OP_N, 0)                                \
  VALUE(CUBLAS_OP_T, 1)                                \
  VALUE(CUDA_R_32F, 0)                                 \
  VALUE(CUDA_R_16F, 2)                                 \
  VALUE(CUDA_R_16BF, 14)                               \
  VALUE(CUBLASLT_MATMUL_DESC_TRANSA, 3)                \
  VALUE(CUBLASLT_MATMUL_DESC_TRANSB, 4)                \
  VALUE(CUBLASLT_MATMUL_DESC_EPILOGUE, 7)              \
  VALUE(CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8)          \
  VALUE(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 26)       \
  VALUE(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1)   \
  VALUE(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3) \
  VALUE(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2)     \
  VALUE(CUBLASLT_EPILOGUE_DEFAULT, 1)                  \
  VALUE(CUBLASLT_EPILOGUE_RELU, 2)                     \
  VALUE(CUBLASLT_EPILOGUE_BIAS, 4)                     \
  VALUE(CUBLASLT_EPILOGUE_RELU_BIAS, 6)

// NOLINTBEGIN(bugprone-macro-parentheses): names and types cannot be in parentheses.
#ifndef VGG_NVIDIA_HEADERS
// Their names are NVIDIA's, so that they can be looked up in NVIDIA's documents.
enum : int {  // NOLINT(performance-enum-size): values of many enums
#define VGG_VALUE(name, value) name = value,
  VGG_CUBLASLT_VALUES(VGG_VALUE)
#undef VGG_VALUE
};
#endif

/** libcublasLt.so.13 or .12. */
#define VGG_CUBLASLT(FUNCTION)                                                                     \
  FUNCTION(size_t, cublasLtGetVersion, ())                                                         \
  FUNCTION(size_t, cublasLtGetCudartVersion, ())                                                   \
  FUNCTION(const char*, cublasLtGetStatusString, (cublasStatus_t status))                          \
  FUNCTION(cublasStatus_t, cublasLtCreate, (cublasLtHandle_t * handle))                            \
  FUNCTION(cublasStatus_t, cublasLtDestroy, (cublasLtHandle_t handle))                             \
  FUNCTION(cublasStatus_t, cublasLtMatmulDescCreate,                                               \
           (cublasLtMatmulDesc_t * description, cublasComputeType_t compute, cudaDataType scale))  \
  FUNCTION(cublasStatus_t, cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t description))          \
  FUNCTION(cublasStatus_t, cublasLtMatmulDescSetAttribute,                                         \
           (cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute,            \
            const void* value, size_t bytes))                                                      \
  FUNCTION(cublasStatus_t, cublasLtMatrixLayoutCreate,                                             \
           (cublasLtMatrixLayout_t * layout, cudaDataType type, uint64_t rows, uint64_t columns,   \
            int64_t leading))                                                                      \
  FUNCTION(cublasStatus_t, cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t layout))           \
  FUNCTION(cublasStatus_t, cublasLtMatmulPreferenceCreate,                                         \
           (cublasLtMatmulPreference_t * preference))                                              \
  FUNCTION(cublasStatus_t, cublasLtMatmulPreferenceDestroy,                                        \
           (cublasLtMatmulPreference_t preference))                                                \
  FUNCTION(cublasStatus_t, cublasLtMatmulPreferenceSetAttribute,                                   \
           (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, \
            const void* value, size_t bytes))                                                      \
  FUNCTION(cublasStatus_t, cublasLtMatmulAlgoGetHeuristic,                                         \
           (cublasLtHandle_t handle, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,   \
            cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,          \
            cublasLtMatmulPreference_t preference, int requested,                                  \
            cublasLtMatmulHeuristicResult_t* results, int* count))                                 \
  FUNCTION(cublasStatus_t, cublasLtMatmul,                                                         \
           (cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,          \
            const void* a, cublasLtMatrixLayout_t aLayout, const void* b,                          \
            cublasLtMatrixLayout_t bLayout, const void* beta, const void* c,                       \
            cublasLtMatrixLayout_t cLayout, void* d, cublasLtMatrixLayout_t dLayout,               \
            const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspaceBytes,         \
            cudaStream_t stream))
// NOLINTEND(bugprone-macro-parentheses)
