// The driver's calls that allocate, free, copy and fill memory.
#include "memory.h"

#include <cstring>

#include "device.h"
#include "stream.h"

using namespace fake;

namespace {

constexpr double kCopyNanoseconds = 1000;
constexpr double kCopyBytesPerNanosecond = 50;
constexpr double kDeviceBytesPerNanosecond = 2000;

double copyCost(size_t bytes, double bytesPerNanosecond) {
  return kCopyNanoseconds + static_cast<double>(bytes) / bytesPerNanosecond;
}

char* host(CUdeviceptr pointer) { return reinterpret_cast<char*>(pointer); }

// To be called before the device's bytes are written.
void noteWrite(const Stream& on, CUdeviceptr to, size_t bytes) {
  contextOf(on.device)->memo.wrote({Interval::of(host(to), bytes)});
}

// Asynchronous work reads pinned memory when it runs. The memory must still be alive then.
void requirePinned(const void* pointer, size_t bytes, const char* what) {
  if (locate(Space::kPinned, -1, pointer, bytes) == 1) return;
  misuse(std::string(what) + ": pinned memory was freed before its copy ran");
  throw IllegalAddress(std::string(what) + ": pinned memory is gone");
}

}  // namespace

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  if (const int status = enter(Needs::kContext)) return status;
  if (!free || !total) return CUDA_ERROR_INVALID_VALUE;
  *total = totalBytes();
  *free = *total - usedBytes(currentContext()->device);
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, size_t bytes) {
  if (const int status = enter(Needs::kContext)) return status;
  if (const int status = forbidWhileCapturing()) return status;
  if (!pointer || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  void* memory = allocate(Space::kDevice, currentContext()->device, bytes);
  if (!memory) return CUDA_ERROR_OUT_OF_MEMORY;
  *pointer = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
  if (const int status = enterFreeing(Needs::kContext)) return status;
  if (const int status = forbidWhileCapturing()) return status;
  if (pointer == 0) return CUDA_SUCCESS;
  Context* context = currentContext();
  context->drain();  // The real call waits.
  forgetMemos();
  if (!release(Space::kDevice, context->device, host(pointer), "cuMemFree"))
    return CUDA_ERROR_INVALID_VALUE;
  return context->lost ? context->answer.load() : CUDA_SUCCESS;
}

CUresult cuMemHostAlloc(void** pointer, size_t bytes, unsigned int flags) {
  if (const int status = enter(Needs::kContext)) return status;
  if (const int status = forbidWhileCapturing()) return status;
  if (!pointer || bytes == 0 || flags > 7) return CUDA_ERROR_INVALID_VALUE;
  *pointer = allocate(Space::kPinned, currentContext()->device, bytes);
  return *pointer ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemFreeHost(void* pointer) {
  if (const int status = enterFreeing(Needs::kContext)) return status;
  if (const int status = forbidWhileCapturing()) return status;
  if (!pointer) return CUDA_ERROR_INVALID_VALUE;
  for (int device = 0; device < deviceCount(); ++device) contextOf(device)->drain();
  forgetMemos();
  if (!release(Space::kPinned, -1, pointer, "cuMemFreeHost")) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream handle) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(handle, "cuMemcpyHtoDAsync", &stream)) return status;
  if (bytes == 0) return CUDA_SUCCESS;
  if (!from || locate(Space::kDevice, stream->device, host(to), bytes) != 1)
    return CUDA_ERROR_INVALID_VALUE;
  const int pinned = locate(Space::kPinned, -1, from, bytes);
  if (pinned < 0) return CUDA_ERROR_INVALID_VALUE;
  Step step{.run = {},
            .nanoseconds = copyCost(bytes, kCopyBytesPerNanosecond),
            .counter = &FakeCudaControl::copies};
  if (pinned) {
    step.run = [=](Stream& on) {
      requireDeviceRange(on.device, host(to), bytes, "cuMemcpyHtoDAsync");
      requirePinned(from, bytes, "cuMemcpyHtoDAsync");
      noteWrite(on, to, bytes);
      std::memcpy(host(to), from, bytes);
    };
    return stream->push(std::move(step));
  }
  if (const int status = forbidOnCapturing(*stream)) return status;
  // Pageable memory is staged before the call returns.
  auto staged = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
  step.run = [=](Stream& on) {
    requireDeviceRange(on.device, host(to), bytes, "cuMemcpyHtoDAsync");
    noteWrite(on, to, bytes);
    std::memcpy(host(to), staged->data(), bytes);
  };
  return stream->push(std::move(step));
}

CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream handle) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(handle, "cuMemcpyDtoHAsync", &stream)) return status;
  if (bytes == 0) return CUDA_SUCCESS;
  if (!to || locate(Space::kDevice, stream->device, host(from), bytes) != 1)
    return CUDA_ERROR_INVALID_VALUE;
  const int pinned = locate(Space::kPinned, -1, to, bytes);
  if (pinned < 0) return CUDA_ERROR_INVALID_VALUE;
  if (!pinned)
    if (const int status = forbidOnCapturing(*stream)) return status;
  const int status =
      stream->push({.run =
                        [=](Stream& on) {
                          requireDeviceRange(on.device, host(from), bytes, "cuMemcpyDtoHAsync");
                          if (pinned) requirePinned(to, bytes, "cuMemcpyDtoHAsync");
                          std::memcpy(to, host(from), bytes);
                        },
                    .nanoseconds = copyCost(bytes, kCopyBytesPerNanosecond),
                    .counter = &FakeCudaControl::copies});
  if (status != CUDA_SUCCESS || pinned) return status;
  stream->synchronize();  // The real call waits if the target is pageable.
  return statusOf(stream->device, CUDA_SUCCESS);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream handle) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(handle, "cuMemcpyDtoDAsync", &stream)) return status;
  if (bytes == 0) return CUDA_SUCCESS;
  if (locate(Space::kDevice, stream->device, host(to), bytes) != 1 ||
      locate(Space::kDevice, stream->device, host(from), bytes) != 1)
    return CUDA_ERROR_INVALID_VALUE;
  if (to < from + bytes && from < to + bytes) misuse("cuMemcpyDtoDAsync: the ranges overlap");
  return stream->push({.run =
                           [=](Stream& on) {
                             requireDeviceRange(on.device, host(to), bytes, "cuMemcpyDtoDAsync");
                             requireDeviceRange(on.device, host(from), bytes, "cuMemcpyDtoDAsync");
                             noteWrite(on, to, bytes);
                             std::memmove(host(to), host(from), bytes);
                           },
                       .nanoseconds = copyCost(bytes, kDeviceBytesPerNanosecond),
                       .counter = &FakeCudaControl::copies});
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream handle) {
  if (const int status = enter(Needs::kContext)) return status;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(handle, "cuMemsetD8Async", &stream)) return status;
  if (bytes == 0) return CUDA_SUCCESS;
  if (locate(Space::kDevice, stream->device, host(to), bytes) != 1) return CUDA_ERROR_INVALID_VALUE;
  return stream->push({.run =
                           [=](Stream& on) {
                             requireDeviceRange(on.device, host(to), bytes, "cuMemsetD8Async");
                             noteWrite(on, to, bytes);
                             std::memset(host(to), value, bytes);
                           },
                       .nanoseconds = copyCost(bytes, kDeviceBytesPerNanosecond)});
}
