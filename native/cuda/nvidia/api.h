// Everything of NVIDIA's that is called, as four tables with one line per function, and the types
// and values that the calls need. No header of NVIDIA's is needed to build; test/real-cuda compiles
// this file with VGG_NVIDIA_HEADERS, where the types are NVIDIA's own and every line is compared
// with them.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef VGG_NVIDIA_HEADERS
#include <cublasLt.h>
#include <cuda.h>
#include <cudnn.h>
#include <nvrtc.h>
#else

// C enums are passed as int; the values in use are in the table below.
using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUdevice_attribute = int;
using CUfunction_attribute = int;
using CUstreamCaptureMode = int;
using CUlaunchAttributeID = int;
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUgraph = struct CUgraph_st*;
using CUgraphExec = struct CUgraphExec_st*;
struct CUuuid {
  char bytes[16];
};
union CUlaunchAttributeValue {
  alignas(8) char pad[64];
  int programmaticStreamSerializationAllowed;
  struct {
    unsigned int x, y, z;
  } clusterDim;
};
struct CUlaunchAttribute {
  CUlaunchAttributeID id;
  char pad[4];
  CUlaunchAttributeValue value;
};
struct CUlaunchConfig {
  unsigned int gridDimX, gridDimY, gridDimZ;
  unsigned int blockDimX, blockDimY, blockDimZ;
  unsigned int sharedMemBytes;
  CUstream hStream;
  CUlaunchAttribute* attrs;
  unsigned int numAttrs;
};
static_assert(sizeof(CUlaunchAttribute) == 72 && sizeof(CUlaunchConfig) == 56);

using cudnnStatus_t = int;
using cudnnBackendDescriptorType_t = int;
using cudnnBackendAttributeName_t = int;
using cudnnBackendAttributeType_t = int;
using cudnnDataType_t = int;
using cudnnConvolutionMode_t = int;
using cudnnPointwiseMode_t = int;
using cudnnNanPropagation_t = int;
using cudnnBackendHeurMode_t = int;
using cudnnBackendNumericalNote_t = int;
using cudnnBackendBehaviorNote_t = int;
using cudnnBackendKnobType_t = int;
using cudnnHandle_t = struct cudnnContext*;
using cudnnBackendDescriptor_t = void*;
using cudaStream_t = CUstream;

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

using nvrtcResult = int;
using nvrtcProgram = struct _nvrtcProgram*;  // NOLINT(bugprone-reserved-identifier)
#endif

