// cuDNN's exported functions for descriptors: creating, setting, finalising and reading them.
#include <cstring>

#include "cudnn/cudnn.h"
#include "memory.h"
#include "stream.h"

using namespace fake;

namespace {

bool isChildAllowed(int attribute, int type) {
  switch (attribute) {
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC:
      return type == CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
    case CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR:
      return type == CUDNN_BACKEND_POINTWISE_DESCRIPTOR;
    case CUDNN_ATTR_OPERATIONGRAPH_OPS:
      return type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ||
             type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR;
    case CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH:
    case kEngineOperationGraph:
      return type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
    case CUDNN_ATTR_ENGINEHEUR_DEVICEPROP:
    case CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP:
    case kEngineDeviceProp:
      return type == CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;
    case CUDNN_ATTR_ENGINECFG_ENGINE:
      return type == CUDNN_BACKEND_ENGINE_DESCRIPTOR;
    case CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG:
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
      return type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
    default:
      return type == CUDNN_BACKEND_TENSOR_DESCRIPTOR;
  }
}

// Finds the attribute's row, or refuses a wrong name or type.
int checkAttribute(const Descriptor& descriptor, int name, int type, const Attribute** row) {
  *row = findAttribute(descriptor.type, name);
  const std::string what = "attribute " + std::to_string(name) + " of descriptor type " +
                           std::to_string(descriptor.type);
  if (!*row) {
    for (const Attribute& each : allAttributes())
      if (each.attribute == name) return refuse(kBadParam, what + ": belongs to another");
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, what + ": unknown");
  }
  if ((*row)->type != type)
    return refuse(kBadParamAttributeType, what + ": Expected type " + std::to_string((*row)->type) +
                                              " but received " + std::to_string(type));
  return CUDNN_STATUS_SUCCESS;
}

// Copies at most `requested` values and always returns how many there are.
template <class T>
int give(const std::vector<T>& values, int64_t requested, int64_t* count, void* elements) {
  if (count) *count = static_cast<int64_t>(values.size());
  const size_t copied = std::min(values.size(), static_cast<size_t>(requested));
  if (copied > 0 && !elements) return refuse(kBadParamNullPointer, "get: null elements");
  if (copied > 0) std::memcpy(elements, values.data(), copied * sizeof(T));
  return CUDNN_STATUS_SUCCESS;
}

