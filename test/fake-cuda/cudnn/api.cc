// cuDNN's exported functions: versions, errors, handles, execution.
#include <cstdlib>
#include <cstring>

#include "cudnn/cudnn.h"
#include "memory.h"
#include "stream.h"

using namespace fake;

int fake::cudnnFault(int64_t kind, int device) {
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
  if (const int64_t kind = countCall()) return cudnnFault(kind);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* result) {
  if (const int64_t kind = countCall()) return cudnnFault(kind);
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
  if (const int64_t kind = countCall()) return cudnnFault(kind, object ? object->device : -1);
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

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t planHandle,
                                  cudnnBackendDescriptor_t packHandle) {
  const auto object = find<CudnnHandle>(handle, "cudnnBackendExecute");
  if (const int64_t kind = countCall()) return cudnnFault(kind, object ? object->device : -1);
  const auto plan = find<Descriptor>(planHandle, "cudnnBackendExecute");
  const auto pack = find<Descriptor>(packHandle, "cudnnBackendExecute");
  if (!object || !plan || !pack)
    return refuse(kBadParam, "execute: a handle, plan or variant pack is not alive");
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
