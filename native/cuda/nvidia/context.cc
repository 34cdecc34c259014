#include "cuda/nvidia/context.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace vgg::cuda {
namespace {

/** Whether the context is dead for good after this error (CUDA 13.0, driver_types.h). */
bool isSticky(CUresult result) {
  switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
      return true;
    default:
      // Contained memory error, MMU fault, MPS client terminated, tensor memory leak.
      return result == 226 || result == 721 || result == 810 || result == 911;
  }
}

/** Whether the driver's answer to a second question means the same. A GPU that fell off the bus, or
 * a machine that woke up, answers 999 to everything. But one call may also fail with 999 and the
 * next one work. */
bool isEnd(CUresult again) { return isSticky(again) || again == CUDA_ERROR_UNKNOWN; }

std::string nameOf(const Api& api, CUresult result) {
  const char* name = nullptr;
  api.cuGetErrorName(result, &name);
  return name == nullptr ? "error " + std::to_string(result) : name;
}

std::string failureOf(const Api& api, std::string_view call, CUresult result) {
  return std::string(call) + " failed: " + nameOf(api, result);
}

/** Calls the driver before there is a context. Throws Error kDeviceUnavailable. */
template <typename Result, typename... Parameters>
void callWithoutContext(const Api& api, const DriverFunction<Result(Parameters...)>& function,
                        std::type_identity_t<Parameters>... arguments) {
  if (const CUresult result = function(arguments...); result != CUDA_SUCCESS)
    throw Error(Code::kDeviceUnavailable, failureOf(api, function.name(), result));
}

std::string hex(const CUuuid& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    std::array<char, 4> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    text += digits.data();
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

Gpu describe(const Api& api, int ordinal) {
  Gpu gpu;
  gpu.ordinal = ordinal;
  CUdevice device = 0;
  callWithoutContext(api, api.cuDeviceGet, &device, ordinal);
  std::array<char, 256> text{};
  callWithoutContext(api, api.cuDeviceGetName, text.data(), text.size(), device);
  gpu.name = text.data();
  callWithoutContext(api, api.cuDeviceGetPCIBusId, text.data(), text.size(), device);
  gpu.pciBusId = text.data();
  CUuuid uuid{};
  callWithoutContext(api, api.cuDeviceGetUuid_v2, &uuid, device);
  gpu.uuid = hex(uuid);
  callWithoutContext(api, api.cuDeviceTotalMem_v2, &gpu.memoryBytes, device);
  const auto attribute = [&](CUdevice_attribute name) {
    int value = 0;
    callWithoutContext(api, api.cuDeviceGetAttribute, &value, name, device);
    return value;
  };
  gpu.major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  gpu.minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  gpu.multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  return gpu;
}

}  // namespace

std::vector<Gpu> listGpus(const Libraries& libraries) {
  const Api& api = libraries.api;
  int count = 0;
  callWithoutContext(api, api.cuDeviceGetCount, &count);
  std::vector<Gpu> gpus;
  gpus.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) gpus.push_back(describe(api, i));
  return gpus;
}

void Session::throwIfInterrupted() const {
  if (isInterrupted_) throw Error(Code::kDeviceLost, "The process is ending");
}

void Session::throwIfLost() const {
  if (!isLost()) return;
  throwIfInterrupted();
  throw Error(Code::kDeviceLost,
              "The GPU stopped after an earlier error. Restart the process to use it again");
}

void Session::lose(const std::string& reason) {
  isLost_ = true;
  throw Error(Code::kDeviceLost,
              "The GPU stopped: " + reason + ". Restart the process to use it again");
}

void Session::failDriver(CUresult result, std::string_view call) {
  const std::string reason = failureOf(api(), call, result);
  if (isSticky(result) || (result == CUDA_ERROR_UNKNOWN && isEnd(ask()))) lose(reason);
  throw Error(result == CUDA_ERROR_OUT_OF_MEMORY ? Code::kOutOfMemory : Code::kInternal, reason);
}

