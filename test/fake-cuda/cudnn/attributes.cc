// The attributes of each cuDNN descriptor, with their types and counts
// (docs of cudnnBackendSetAttribute and cudnn-frontend's builders).
#include "cudnn/cudnn.h"

namespace fake {

std::span<const Attribute> allAttributes() {
  constexpr auto kRequired = Attribute::kRequired;
  constexpr auto kOptional = Attribute::kOptional;
  constexpr auto kReadOnly = Attribute::kReadOnly;
  constexpr int kTensor = CUDNN_BACKEND_TENSOR_DESCRIPTOR;
  constexpr int kConvolution = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
  constexpr int kForward = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  constexpr int kPointwise = CUDNN_BACKEND_POINTWISE_DESCRIPTOR;
  constexpr int kPointwiseOperation = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
  constexpr int kGraph = CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
  constexpr int kHeuristic = CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
  constexpr int kEngine = CUDNN_BACKEND_ENGINE_DESCRIPTOR;
  constexpr int kConfig = CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
  constexpr int kPlan = CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
  constexpr int kPack = CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR;
  constexpr int kDeviceProp = CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;
  constexpr int kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;
  constexpr int64_t kText = 1 << 20;
  static constexpr Attribute all[] = {
      {kTensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, 1, kRequired},
      {kTensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1, kRequired},
      {kTensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, 4, kRequired},
      {kTensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, 4, kRequired},
      {kTensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, 1, kRequired},
      {kTensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, 1, kOptional},
      {kTensor, kTensorIsByValue, CUDNN_TYPE_BOOLEAN, 1, 1, kOptional},

      {kConvolution, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 1, kRequired},
      {kConvolution, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, 1,
       kRequired},
      {kConvolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, 1, kRequired},
      {kConvolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, 2, kRequired},
      {kConvolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, 2, kRequired},
      {kConvolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, 2, kRequired},
      {kConvolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, 2, kRequired},

      {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, 1, kRequired},
      {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, 1, kRequired},
      {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, kDescriptor, 1, 1, kRequired},
      {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, kDescriptor, 1, 1, kRequired},
      {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, kDescriptor, 1, 1, kRequired},
      {kForward, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, kDescriptor, 1, 1, kRequired},

      {kPointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, 1, kRequired},
      {kPointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, 1, kRequired},
      {kPointwise, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, 1,
       kOptional},

      {kPointwiseOperation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kDescriptor, 1, 1,
       kRequired},
      {kPointwiseOperation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, kDescriptor, 1, 1, kRequired},
      {kPointwiseOperation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, kDescriptor, 1, 1, kOptional},
      {kPointwiseOperation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, kDescriptor, 1, 1, kRequired},
      {kPointwiseOperation, kPointwiseAlpha1, CUDNN_TYPE_FLOAT, 1, 1, kOptional},
      {kPointwiseOperation, kPointwiseAlpha2, CUDNN_TYPE_FLOAT, 1, 1, kOptional},

      {kGraph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, kOptional},
      {kGraph, CUDNN_ATTR_OPERATIONGRAPH_OPS, kDescriptor, 1, 16, kRequired},

      {kHeuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, 1, kRequired},
      {kHeuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, kDescriptor, 1, 1, kRequired},
      {kHeuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, kDescriptor, 1, 1, kOptional},
      {kHeuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, kDescriptor, 0, 1024, kReadOnly},

      {kEngine, kEngineOperationGraph, kDescriptor, 1, 1, kRequired},
      {kEngine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, 1, kRequired},
      {kEngine, kEngineDeviceProp, kDescriptor, 1, 1, kOptional},
      {kEngine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, 0, 64, kReadOnly},
      {kEngine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, 0, 64, kReadOnly},

      {kConfig, CUDNN_ATTR_ENGINECFG_ENGINE, kDescriptor, 1, 1, kRequired},
      {kConfig, kEngineConfigWorkspaceSize, CUDNN_TYPE_INT64, 1, 1, kReadOnly},

      {kPlan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, 1, kOptional},
      {kPlan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, kDescriptor, 1, 1, kOptional},
      {kPlan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, kDescriptor, 1, 1, kOptional},
      {kPlan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 1, kText, kOptional},
      {kPlan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, 1, kReadOnly},

      {kPack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 1, 64, kRequired},
      {kPack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 1, 64, kRequired},
      {kPack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, 1, kOptional},

      {kDeviceProp, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 1, kText,
       kRequired},
  };
  return all;
}

const Attribute* findAttribute(int descriptor, int attribute) {
  for (const Attribute& each : allAttributes())
    if (each.descriptor == descriptor && each.attribute == attribute) return &each;
  return nullptr;
}

size_t sizeOfAttributeType(int type) {
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    default:
      return 4;  // C enums and float
  }
}

}  // namespace fake