/** Values of enums: VALUE(name, value). */
#define VGG_CUDA_VALUES(VALUE)                                      \
  VALUE(CUDA_SUCCESS, 0)                                            \
  VALUE(CUDA_ERROR_INVALID_VALUE, 1)                                \
  VALUE(CUDA_ERROR_OUT_OF_MEMORY, 2)                                \
  VALUE(CUDA_ERROR_NOT_INITIALIZED, 3)                              \
  VALUE(CUDA_ERROR_DEINITIALIZED, 4)                                \
  VALUE(CUDA_ERROR_STUB_LIBRARY, 34)                                \
  VALUE(CUDA_ERROR_DEVICE_UNAVAILABLE, 46)                          \
  VALUE(CUDA_ERROR_NO_DEVICE, 100)                                  \
  VALUE(CUDA_ERROR_INVALID_DEVICE, 101)                             \
  VALUE(CUDA_ERROR_INVALID_IMAGE, 200)                              \
  VALUE(CUDA_ERROR_INVALID_CONTEXT, 201)                            \
  VALUE(CUDA_ERROR_NO_BINARY_FOR_GPU, 209)                          \
  VALUE(CUDA_ERROR_ECC_UNCORRECTABLE, 214)                          \
  VALUE(CUDA_ERROR_INVALID_PTX, 218)                                \
  VALUE(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222)                    \
  VALUE(CUDA_ERROR_INVALID_HANDLE, 400)                             \
  VALUE(CUDA_ERROR_NOT_FOUND, 500)                                  \
  VALUE(CUDA_ERROR_NOT_READY, 600)                                  \
  VALUE(CUDA_ERROR_ILLEGAL_ADDRESS, 700)                            \
  VALUE(CUDA_ERROR_LAUNCH_TIMEOUT, 702)                             \
  VALUE(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)                       \
  VALUE(CUDA_ERROR_ASSERT, 710)                                     \
  VALUE(CUDA_ERROR_HARDWARE_STACK_ERROR, 714)                       \
  VALUE(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715)                        \
  VALUE(CUDA_ERROR_MISALIGNED_ADDRESS, 716)                         \
  VALUE(CUDA_ERROR_INVALID_ADDRESS_SPACE, 717)                      \
  VALUE(CUDA_ERROR_INVALID_PC, 718)                                 \
  VALUE(CUDA_ERROR_LAUNCH_FAILED, 719)                              \
  VALUE(CUDA_ERROR_NOT_SUPPORTED, 801)                              \
  VALUE(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)                     \
  VALUE(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 804)             \
  VALUE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900)                 \
  VALUE(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901)                 \
  VALUE(CUDA_ERROR_UNKNOWN, 999)                                    \
  VALUE(CU_STREAM_NON_BLOCKING, 1)                                  \
  VALUE(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, 1)                     \
  VALUE(CU_EVENT_DEFAULT, 0)                                        \
  VALUE(CU_EVENT_BLOCKING_SYNC, 1)                                  \
  VALUE(CU_EVENT_DISABLE_TIMING, 2)                                 \
  VALUE(CU_MEMHOSTALLOC_PORTABLE, 1)                                \
  VALUE(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1)               \
  VALUE(CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 13)                         \
  VALUE(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16)               \
  VALUE(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 36)                  \
  VALUE(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 37)            \
  VALUE(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 38)                      \
  VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75)           \
  VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76)           \
  VALUE(CU_FUNC_ATTRIBUTE_NUM_REGS, 4)                              \
  VALUE(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8)         \
  VALUE(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, 4)                   \
  VALUE(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, 6)   \
  VALUE(CUDNN_STATUS_SUCCESS, 0)                                    \
  VALUE(CUDNN_STATUS_NOT_SUPPORTED, 3000)                           \
  VALUE(CUDNN_STATUS_INTERNAL_ERROR, 4000)                          \
  VALUE(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, 4003)   \
  VALUE(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, 4004) \
  VALUE(CUDNN_STATUS_EXECUTION_FAILED, 5000)                        \
  VALUE(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, 0)                      \
  VALUE(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, 1)                    \
  VALUE(CUDNN_BACKEND_ENGINE_DESCRIPTOR, 2)                         \
  VALUE(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, 3)                      \
  VALUE(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, 4)                     \
  VALUE(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, 5)                 \
  VALUE(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, 10) \
  VALUE(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, 13)           \
  VALUE(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, 15)                \
  VALUE(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, 16)                  \
  VALUE(CUDNN_BACKEND_TENSOR_DESCRIPTOR, 17)                        \
  VALUE(CUDNN_TYPE_HANDLE, 0)                                       \
  VALUE(CUDNN_TYPE_DATA_TYPE, 1)                                    \
  VALUE(CUDNN_TYPE_BOOLEAN, 2)                                      \
  VALUE(CUDNN_TYPE_INT64, 3)                                        \
  VALUE(CUDNN_TYPE_FLOAT, 4)                                        \
  VALUE(CUDNN_TYPE_VOID_PTR, 6)                                     \
  VALUE(CUDNN_TYPE_CONVOLUTION_MODE, 7)                             \
  VALUE(CUDNN_TYPE_HEUR_MODE, 8)                                    \
  VALUE(CUDNN_TYPE_NAN_PROPOGATION, 10)                             \
  VALUE(CUDNN_TYPE_NUMERICAL_NOTE, 11)                              \
  VALUE(CUDNN_TYPE_POINTWISE_MODE, 14)                              \
  VALUE(CUDNN_TYPE_BACKEND_DESCRIPTOR, 15)                          \
  VALUE(CUDNN_TYPE_BEHAVIOR_NOTE, 19)                               \
  VALUE(CUDNN_TYPE_CHAR, 24)                                        \
  VALUE(CUDNN_DATA_FLOAT, 0)                                        \
  VALUE(CUDNN_DATA_HALF, 2)                                         \
  VALUE(CUDNN_DATA_BFLOAT16, 9)                                     \
  VALUE(CUDNN_CROSS_CORRELATION, 1)                                 \
  VALUE(CUDNN_POINTWISE_ADD, 0)                                     \
  VALUE(CUDNN_POINTWISE_RELU_FWD, 100)                              \
  VALUE(CUDNN_PROPAGATE_NAN, 1)                                     \
  VALUE(CUDNN_HEUR_MODE_FALLBACK, 2)                                \
  VALUE(CUDNN_HEUR_MODE_A, 3)                                       \
  VALUE(CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 0)                        \
  VALUE(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, 1)                \
  VALUE(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, 2)        \
  VALUE(CUDNN_NUMERICAL_NOTE_FFT, 3)                                \
  VALUE(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, 4)                   \
  VALUE(CUDNN_NUMERICAL_NOTE_WINOGRAD, 5)                           \
  VALUE(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION, 0)                 \
  VALUE(CUDNN_ATTR_POINTWISE_MODE, 0)                               \
  VALUE(CUDNN_ATTR_POINTWISE_MATH_PREC, 1)                          \
  VALUE(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, 2)                    \
  VALUE(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, 100)                      \
  VALUE(CUDNN_ATTR_CONVOLUTION_CONV_MODE, 101)                      \
  VALUE(CUDNN_ATTR_CONVOLUTION_DILATIONS, 102)                      \
  VALUE(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 103)                 \
  VALUE(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 104)                  \
  VALUE(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 105)                   \
  VALUE(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 106)                   \
  VALUE(CUDNN_ATTR_ENGINEHEUR_MODE, 200)                            \
  VALUE(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 201)                 \
  VALUE(CUDNN_ATTR_ENGINEHEUR_RESULTS, 202)                         \
  VALUE(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, 204)                      \
  VALUE(CUDNN_ATTR_ENGINECFG_ENGINE, 300)                           \
  VALUE(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, 400)                      \
  VALUE(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 401)               \
  VALUE(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 402)              \
  VALUE(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, 405)         \
  VALUE(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, 407)                  \
  VALUE(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 700)        \
  VALUE(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 701)         \
  VALUE(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 702)    \
  VALUE(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 703)            \
  VALUE(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 704)            \
  VALUE(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 705)            \
  VALUE(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 750)          \
  VALUE(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 751)                  \
  VALUE(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 752)                  \
  VALUE(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 753)                  \
  VALUE(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, 800)                      \
  VALUE(CUDNN_ATTR_OPERATIONGRAPH_OPS, 801)                         \
  VALUE(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 900)                      \
  VALUE(CUDNN_ATTR_TENSOR_DATA_TYPE, 901)                           \
  VALUE(CUDNN_ATTR_TENSOR_DIMENSIONS, 902)                          \
  VALUE(CUDNN_ATTR_TENSOR_STRIDES, 903)                             \
  VALUE(CUDNN_ATTR_TENSOR_UNIQUE_ID, 906)                           \
  VALUE(CUDNN_ATTR_TENSOR_IS_VIRTUAL, 907)                          \
  VALUE(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 1000)                   \
  VALUE(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, 1001)                \
  VALUE(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, 1003)                    \
  VALUE(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1301)                       \
  VALUE(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, 1303)                     \
  VALUE(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, 1305)                      \
  VALUE(CUBLAS_STATUS_SUCCESS, 0)                                   \
  VALUE(CUBLAS_STATUS_ALLOC_FAILED, 3)                              \
  VALUE(CUBLAS_STATUS_EXECUTION_FAILED, 13)                         \
  VALUE(CUBLAS_STATUS_INTERNAL_ERROR, 14)                           \
  VALUE(CUBLAS_STATUS_NOT_SUPPORTED, 15)                            \
  VALUE(CUBLAS_COMPUTE_32F, 68)                                     \
  VALUE(CUBLAS_COMPUTE_32F_FAST_TF32, 77)                           \
  VALUE(CUBLAS_OP_N, 0)                                             \
  VALUE(CUBLAS_OP_T, 1)                                             \
  VALUE(CUDA_R_32F, 0)                                              \
  VALUE(CUDA_R_16F, 2)                                              \
  VALUE(CUDA_R_16BF, 14)                                            \
  VALUE(CUBLASLT_MATMUL_DESC_TRANSA, 3)                             \
  VALUE(CUBLASLT_MATMUL_DESC_TRANSB, 4)                             \
  VALUE(CUBLASLT_MATMUL_DESC_EPILOGUE, 7)                           \
  VALUE(CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8)                       \
  VALUE(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 26)                    \
  VALUE(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 1)                \
  VALUE(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 3)              \
  VALUE(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 2)                  \
  VALUE(CUBLASLT_EPILOGUE_DEFAULT, 1)                               \
  VALUE(CUBLASLT_EPILOGUE_RELU, 2)                                  \
  VALUE(CUBLASLT_EPILOGUE_BIAS, 4)                                  \
  VALUE(CUBLASLT_EPILOGUE_RELU_BIAS, 6)                             \
  VALUE(NVRTC_SUCCESS, 0)                                           \
  VALUE(NVRTC_ERROR_OUT_OF_MEMORY, 1)                               \
  VALUE(NVRTC_ERROR_COMPILATION, 6)