/** cuDNN and cuBLASLt say only that something failed. The driver knows whether the context died. */
void Session::probe(const std::string& reason) {
  if (isEnd(Session::ask())) lose(reason);
}

CUresult Session::ask() {
  size_t free = 0;
  size_t total = 0;
  return api().cuMemGetInfo_v2 ? api().cuMemGetInfo_v2(&free, &total) : CUresult{CUDA_SUCCESS};
}

void Session::failCudnn(cudnnStatus_t status, std::string_view call) {
  std::array<char, 512> text{};
  api().cudnnGetLastErrorString(text.data(), text.size());
  const std::string reason = std::string(call) + " failed: " + api().cudnnGetErrorString(status) +
                             " (" + std::to_string(status) + ") " + text.data();
  const int category = status / 1000;
  if (category >= 4) probe(reason);
  const bool isMemory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                        status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  throw Error(isMemory        ? Code::kOutOfMemory
              : category == 3 ? Code::kUnsupported
                              : Code::kInternal,
              reason);
}

void Session::failCublasLt(cublasStatus_t status, std::string_view call) {
  const std::string reason =
      std::string(call) + " failed: " + api().cublasLtGetStatusString(status);
  if (status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_INTERNAL_ERROR)
    probe(reason);
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED    ? Code::kOutOfMemory
              : status == CUBLAS_STATUS_NOT_SUPPORTED ? Code::kUnsupported
                                                      : Code::kInternal,
              reason);
}

Context::Context(std::shared_ptr<const Libraries> libraries, int ordinal)
    : Session(std::move(libraries)) {
  if (const Library* missing = this->libraries().missing())
    throw Error(missing->code, missing->name + ": " + missing->problem);
  const std::vector<Gpu> gpus = listGpus(this->libraries());
  if (gpus.empty()) throw Error(Code::kDeviceUnavailable, "The driver shows no GPU");
  if (static_cast<size_t>(ordinal) >= gpus.size()) {
    throw Error(Code::kDeviceUnavailable,
                "Expected a GPU below cuda:" + std::to_string(gpus.size()) +
                    " but received cuda:" + std::to_string(ordinal));
  }
  gpu_ = gpus[static_cast<size_t>(ordinal)];
  if (gpu_.capability() < 75) {
    throw Error(Code::kUnsupported,
                gpu_.name + " has compute capability " + std::to_string(gpu_.major) + "." +
                    std::to_string(gpu_.minor) + ", and 7.5 is the least that works");
  }
  const auto callOpening = [this](const auto& function, auto... arguments) {
    const CUresult result = function(arguments...);
    if (result == CUDA_ERROR_UNKNOWN)
      throw Error(Code::kDeviceUnavailable, failureOf(api(), function.name(), result));
    check(function, result);
  };
  callOpening(api().cuDeviceGet, &device_, ordinal);
  callOpening(api().cuDevicePrimaryCtxRetain, &context_, device_);
  try {
    const Visit visit(*this);
    const auto makeStream = [&] {
      CUstream stream = nullptr;
      call(api().cuStreamCreate, &stream, CU_STREAM_NON_BLOCKING);
      return Stream(*this, stream);
    };
    compute_ = makeStream();
    copyIn_ = makeStream();
    copyOut_ = makeStream();
    transfer_ = makeStream();
    cudnnHandle_t cudnn = nullptr;
    call(api().cudnnCreate, &cudnn);
    cudnn_ = {*this, cudnn};
    call(api().cudnnSetStream, cudnn, compute());
    cublasLtHandle_t cublasLt = nullptr;
    call(api().cublasLtCreate, &cublasLt);
    cublasLt_ = {*this, cublasLt};
  } catch (...) {
    close();
    throw;
  }
}

Context::~Context() { close(); }

