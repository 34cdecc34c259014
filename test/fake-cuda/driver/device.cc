// The driver's calls for its version and errors, devices and primary contexts.
#include "device.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "memory.h"
#include "stream.h"

using namespace fake;

namespace {

/** The contexts that were current on this thread before each cuCtxPushCurrent. */
std::vector<Context*>& pushedOver() {
  thread_local std::vector<Context*> stack;
  return stack;
}

}  // namespace

CUresult cuInit(unsigned int flags) {
  if (const int status = enter(Needs::kNothing)) return status;
  return flags == 0 ? initialize() : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDriverGetVersion(int* version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  const char* text = std::getenv("FAKE_CUDA_DRIVER");
  *version = text && *text ? std::atoi(text) : 13000;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** name) {
  switch (error) {
#define FAKE_NAME(symbol, value)                  \
  case value:                                     \
    if (std::strncmp(#symbol, "CUDA_", 5) == 0) { \
      *name = #symbol;                            \
      return CUDA_SUCCESS;                        \
    }                                             \
    break;
    FAKE_NAME(CUDA_SUCCESS, 0)
    FAKE_NAME(CUDA_ERROR_INVALID_VALUE, 1)
    FAKE_NAME(CUDA_ERROR_OUT_OF_MEMORY, 2)
    FAKE_NAME(CUDA_ERROR_NOT_INITIALIZED, 3)
    FAKE_NAME(CUDA_ERROR_DEINITIALIZED, 4)
    FAKE_NAME(CUDA_ERROR_STUB_LIBRARY, 34)
    FAKE_NAME(CUDA_ERROR_DEVICE_UNAVAILABLE, 46)
    FAKE_NAME(CUDA_ERROR_NO_DEVICE, 100)
    FAKE_NAME(CUDA_ERROR_INVALID_DEVICE, 101)
    FAKE_NAME(CUDA_ERROR_INVALID_IMAGE, 200)
    FAKE_NAME(CUDA_ERROR_INVALID_CONTEXT, 201)
    FAKE_NAME(CUDA_ERROR_NO_BINARY_FOR_GPU, 209)
    FAKE_NAME(CUDA_ERROR_ECC_UNCORRECTABLE, 214)
    FAKE_NAME(CUDA_ERROR_INVALID_HANDLE, 400)
    FAKE_NAME(CUDA_ERROR_NOT_FOUND, 500)
    FAKE_NAME(CUDA_ERROR_NOT_READY, 600)
    FAKE_NAME(CUDA_ERROR_ILLEGAL_ADDRESS, 700)
    FAKE_NAME(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)
    FAKE_NAME(CUDA_ERROR_LAUNCH_FAILED, 719)
    FAKE_NAME(CUDA_ERROR_NOT_SUPPORTED, 801)
    FAKE_NAME(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)
    FAKE_NAME(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 804)
    FAKE_NAME(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900)
    FAKE_NAME(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901)
    FAKE_NAME(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, 903)
    FAKE_NAME(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, 904)
    FAKE_NAME(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905)
    FAKE_NAME(CUDA_ERROR_CAPTURED_EVENT, 907)
    FAKE_NAME(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, 908)
    FAKE_NAME(CUDA_ERROR_UNKNOWN, 999)
#undef FAKE_NAME
    default:
      break;
  }
  *name = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  const int status = cuGetErrorName(error, text);
  if (status != CUDA_SUCCESS) return status;
  if (error == CUDA_ERROR_OUT_OF_MEMORY) *text = "out of memory";
  if (error == CUDA_ERROR_ILLEGAL_ADDRESS) *text = "an illegal memory access was encountered";
  if (error == CUDA_ERROR_NO_DEVICE) *text = "no CUDA-capable device is detected";
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  *count = deviceCount();
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  if (!contextOf(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!name || length < 1) return CUDA_ERROR_INVALID_VALUE;
  if (!contextOf(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(name, static_cast<size_t>(length), "Fake GPU");
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!id || length < 13) return CUDA_ERROR_INVALID_VALUE;
  if (!contextOf(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(id, static_cast<size_t>(length), "0000:%02X:00.0", (device + 1) & 0xFF);
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!uuid) return CUDA_ERROR_INVALID_VALUE;
  if (!contextOf(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::memcpy(uuid->bytes, "fake-cuda-gpu--", 15);
  uuid->bytes[15] = static_cast<char>(device);
  return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!bytes) return CUDA_ERROR_INVALID_VALUE;
  if (!contextOf(device)) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = totalBytes();
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!value) return CUDA_ERROR_INVALID_VALUE;
  if (!contextOf(device)) return CUDA_ERROR_INVALID_DEVICE;
  switch (attribute) {  // an H200's figures (reference/probes/gpus/h200.json)
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = 1024;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
      *value = 1980000;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      *value = 132;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
      *value = 3201000;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
      *value = 6144;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      *value = 62914560;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      *value = deviceCapability() / 10;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      *value = deviceCapability() % 10;
      return CUDA_SUCCESS;
    default:
      misuse("cuDeviceGetAttribute: attribute " + std::to_string(attribute) +
             " is unknown to the fake");
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* result, CUdevice device) {
  if (const int status = enter(Needs::kInit)) return status;
  if (!result) return CUDA_ERROR_INVALID_VALUE;
  Context* context = contextOf(device);
  if (!context) return CUDA_ERROR_INVALID_DEVICE;
  if (context->lost) return context->answer;
  ++context->retained;
  add(&FakeCudaControl::contextsRetained, 1);
  *result = context->handle;
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  if (const int status = enterFreeing(Needs::kInit)) return status;
  Context* context = contextOf(device);
  if (!context) return CUDA_ERROR_INVALID_DEVICE;
  if (context->retained <= 0) {
    misuse("cuDevicePrimaryCtxRelease: released more often than retained");
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  if (context->lost) {
    --context->retained;
    return context->answer;
  }
  if (context->retained == 1) context->drain();
  --context->retained;
  add(&FakeCudaControl::contextsRetained, -1);
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext handle) {
  if (const int status = enter(Needs::kInit)) return status;
  if (gettid() == getpid())
    misuse("cuCtxSetCurrent: on the process's first thread, where other addons set theirs; push");
  if (!handle) {
    setCurrentContext(nullptr);
    return CUDA_SUCCESS;
  }
  const auto context = find<Context>(handle, "cuCtxSetCurrent");
  if (!context || context->retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
  setCurrentContext(context.get());
  return context->lost ? context->answer.load() : CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent_v2(CUcontext handle) {
  if (const int status = enter(Needs::kInit)) return status;
  const auto context = find<Context>(handle, "cuCtxPushCurrent");
  if (!context || context->retained == 0) return CUDA_ERROR_INVALID_CONTEXT;
  if (context->lost) return context->answer;
  pushedOver().push_back(currentContext());
  setCurrentContext(context.get());
  return CUDA_SUCCESS;
}

// Not counted, because a requested failure could fall on it although it cannot fail.
CUresult cuCtxPopCurrent_v2(CUcontext* handle) {
  if (pushedOver().empty() || !currentContext()) {
    misuse("cuCtxPopCurrent: nothing was pushed on this thread");
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  if (handle) *handle = currentContext()->handle;
  setCurrentContext(pushedOver().back());
  pushedOver().pop_back();
  return CUDA_SUCCESS;
}