#ifndef VGG_NVIDIA_HEADERS
// NOLINTBEGIN(bugprone-macro-parentheses): names and types cannot be in parentheses.
// Their names are NVIDIA's, so that they can be looked up in NVIDIA's documents.
enum : int {  // NOLINT(performance-enum-size): values of many enums
#define VGG_VALUE(name, value) name = value,
  VGG_CUDA_VALUES(VGG_VALUE)
#undef VGG_VALUE
      CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR = 38,
  CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION = 2702,
};
#endif

/** libcuda.so.1, the driver: FUNCTION(result, name, (parameters)). */
#define VGG_CUDA_DRIVER(FUNCTION)                                                                \
  FUNCTION(CUresult, cuInit, (unsigned int flags))                                               \
  FUNCTION(CUresult, cuDriverGetVersion, (int* version))                                         \
  FUNCTION(CUresult, cuGetErrorName, (CUresult error, const char** name))                        \
  FUNCTION(CUresult, cuGetErrorString, (CUresult error, const char** text))                      \
  FUNCTION(CUresult, cuDeviceGetCount, (int* count))                                             \
  FUNCTION(CUresult, cuDeviceGet, (CUdevice * device, int ordinal))                              \
  FUNCTION(CUresult, cuDeviceGetName, (char* name, int length, CUdevice device))                 \
  FUNCTION(CUresult, cuDeviceGetPCIBusId, (char* id, int length, CUdevice device))               \
  FUNCTION(CUresult, cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                       \
  FUNCTION(CUresult, cuDeviceTotalMem_v2, (size_t* bytes, CUdevice device))                      \
  FUNCTION(CUresult, cuDeviceGetAttribute, (int* value, CUdevice_attribute, CUdevice device))    \
  FUNCTION(CUresult, cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))           \
  FUNCTION(CUresult, cuDevicePrimaryCtxRelease_v2, (CUdevice device))                            \
  FUNCTION(CUresult, cuCtxSetCurrent, (CUcontext context))                                       \
  FUNCTION(CUresult, cuCtxPushCurrent_v2, (CUcontext context))                                   \
  FUNCTION(CUresult, cuCtxPopCurrent_v2, (CUcontext * context))                                  \
  FUNCTION(CUresult, cuMemGetInfo_v2, (size_t* free, size_t* total))                             \
  FUNCTION(CUresult, cuMemAlloc_v2, (CUdeviceptr * pointer, size_t bytes))                       \
  FUNCTION(CUresult, cuMemFree_v2, (CUdeviceptr pointer))                                        \
  FUNCTION(CUresult, cuMemHostAlloc, (void** pointer, size_t bytes, unsigned int flags))         \
  FUNCTION(CUresult, cuMemFreeHost, (void* pointer))                                             \
  FUNCTION(CUresult, cuMemcpyHtoDAsync_v2,                                                       \
           (CUdeviceptr to, const void* from, size_t bytes, CUstream))                           \
  FUNCTION(CUresult, cuMemcpyDtoHAsync_v2, (void* to, CUdeviceptr from, size_t bytes, CUstream)) \
  FUNCTION(CUresult, cuMemcpyDtoDAsync_v2,                                                       \
           (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream))                           \
  FUNCTION(CUresult, cuMemsetD8Async,                                                            \
           (CUdeviceptr to, unsigned char value, size_t bytes, CUstream))                        \
  FUNCTION(CUresult, cuStreamCreate, (CUstream * stream, unsigned int flags))                    \
  FUNCTION(CUresult, cuStreamDestroy_v2, (CUstream stream))                                      \
  FUNCTION(CUresult, cuStreamSynchronize, (CUstream stream))                                     \
  FUNCTION(CUresult, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned int flags))    \
  FUNCTION(CUresult, cuStreamBeginCapture_v2, (CUstream stream, CUstreamCaptureMode mode))       \
  FUNCTION(CUresult, cuStreamEndCapture, (CUstream stream, CUgraph * graph))                     \
  FUNCTION(CUresult, cuEventCreate, (CUevent * event, unsigned int flags))                       \
  FUNCTION(CUresult, cuEventDestroy_v2, (CUevent event))                                         \
  FUNCTION(CUresult, cuEventRecord, (CUevent event, CUstream stream))                            \
  FUNCTION(CUresult, cuEventQuery, (CUevent event))                                              \
  FUNCTION(CUresult, cuEventSynchronize, (CUevent event))                                        \
  FUNCTION(CUresult, cuEventElapsedTime, (float* milliseconds, CUevent start, CUevent end))      \
  FUNCTION(CUresult, cuModuleLoadData, (CUmodule * module, const void* image))                   \
  FUNCTION(CUresult, cuModuleUnload, (CUmodule module))                                          \
  FUNCTION(CUresult, cuModuleGetFunction, (CUfunction * function, CUmodule, const char* name))   \
  FUNCTION(CUresult, cuFuncSetAttribute, (CUfunction function, CUfunction_attribute, int value)) \
  FUNCTION(CUresult, cuLaunchKernelEx,                                                           \
           (const CUlaunchConfig* config, CUfunction function, void** parameters, void** extra)) \
  FUNCTION(CUresult, cuGraphInstantiateWithFlags,                                                \
           (CUgraphExec * executable, CUgraph graph, unsigned long long flags))                  \
  FUNCTION(CUresult, cuGraphUpload, (CUgraphExec executable, CUstream stream))                   \
  FUNCTION(CUresult, cuGraphLaunch, (CUgraphExec executable, CUstream stream))                   \
  FUNCTION(CUresult, cuGraphExecDestroy, (CUgraphExec executable))                               \
  FUNCTION(CUresult, cuGraphDestroy, (CUgraph graph))

