// Finalises cuDNN descriptors. Checks each against its own rules and its children's.
#include <cstdlib>
#include <set>

#include "cudnn/cudnn.h"

namespace fake {
namespace {

thread_local std::string refusal;

int dataType(const Descriptor& tensor) { return tensor.get<int>(CUDNN_ATTR_TENSOR_DATA_TYPE); }

int finalizeTensor(const Descriptor& d) {
  const int type = dataType(d);
  if (type != CUDNN_DATA_FLOAT && type != CUDNN_DATA_HALF && type != CUDNN_DATA_BFLOAT16)
    return refuse(kNotSupportedDataType, "tensor: data type " + std::to_string(type));
  for (size_t i = 0; i < 4; ++i)
    if (d.get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i) < 1 ||
        d.get<int64_t>(CUDNN_ATTR_TENSOR_STRIDES, i) < 1)
      return refuse(kBadParamOutOfBound, "tensor: dimensions and strides must be positive");
  const auto alignment = d.get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  if (alignment < 1 || (alignment & (alignment - 1)) != 0)
    return refuse(kBadParamOutOfBound, "tensor: alignment must be a power of two");
  if (d.has(kTensorIsByValue) && d.get<bool>(kTensorIsByValue))
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "tensor: values by value");
  return CUDNN_STATUS_SUCCESS;
}

int finalizeConvolution(const Descriptor& d) {
  if (d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2)
    return refuse(kBadParam, "convolution: two spatial dimensions");
  if (d.get<int>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "convolution: mode must be CROSS_CORRELATION");
  if (d.get<int>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT)
    return refuse(kNotSupportedDataType, "convolution: compute type must be FLOAT");
  for (size_t i = 0; i < 2; ++i)
    if (d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i) < 1 ||
        d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, i) < 1 ||
        d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i) < 0 ||
        d.get<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i) < 0)
      return refuse(kBadParamOutOfBound, "convolution: stride, dilation or padding out of range");
  return CUDNN_STATUS_SUCCESS;
}

int finalizeForward(const Descriptor& d) {
  if (d.get<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA) != 1 ||
      d.get<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA) != 0)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "convolution: alpha must be 1 and beta 0");
  const auto dim = [&](int tensor, size_t i) {
    return d.child(tensor)->get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i);
  };
  constexpr int kX = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X;
  constexpr int kW = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W;
  constexpr int kY = CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y;
  const Descriptor& c = *d.child(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  bool agrees = dim(kX, 1) == dim(kW, 1) && dim(kY, 0) == dim(kX, 0) && dim(kY, 1) == dim(kW, 0);
  for (size_t i = 0; i < 2; ++i) {
    const int64_t room =
        dim(kX, i + 2) + c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i) +
        c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i) -
        c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, i) * (dim(kW, i + 2) - 1) - 1;
    agrees = agrees && room >= 0 &&
             dim(kY, i + 2) == room / c.get<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i) + 1;
  }
  if (!agrees) return refuse(kBadParamShapeMismatch, "convolution: shapes of x, w and y");
  return CUDNN_STATUS_SUCCESS;
}

int finalizePointwise(const Descriptor& d) {
  const int mode = d.get<int>(CUDNN_ATTR_POINTWISE_MODE);
  if (mode != CUDNN_POINTWISE_ADD && mode != CUDNN_POINTWISE_RELU_FWD)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "pointwise: mode " + std::to_string(mode));
  if (d.get<int>(CUDNN_ATTR_POINTWISE_MATH_PREC) != CUDNN_DATA_FLOAT)
    return refuse(kNotSupportedDataType, "pointwise: math precision must be FLOAT");
  return CUDNN_STATUS_SUCCESS;
}

int finalizePointwiseOperation(const Descriptor& d) {
  const bool binary =
      d.child(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR)->get<int>(CUDNN_ATTR_POINTWISE_MODE) ==
      CUDNN_POINTWISE_ADD;
  if (binary != d.has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC))
    return refuse(kBadParam, "pointwise: ADD needs B, RELU_FWD takes no B");
  for (const int alpha : {kPointwiseAlpha1, kPointwiseAlpha2})
    if (d.has(alpha) && d.get<float>(alpha) != 1)
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, "pointwise: alpha must be 1");
  for (size_t i = 0; i < 4; ++i) {
    const auto dim = [&](int tensor) {
      return d.child(tensor)->get<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i);
    };
    const int64_t y = dim(CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    if (dim(CUDNN_ATTR_OPERATION_POINTWISE_XDESC) != y)
      return refuse(kBadParamShapeMismatch, "pointwise: only B may be broadcast");
    if (!binary) continue;
    const int64_t b = dim(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    if (b != y && b != 1) return refuse(kBadParamShapeMismatch, "pointwise: shape of B");
  }
  return CUDNN_STATUS_SUCCESS;
}

