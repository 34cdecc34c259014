// Lists the types, values and functions of cuDNN that are called (api.h): its graph API alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/nvidia/driver_api.h"

#ifdef VGG_NVIDIA_HEADERS
#include <cudnn.h>
#else
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
#endif

/** Values of its enums: VALUE(name, value). */
#define VGG_CUDNN_VALUES(VALUE)                                     \
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
  VALUE(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, 1305)

// NOLINTBEGIN(bugprone-macro-parentheses): names and types cannot be in parentheses.
#ifndef VGG_NVIDIA_HEADERS
// Their names are NVIDIA's, so that they can be looked up in NVIDIA's documents.
enum : int {  // NOLINT(performance-enum-size): values of many enums
#define VGG_VALUE(name, value) name = value,
  VGG_CUDNN_VALUES(VGG_VALUE)
#undef VGG_VALUE
      CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR = 38,
  CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION = 2702,
};
#endif

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
// NOLINTEND(bugprone-macro-parentheses)