// Fills a descriptor that the caller made.
int giveDescriptor(const Descriptor& from, const Engine& engine, cudnnBackendDescriptor_t handle,
                   int attribute) {
  const auto to = find<Descriptor>(handle, "cudnnBackendGetAttribute");
  if (!to) return refuse(kBadParam, "get: Expected descriptors made by the caller");
  if (!isChildAllowed(attribute, to->type))
    return refuse(kBadParamDescriptorType, "get: a descriptor of another type");
  const std::lock_guard lock(to->mutex);
  if (to->finalized) return refuse(kBadParam, "get: a descriptor that is finalised already");
  to->graph = from.graph;
  to->engine = engine;
  to->capability = from.capability;
  to->handle = from.handle;
  to->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* result) {
  if (const int64_t kind = countCall()) return cudnnFault(kind);
  if (!result) return refuse(kBadParamNullPointer, "create: null");
  for (const Attribute& each : allAttributes())
    if (each.descriptor == type) {
      *result = publish(std::make_shared<Descriptor>(type));
      return CUDNN_STATUS_SUCCESS;
    }
  return refuse(CUDNN_STATUS_NOT_SUPPORTED,
                "create: descriptor type " + std::to_string(type) + " is unknown to the fake");
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t handle) {
  countFreeingCall();
  return retire<Descriptor>(handle, "cudnnBackendDestroyDescriptor")
             ? CUDNN_STATUS_SUCCESS
             : refuse(kBadParam, "destroy: not alive");
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t handle,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void* elements) {
  if (const int64_t kind = countCall()) return cudnnFault(kind);
  const auto descriptor = find<Descriptor>(handle, "cudnnBackendSetAttribute");
  if (!descriptor) return refuse(kBadParam, "set: the descriptor is not alive");
  const std::lock_guard lock(descriptor->mutex);
  if (descriptor->finalized) return refuse(kBadParam, "set: the descriptor is finalised");
  const Attribute* row = nullptr;
  if (const int status = checkAttribute(*descriptor, name, type, &row)) return status;
  const std::string what = "set: attribute " + std::to_string(name);
  if (row->use == Attribute::kReadOnly) return refuse(kBadParam, what + " is for reading");
  if (count < row->minimum || count > row->maximum)
    return refuse(kBadParam, what + ": " + std::to_string(count) + " elements");
  if (!elements) return refuse(kBadParamNullPointer, what + ": null");
  Descriptor::Value value;
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < count; ++i) {
      const auto child = find<Descriptor>(static_cast<const cudnnBackendDescriptor_t*>(elements)[i],
                                          "cudnnBackendSetAttribute");
      if (!child) return refuse(kBadParam, what + ": a descriptor that is not alive");
      if (!isChildAllowed(name, child->type))
        return refuse(kBadParamDescriptorType, what + ": a descriptor of another type");
      if (!child->finalized)
        return refuse(kBadParamNotFinalized, what + ": a descriptor that is not finalised");
      value.children.push_back(child);
    }
  } else {
    const auto* bytes = static_cast<const unsigned char*>(elements);
    value.bytes.assign(bytes, bytes + count * sizeOfAttributeType(type));
    if (type == CUDNN_TYPE_BOOLEAN && value.bytes[0] > 1)
      return refuse(kBadParam, what + ": a BOOLEAN is one byte, 0 or 1");
  }
  descriptor->values[name] = std::move(value);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t handle,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t requested,
                                       int64_t* count, void* elements) {
  if (const int64_t kind = countCall()) return cudnnFault(kind);
  const auto descriptor = find<Descriptor>(handle, "cudnnBackendGetAttribute");
  if (!descriptor) return refuse(kBadParam, "get: the descriptor is not alive");
  const std::lock_guard lock(descriptor->mutex);
  if (!descriptor->finalized)
    return refuse(kBadParamNotFinalized, "get: the descriptor is not finalised");
  const Attribute* row = nullptr;
  if (const int status = checkAttribute(*descriptor, name, type, &row)) return status;
  if (requested < 0) return refuse(kBadParam, "get: a negative count");
  const Engine& engine = descriptor->engine;
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: {
      const auto& results = descriptor->results;
      if (count) *count = static_cast<int64_t>(results.size());
      if (requested > 0 && !elements) return refuse(kBadParamNullPointer, "get: null elements");
      const size_t given = std::min(results.size(), static_cast<size_t>(requested));
      for (size_t i = 0; i < given; ++i)
        if (const int status = giveDescriptor(
                *descriptor, results[i], static_cast<cudnnBackendDescriptor_t*>(elements)[i], name))
          return status;
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_ATTR_ENGINECFG_ENGINE:
      if (count) *count = 1;
      if (requested < 1) return CUDNN_STATUS_SUCCESS;
      if (!elements) return refuse(kBadParamNullPointer, "get: null elements");
      return giveDescriptor(*descriptor, engine, *static_cast<cudnnBackendDescriptor_t*>(elements),
                            name);
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
      return give(std::vector{engine.id}, requested, count, elements);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
      return give(engine.numericalNotes, requested, count, elements);
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
      return give(engine.behaviorNotes, requested, count, elements);
    case kEngineConfigWorkspaceSize:
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      return give(std::vector{engine.workspaceBytes}, requested, count, elements);
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION:
      return give(std::vector<char>(descriptor->json.begin(), descriptor->json.end()), requested,
                  count, elements);
    default:
      break;
  }
  if (row->type == CUDNN_TYPE_BACKEND_DESCRIPTOR || !descriptor->has(name))
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "get: attribute " + std::to_string(name));
  const auto& bytes = descriptor->values.at(name).bytes;
  const size_t size = sizeOfAttributeType(type);
  if (count) *count = static_cast<int64_t>(bytes.size() / size);
  const size_t copied = std::min(bytes.size(), static_cast<size_t>(requested) * size);
  if (copied > 0 && !elements) return refuse(kBadParamNullPointer, "get: null elements");
  if (copied > 0) std::memcpy(elements, bytes.data(), copied);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle) {
  const UnderWay call;
  if (const int64_t kind = countCall()) return cudnnFault(kind);
  const auto descriptor = find<Descriptor>(handle, "cudnnBackendFinalize");
  if (!descriptor) return refuse(kBadParam, "finalize: the descriptor is not alive");
  const std::lock_guard lock(descriptor->mutex);
  if (descriptor->finalized) return refuse(kBadParam, "finalize: finalised already");
  // A capturing thread may not compile or load modules.
  if (descriptor->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && forbidWhileCapturing())
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "finalize of a plan while capturing");
  if (descriptor->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR ||
      descriptor->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
    makeStatics();
  const int status = finalizeDescriptor(*descriptor);
  if (status == CUDNN_STATUS_SUCCESS) descriptor->finalized = true;
  return status;
}