void Context::close() {
  {
    const Visit visit(*this, std::nothrow);
    cublasLt_ = {};
    cudnn_ = {};
    transfer_ = {};
    copyOut_ = {};
    copyIn_ = {};
    compute_ = {};
  }
  if (!isLost()) api().cuDevicePrimaryCtxRelease_v2(device_);
}

CUresult Context::ask() {
  // The failed call may be the one that makes the context current.
  if (const CUresult result = api().cuCtxPushCurrent_v2(context_); result != CUDA_SUCCESS)
    return result;
  // Nothing is ever captured on this stream. It is the last stream that is made.
  const CUresult result = transfer_ ? api().cuStreamSynchronize(transfer()) : Session::ask();
  api().cuCtxPopCurrent_v2(nullptr);
  return result;
}

std::string Context::identity() const {
  return gpu_.name + " sm_" + std::to_string(gpu_.capability()) + " with " +
         std::to_string(gpu_.multiprocessors) + " multiprocessors, driver " +
         std::to_string(libraries().driverVersion) + ", cuDNN " + libraries().cudnn.version;
}

void Context::enter() {
  throwIfLost();
  call(api().cuCtxSetCurrent, context_);
}

Context::Visit::Visit(Context& context) : context_(context), isEntered_(true) {
  context.throwIfLost();
  context.call(context.api().cuCtxPushCurrent_v2, context.context_);
}

Context::Visit::Visit(Context& context, std::nothrow_t) noexcept
    : context_(context),
      isEntered_(!context.isLost() &&
                 context.api().cuCtxPushCurrent_v2(context.context_) == CUDA_SUCCESS) {}

Context::Visit::~Visit() {
  if (isEntered_) context_.api().cuCtxPopCurrent_v2(nullptr);
}

Event Context::makeEvent(unsigned int flags) {
  CUevent event = nullptr;
  call(api().cuEventCreate, &event, flags);
  return {*this, event};
}

DeviceThread::Tasks Context::taskOf(std::function<void()> work) {
  DeviceThread::Tasks task;
  task.push_back({nullptr, std::make_shared<std::atomic<bool>>(false),
                  [self = shared_from_this(), work = std::move(work)] {
                    // A lost device needs no context, because its handles are not touched any more.
                    if (!self->isLost()) self->api().cuCtxSetCurrent(self->context_);
                    work();
                  }});
  return task;
}

void Context::perform(DeviceThread::Tasks task) noexcept {
  if (thread_.isCurrent()) {
    task.front().work();
  } else {
    thread_.post(std::move(task));
  }
}

DeviceMemory::DeviceMemory(Context& context, size_t bytes, std::atomic<size_t>* counter)
    : context_(context), bytes_(bytes), counter_(counter) {
  context.throwIfLost();
  // The driver cannot allocate zero bytes.
  const CUresult result = context.api().cuMemAlloc_v2(&address_, std::max<size_t>(bytes, 1));
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    size_t free = 0;
    size_t total = 0;
    context.api().cuMemGetInfo_v2(&free, &total);
    throw Error(Code::kOutOfMemory, context.gpu().name + " has " + std::to_string(free) + " of " +
                                        std::to_string(total) + " bytes free, and " +
                                        std::to_string(bytes) + " were asked for");
  }
  context.check(context.api().cuMemAlloc_v2, result);
  if (counter_ != nullptr) *counter_ += bytes_;
}

void DeviceMemory::markUsed() {
  if (!used_) used_ = context_.makeEvent(CU_EVENT_DISABLE_TIMING);
  context_.call(context_.api().cuEventRecord, used_.get(), context_.compute());
}

void DeviceMemory::awaitUse(CUstream stream) const {
  if (!used_) return;
  context_.call(context_.api().cuStreamWaitEvent, stream, used_.get(), 0);
}

DeviceMemory::~DeviceMemory() {
  if (counter_ != nullptr) *counter_ -= bytes_;
  if (!context_.isLost()) context_.api().cuMemFree_v2(address_);
}

}  // namespace vgg::cuda