/** libcudnn.so.9, its graph API alone. */
#define VGG_CUDNN(FUNCTION)                                                                       \
  FUNCTION(size_t, cudnnGetVersion, ())                                                           \
  FUNCTION(size_t, cudnnGetCudartVersion, ())                                                     \
  FUNCTION(const char*, cudnnGetErrorString, (cudnnStatus_t status))                              \
  FUNCTION(void, cudnnGetLastErrorString, (char* message, size_t size))                           \
  FUNCTION(cudnnStatus_t, cudnnGraphVersionCheck, ())                                             \
  FUNCTION(cudnnStatus_t, cudnnCreate, (cudnnHandle_t * handle))                                  \
  FUNCTION(cudnnStatus_t, cudnnDestroy, (cudnnHandle_t handle))                                   \
  FUNCTION(cudnnStatus_t, cudnnSetStream, (cudnnHandle_t handle, cudaStream_t stream))            \
  FUNCTION(cudnnStatus_t, cudnnBackendCreateDescriptor,                                           \
           (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t * descriptor))            \
  FUNCTION(cudnnStatus_t, cudnnBackendDestroyDescriptor, (cudnnBackendDescriptor_t descriptor))   \
  FUNCTION(cudnnStatus_t, cudnnBackendSetAttribute,                                               \
           (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,                \
            cudnnBackendAttributeType_t type, int64_t count, const void* elements))               \
  FUNCTION(cudnnStatus_t, cudnnBackendGetAttribute,                                               \
           (cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,                \
            cudnnBackendAttributeType_t type, int64_t requested, int64_t* count, void* elements)) \
  FUNCTION(cudnnStatus_t, cudnnBackendFinalize, (cudnnBackendDescriptor_t descriptor))            \
  FUNCTION(cudnnStatus_t, cudnnBackendExecute,                                                    \
           (cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack))

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