int capabilityFor(const Descriptor& d, int deviceProp, const Descriptor& graph, int* capability) {
  if (d.has(deviceProp)) {
    *capability = d.child(deviceProp)->capability;
    return CUDNN_STATUS_SUCCESS;
  }
  if (!graph.handle)
    return refuse(kBadParamNullPointer, "neither a handle in the graph nor DEVICEPROP");
  *capability = deviceCapability();
  return CUDNN_STATUS_SUCCESS;
}

int finalizeHeuristic(Descriptor& d) {
  const Descriptor& graph = *d.child(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  if (const int status = capabilityFor(d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, graph, &d.capability))
    return status;
  const int mode = d.get<int>(CUDNN_ATTR_ENGINEHEUR_MODE);
  if (mode < 0 || mode > CUDNN_HEUR_MODE_A) return refuse(kBadParam, "heuristic: mode");
  d.graph = graph.graph;
  std::string why;
  const int status = findEngines(d.graph, mode, d.capability, &d.results, &why);
  return status == CUDNN_STATUS_SUCCESS ? status : refuse(status, "heuristic: " + why);
}

int finalizeEngine(Descriptor& d) {
  const Descriptor& graph = *d.child(kEngineOperationGraph);
  if (const int status = capabilityFor(d, kEngineDeviceProp, graph, &d.capability)) return status;
  d.graph = graph.graph;
  const auto engine =
      engineById(d.graph, d.capability, d.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  if (!engine) return refuse(kBadParamOutOfBound, "engine: no such global index for the graph");
  d.engine = *engine;
  return CUDNN_STATUS_SUCCESS;
}

int finalizePack(const Descriptor& d) {
  const size_t ids = d.count(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 8);
  if (ids != d.count(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, 8))
    return refuse(kBadParam, "variant pack: the counts of pointers and ids differ");
  std::set<int64_t> seen;
  for (size_t i = 0; i < ids; ++i)
    if (!seen.insert(d.get<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i)).second)
      return refuse(kBadParamDuplicated, "variant pack: a duplicate id");
  return CUDNN_STATUS_SUCCESS;
}

int finalizeDeviceProp(Descriptor& d) {
  const auto& bytes = d.values.at(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION).bytes;
  const std::string text(bytes.begin(), bytes.end());
  for (const char* key : {"\"deviceVer\"", "\"multiProcessorCount\"", "\"driverVer\"",
                          "\"maxSharedMemoryPerBlockOptin\"", "\"totalGlobalMem\""})
    if (text.find(key) == std::string::npos)
      return refuse(kBadParam, std::string("DEVICEPROP: the JSON has no ") + key);
  const size_t at = text.find(':', text.find("\"deviceVer\""));
  if (at == std::string::npos) return refuse(kBadParam, "DEVICEPROP: broken JSON");
  d.capability = std::atoi(text.c_str() + at + 1) / 10;  // 900 means 9.0
  if (d.capability < 50) return refuse(kBadParam, "DEVICEPROP: deviceVer");
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

int refuse(int status, const std::string& text) {
  refusal = text + " (" + std::to_string(status) + ")";
  return status;
}
const std::string& lastRefusal() { return refusal; }

bool Descriptor::lostChild() const {
  for (const auto& [attribute, value] : values)
    for (const auto& child : value.children)
      if (child->destroyed || child->lostChild()) return true;
  return false;
}

int finalizeDescriptor(Descriptor& d) {
  for (const Attribute& each : allAttributes())
    if (each.descriptor == d.type && each.use == Attribute::kRequired && !d.has(each.attribute))
      return refuse(kBadParam, "finalize: attribute " + std::to_string(each.attribute) +
                                   " of descriptor type " + std::to_string(d.type) + " is not set");
  for (const auto& [attribute, value] : d.values)
    for (const auto& child : value.children)
      if (child->destroyed || !child->finalized)
        return refuse(kBadParamNotFinalized, "finalize: the descriptor in attribute " +
                                                 std::to_string(attribute) +
                                                 " is not finalised or destroyed");
  switch (d.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return finalizeTensor(d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return finalizeConvolution(d);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return finalizeForward(d);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
      return finalizePointwise(d);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return finalizePointwiseOperation(d);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return finalizeOperationGraph(d);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      return finalizeHeuristic(d);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
      return finalizeEngine(d);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: {
      const Descriptor& engine = *d.child(CUDNN_ATTR_ENGINECFG_ENGINE);
      d.graph = engine.graph;
      d.engine = engine.engine;
      d.capability = engine.capability;
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return finalizePlan(d);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      return finalizePack(d);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
      return finalizeDeviceProp(d);
    default:
      return refuse(kBadParamDescriptorType, "finalize: descriptor type");
  }
}

}  // namespace fake
