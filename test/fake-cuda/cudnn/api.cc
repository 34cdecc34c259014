// cuDNN's exported functions: handles, descriptors' attributes, execution.
#include <cstdlib>
#include <cstring>
#include <set>

#include "cudnn/cudnn.h"
#include "memory.h"
#include "stream.h"

using namespace fake;

namespace {

int fault(int64_t kind, int device = -1) {
  switch (kind) {
    case kFakeCudaOutOfMemory:
      return refuse(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, "as the test asked");
    case kFakeCudaNotSupported:
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, "as the test asked");
    case kFakeCudaInternalError:
      return refuse(CUDNN_STATUS_INTERNAL_ERROR, "as the test asked");
    default:
      if (Context* context = device >= 0        ? contextOf(device)
                             : currentContext() ? currentContext()
                                                : contextOf(0))
        context->loseAsAsked(kind);
      return refuse(CUDNN_STATUS_EXECUTION_FAILED, "as the test asked");
  }
}

std::shared_ptr<Descriptor> findDescriptor(cudnnBackendDescriptor_t handle, const char* caller) {
  return find<Descriptor>(handle, caller);
}

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

// The attribute's row, or why it cannot be set or read so.
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

// Copies at most `requested` values and always says how many there are.
template <class T>
int give(const std::vector<T>& values, int64_t requested, int64_t* count, void* elements) {
  if (count) *count = static_cast<int64_t>(values.size());
  const size_t copied = std::min(values.size(), static_cast<size_t>(requested));
  if (copied > 0 && !elements) return refuse(kBadParamNullPointer, "get: no room given");
  if (copied > 0) std::memcpy(elements, values.data(), copied * sizeof(T));
  return CUDNN_STATUS_SUCCESS;
}

// Fills descriptors that the caller made.
int giveDescriptor(const Descriptor& from, const Engine& engine, cudnnBackendDescriptor_t handle,
                   int attribute) {
  const auto to = findDescriptor(handle, "cudnnBackendGetAttribute");
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

size_t cudnnGetVersion() { return static_cast<size_t>(cudnnVersion()); }
size_t cudnnGetCudartVersion() {
  const char* text = std::getenv("FAKE_CUDNN_CUDART");
  return text && *text ? static_cast<size_t>(std::atoi(text)) : 13000;
}

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_INTERNAL_ERROR:
      return "CUDNN_STATUS_INTERNAL_ERROR";
    case CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED:
      return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    case kCudnnNotInitialized:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case kCudnnSerializationVersionMismatch:
      return "CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH";
    case kNotSupportedArchMismatch:
      return "CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH";
    default:
      return status / 1000 == 2   ? "CUDNN_STATUS_BAD_PARAM"
             : status / 1000 == 3 ? "CUDNN_STATUS_NOT_SUPPORTED"
                                  : "CUDNN_STATUS of the fake";
  }
}

void cudnnGetLastErrorString(char* message, size_t size) {
  if (!message || size == 0) return;
  const std::string& text = lastRefusal();
  const size_t copied = std::min(text.size(), size - 1);
  std::memcpy(message, text.data(), copied);
  message[copied] = 0;
}

