// Lists the types, values and functions of the CUDA driver that are called (api.h).
#pragma once

#include <cstddef>

#ifdef VGG_NVIDIA_HEADERS
#include <cuda.h>
#else
// C enums are passed as int.
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
using cudaStream_t = CUstream;
#endif

/** Values of its enums: VALUE(name, value). */
#define VGG_CUDA_DRIVER_VALUES(VALUE)                       \
  VALUE(CUDA_SUCCESS, 0)                                    \
  VALUE(CUDA_ERROR_INVALID_VALUE, 1)                        \
  VALUE(CUDA_ERROR_OUT_OF_MEMORY, 2)                        \
  VALUE(CUDA_ERROR_NOT_INITIALIZED, 3)                      \
  VALUE(CUDA_ERROR_DEINITIALIZED, 4)                        \
  VALUE(CUDA_ERROR_STUB_LIBRARY, 34)                        \
  VALUE(CUDA_ERROR_DEVICE_UNAVAILABLE, 46)                  \
  VALUE(CUDA_ERROR_NO_DEVICE, 100)                          \
  VALUE(CUDA_ERROR_INVALID_DEVICE, 101)                     \
  VALUE(CUDA_ERROR_INVALID_IMAGE, 200)                      \
  VALUE(CUDA_ERROR_INVALID_CONTEXT, 201)                    \
  VALUE(CUDA_ERROR_NO_BINARY_FOR_GPU, 209)                  \
  VALUE(CUDA_ERROR_ECC_UNCORRECTABLE, 214)                  \
  VALUE(CUDA_ERROR_INVALID_PTX, 218)                        \
  VALUE(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222)            \
  VALUE(CUDA_ERROR_INVALID_HANDLE, 400)                     \
  VALUE(CUDA_ERROR_NOT_FOUND, 500)                          \
  VALUE(CUDA_ERROR_NOT_READY, 600)                          \
  VALUE(CUDA_ERROR_ILLEGAL_ADDRESS, 700)                    \
  VALUE(CUDA_ERROR_LAUNCH_TIMEOUT, 702)                     \
  VALUE(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)               \
  VALUE(CUDA_ERROR_ASSERT, 710)                             \
  VALUE(CUDA_ERROR_HARDWARE_STACK_ERROR, 714)               \
  VALUE(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715)                \
  VALUE(CUDA_ERROR_MISALIGNED_ADDRESS, 716)                 \
  VALUE(CUDA_ERROR_INVALID_ADDRESS_SPACE, 717)              \
  VALUE(CUDA_ERROR_INVALID_PC, 718)                         \
  VALUE(CUDA_ERROR_LAUNCH_FAILED, 719)                      \
  VALUE(CUDA_ERROR_NOT_SUPPORTED, 801)                      \
  VALUE(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)             \
  VALUE(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 804)     \
  VALUE(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900)         \
  VALUE(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901)         \
  VALUE(CUDA_ERROR_UNKNOWN, 999)                            \
  VALUE(CU_STREAM_NON_BLOCKING, 1)                          \
  VALUE(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, 1)             \
  VALUE(CU_EVENT_DEFAULT, 0)                                \
  VALUE(CU_EVENT_BLOCKING_SYNC, 1)                          \
  VALUE(CU_EVENT_DISABLE_TIMING, 2)                         \
  VALUE(CU_MEMHOSTALLOC_PORTABLE, 1)                        \
  VALUE(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1)       \
  VALUE(CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 13)                 \
  VALUE(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16)       \
  VALUE(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 36)          \
  VALUE(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 37)    \
  VALUE(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 38)              \
  VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75)   \
  VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76)   \
  VALUE(CU_FUNC_ATTRIBUTE_NUM_REGS, 4)                      \
  VALUE(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8) \
  VALUE(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, 4)           \
  VALUE(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, 6)

// NOLINTBEGIN(bugprone-macro-parentheses): names and types cannot be in parentheses.
#ifndef VGG_NVIDIA_HEADERS
// Their names are NVIDIA's, so that they can be looked up in NVIDIA's documents.
enum : int {  // NOLINT(performance-enum-size): values of many enums
#define VGG_VALUE(name, value) name = value,
  VGG_CUDA_DRIVER_VALUES(VGG_VALUE)
#undef VGG_VALUE
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
// NOLINTEND(bugprone-macro-parentheses)