/** libnvrtc.so.13 or .12. */
#define VGG_NVRTC(FUNCTION)                                                                \
  FUNCTION(nvrtcResult, nvrtcVersion, (int* major, int* minor))                            \
  FUNCTION(const char*, nvrtcGetErrorString, (nvrtcResult result))                         \
  FUNCTION(nvrtcResult, nvrtcGetNumSupportedArchs, (int* count))                           \
  FUNCTION(nvrtcResult, nvrtcGetSupportedArchs, (int* architectures))                      \
  FUNCTION(nvrtcResult, nvrtcCreateProgram,                                                \
           (nvrtcProgram * program, const char* source, const char* name, int headerCount, \
            const char* const* headers, const char* const* includeNames))                  \
  FUNCTION(nvrtcResult, nvrtcDestroyProgram, (nvrtcProgram * program))                     \
  FUNCTION(nvrtcResult, nvrtcCompileProgram,                                               \
           (nvrtcProgram program, int optionCount, const char* const* options))            \
  FUNCTION(nvrtcResult, nvrtcGetProgramLogSize, (nvrtcProgram program, size_t* bytes))     \
  FUNCTION(nvrtcResult, nvrtcGetProgramLog, (nvrtcProgram program, char* log))             \
  FUNCTION(nvrtcResult, nvrtcGetCUBINSize, (nvrtcProgram program, size_t* bytes))          \
  FUNCTION(nvrtcResult, nvrtcGetCUBIN, (nvrtcProgram program, char* cubin))                \
  FUNCTION(nvrtcResult, nvrtcGetPTXSize, (nvrtcProgram program, size_t* bytes))            \
  FUNCTION(nvrtcResult, nvrtcGetPTX, (nvrtcProgram program, char* ptx))

namespace vgg::cuda {

/** One pointer per function, all set once the libraries are loaded (library.h). */
struct Api {
#define VGG_POINTER(result, name, parameters) result(*name) parameters = nullptr;
  VGG_CUDA_DRIVER(VGG_POINTER)
  VGG_CUDNN(VGG_POINTER)
  VGG_CUBLASLT(VGG_POINTER)
  VGG_NVRTC(VGG_POINTER)
#undef VGG_POINTER
};

// NOLINTEND(bugprone-macro-parentheses)

}  // namespace vgg::cuda