cudnnStatus_t cudnnGraphVersionCheck() {
  if (const int64_t kind = countCall()) return fault(kind);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* result) {
  if (const int64_t kind = countCall()) return fault(kind);
  if (!result) return refuse(kBadParamNullPointer, "cudnnCreate: null");
  const Context* context = currentContext();
  if (!context || context->retained == 0)
    return refuse(kCudnnNotInitialized, "cudnnCreate: no current context");
  if (context->lost) return refuse(CUDNN_STATUS_EXECUTION_FAILED, "the device is lost");
  if (forbidWhileCapturing())
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "cudnnCreate: the thread is capturing");
  *result = publish(std::make_shared<CudnnHandle>(context->device));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  countFreeingCall();
  const auto object = retire<CudnnHandle>(handle, "cudnnDestroy");
  if (!object) return refuse(kBadParam, "cudnnDestroy: not alive");
  if (object->users > 0) misuse("cudnnDestroy: another thread is using the handle");
  if (contextOf(object->device)->lost)
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "the device is lost");
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t streamHandle) {
  const auto object = find<CudnnHandle>(handle, "cudnnSetStream");
  if (const int64_t kind = countCall()) return fault(kind, object ? object->device : -1);
  if (!object) return refuse(kBadParam, "cudnnSetStream: the handle is not alive");
  if (contextOf(object->device)->lost)
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "the device is lost");
  std::shared_ptr<Stream> stream;
  if (findStream(streamHandle, "cudnnSetStream", &stream) || stream->device != object->device)
    return refuse(kBadParam, "cudnnSetStream: the stream");
  const std::lock_guard lock(object->mutex);
  object->stream = streamHandle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* result) {
  if (const int64_t kind = countCall()) return fault(kind);
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
  if (const int64_t kind = countCall()) return fault(kind);
  const auto descriptor = findDescriptor(handle, "cudnnBackendSetAttribute");
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
      const auto child = findDescriptor(static_cast<const cudnnBackendDescriptor_t*>(elements)[i],
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
  if (const int64_t kind = countCall()) return fault(kind);
  const auto descriptor = findDescriptor(handle, "cudnnBackendGetAttribute");
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
      if (requested > 0 && !elements) return refuse(kBadParamNullPointer, "get: no room given");
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
      if (!elements) return refuse(kBadParamNullPointer, "get: no room given");
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
  if (copied > 0 && !elements) return refuse(kBadParamNullPointer, "get: no room given");
  if (copied > 0) std::memcpy(elements, bytes.data(), copied);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t handle) {
  const UnderWay call;
  if (const int64_t kind = countCall()) return fault(kind);
  const auto descriptor = findDescriptor(handle, "cudnnBackendFinalize");
  if (!descriptor) return refuse(kBadParam, "finalize: the descriptor is not alive");
  const std::lock_guard lock(descriptor->mutex);
  if (descriptor->finalized) return refuse(kBadParam, "finalize: finalised already");
  // Compiling and loading modules is nothing for a thread that captures.
  if (descriptor->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && forbidWhileCapturing())
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "finalize of a plan while capturing");
  if (descriptor->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR ||
      descriptor->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
    makeStatics();
  const int status = finalizeDescriptor(*descriptor);
  if (status == CUDNN_STATUS_SUCCESS) descriptor->finalized = true;
  return status;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t planHandle,
                                  cudnnBackendDescriptor_t packHandle) {
  const auto object = find<CudnnHandle>(handle, "cudnnBackendExecute");
  if (const int64_t kind = countCall()) return fault(kind, object ? object->device : -1);
  const auto plan = findDescriptor(planHandle, "cudnnBackendExecute");
  const auto pack = findDescriptor(packHandle, "cudnnBackendExecute");
  if (!object || !plan || !pack) return refuse(kBadParam, "execute: something is not alive");
  if (contextOf(object->device)->lost)
    return refuse(CUDNN_STATUS_EXECUTION_FAILED, "the device is lost");
  if (const Context* current = currentContext(); !current || current->device != object->device)
    return refuse(kExecutionFailedDriver, "execute: the handle's context is not current");
  if (object->users++ > 0) misuse("cudnnBackendExecute: two threads use one handle at a time");
  struct Leave {
    CudnnHandle& handle;
    ~Leave() { --handle.users; }
  } leave{*object};

  if (plan->type != CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR ||
      pack->type != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
    return refuse(kBadParamDescriptorType, "execute: Expected a plan and a variant pack");
  if (!plan->finalized || !pack->finalized)
    return refuse(kBadParamNotFinalized, "execute: not finalised");
  if (plan->handle && plan->handle != handle)
    return refuse(kBadParam, "execute: the plan was made with another handle");
  if (plan->capability != deviceCapability())
    return refuse(kNotSupportedArchMismatch, "execute: the plan is for another GPU");
  if (plan->lostChild())
    misuse("cudnnBackendExecute: a descriptor that the plan was made from is destroyed");

  const ConvolutionGraph& graph = plan->graph;
  const Engine& engine = plan->engine;
  std::map<int64_t, void*> pointers;
  const size_t given = pack->count(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, 8);
  for (size_t i = 0; i < given; ++i) {
    auto* pointer = pack->get<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i);
    if (!pointer) return refuse(kBadParamNullPointer, "execute: a null data pointer");
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0)
      return refuse(kBadParamMisaligned, "execute: a data pointer not aligned to 16 bytes");
    pointers.emplace(pack->get<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i), pointer);
  }
  const auto wanted = graph.ids();
  bool same = pointers.size() == wanted.size();
  for (const int64_t id : wanted) same = same && pointers.contains(id);
  if (!same) return refuse(kBadParam, "execute: the pack's ids are not the graph's");
  void* workspace = pack->has(CUDNN_ATTR_VARIANT_PACK_WORKSPACE)
                        ? pack->get<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE)
                        : nullptr;
  if (engine.workspaceBytes > 0 && !workspace)
    return refuse(kBadParamNullPointer, "execute: the plan needs a workspace");

  CUstream streamHandle = nullptr;
  {
    const std::lock_guard lock(object->mutex);
    streamHandle = object->stream;
  }
  std::shared_ptr<Stream> stream;
  if (findStream(streamHandle, "cudnnBackendExecute", &stream))
    return refuse(kBadParam, "execute: the handle's stream");
  if (engine.executeStatus != CUDNN_STATUS_SUCCESS)
    return refuse(engine.executeStatus, "execute: this engine always fails");
  const int status = stream->push(
      {.run =
           [=](Stream& on) { executeConvolution(graph, engine, on.device, pointers, workspace); },
       .nanoseconds = convolutionCost(graph, engine),
       .counter = &FakeCudaControl::cudnnExecutions});
  return status == CUDA_SUCCESS ? status
                                : refuse(CUDNN_STATUS_EXECUTION_FAILED, "execute: the capture");
}
