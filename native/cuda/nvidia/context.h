// Holds one open GPU: its primary context, streams and library handles. Turns its failures into
// errors.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "core/threads/device_thread.h"
#include "cuda/nvidia/library.h"

namespace vgg::cuda {

/** What the driver reports about a GPU. */
struct Gpu {
  int ordinal = 0;
  std::string name, pciBusId, uuid;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t memoryBytes = 0;

  [[nodiscard]] int capability() const { return 10 * major + minor; }
};

/** Returns the GPUs that the driver shows. Throws Error kDeviceUnavailable if it cannot list them.
 */
std::vector<Gpu> listGpus(const Libraries& libraries);

/** Calls NVIDIA's libraries, for a GPU or, while planning, without one. */
class Session {
 public:
  explicit Session(std::shared_ptr<const Libraries> libraries) : libraries_(std::move(libraries)) {}
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] const Api& api() const { return libraries_->api; }
  [[nodiscard]] const Libraries& libraries() const { return *libraries_; }

  /** Calls a function and checks what it returns. Code that must not throw calls the function
   * directly. Throws Error kDeviceLost for a failure after which the context is dead, kOutOfMemory,
   * kUnsupported, else kInternal. */
  template <Owner kOwner, typename Result, typename... Parameters>
  void call(const Function<kOwner, Result(Parameters...)>& function,
            std::type_identity_t<Parameters>... arguments) {
    check(function, function(arguments...));
  }
  /** Checks what a function has returned. Throws as `call` does. */
  template <typename Type>
  void check(const DriverFunction<Type>& function, CUresult result) {
    if (result != CUDA_SUCCESS) failDriver(result, function.name());
  }
  template <typename Type>
  void check(const CudnnFunction<Type>& function, cudnnStatus_t status) {
    if (status != CUDNN_STATUS_SUCCESS) failCudnn(status, function.name());
  }
  template <typename Type>
  void check(const CublasLtFunction<Type>& function, cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS) failCublasLt(status, function.name());
  }

  [[nodiscard]] bool isLost() const { return isLost_.load(); }
  /** Throws Error kDeviceLost. */
  void throwIfLost() const;

  /** Ends long work at its next step. Called at the end of the process, before the libraries
   * destroy what they hold. */
  void interrupt() { isInterrupted_ = true; }
  /** Called between two steps of long work. Throws Error kDeviceLost. */
  void throwIfInterrupted() const;
  /** Called when nothing runs any more. Marks the device as lost, so that nothing calls the
   * libraries again. */
  void abandon() { isLost_ = true; }

 protected:
  /** Asks the driver once more, and returns its answer. */
  virtual CUresult ask();

 private:
  [[noreturn]] void failDriver(CUresult result, std::string_view call);
  [[noreturn]] void failCudnn(cudnnStatus_t status, std::string_view call);
  [[noreturn]] void failCublasLt(cublasStatus_t status, std::string_view call);
  [[noreturn]] void lose(const std::string& reason);
  void probe(const std::string& reason);

  std::shared_ptr<const Libraries> libraries_;
  std::atomic<bool> isLost_{false}, isInterrupted_{false};
};

enum class Lives : std::uint8_t { kOnDevice, kOnHost };

/** Owns an object of a library and destroys it with `Destroy`. An object on a lost device is
 * already gone. Never throws. */
template <typename T, auto Destroy, Lives kLives = Lives::kOnDevice>
class Handle {
 public:
  Handle() = default;
  Handle(const Session& session, T value) : session_(&session), value_(value) {}
  Handle(Handle&& other) noexcept
      : session_(other.session_), value_(std::exchange(other.value_, T{})) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(session_, other.session_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~Handle() {
    const bool isGone = kLives == Lives::kOnDevice && value_ != T{} && session_->isLost();
    if (value_ != T{} && !isGone) (session_->api().*Destroy)(value_);
  }

  [[nodiscard]] T get() const { return value_; }
  explicit operator bool() const { return value_ != T{}; }

 private:
  const Session* session_ = nullptr;
  T value_{};
};

using Stream = Handle<CUstream, &Api::cuStreamDestroy_v2>;
using Event = Handle<CUevent, &Api::cuEventDestroy_v2>;
using GraphExec = Handle<CUgraphExec, &Api::cuGraphExecDestroy>;

/** An open GPU. It is made on any thread. After that its own thread and the thread of Completions
 * use it. Any other thread needs a Visit. */
class Context final : public Session, public std::enable_shared_from_this<Context> {
 public:
  /** Throws Error kLibraryMissing, kDeviceUnavailable, kOutOfMemory. */
  Context(std::shared_ptr<const Libraries> libraries, int ordinal);
  ~Context() override;

  [[nodiscard]] const Gpu& gpu() const { return gpu_; }
  /** Names the kind of GPU and the versions. Measurements hold for these only. */
  [[nodiscard]] std::string identity() const;
  DeviceThread& thread() { return thread_; }
  [[nodiscard]] CUstream compute() const { return compute_.get(); }
  [[nodiscard]] CUstream copyIn() const { return copyIn_.get(); }
  [[nodiscard]] CUstream copyOut() const { return copyOut_.get(); }
  /** The stream for reading and writing a DeviceTensor. It waits only for runs that use the tensor.
   */
  [[nodiscard]] CUstream transfer() const { return transfer_.get(); }
  [[nodiscard]] cudnnHandle_t cudnn() const { return cudnn_.get(); }
  [[nodiscard]] cublasLtHandle_t cublasLt() const { return cublasLt_.get(); }

  /** Makes the context current on the calling thread, which must be one of ours. Throws Error
   * kDeviceLost. */
  void enter();
  /** Keeps the context current while it lives, on a thread that others use too. */
  class Visit {
   public:
    /** Throws Error kDeviceLost. */
    explicit Visit(Context& context);
    /** For destructors. If it fails, their calls fail too, and nobody is told. */
    Visit(Context& context, std::nothrow_t) noexcept;
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    Context& context_;
    bool isEntered_;
  };
  Event makeEvent(unsigned int flags);

  /** The last owner on any thread has the object deleted on the device's thread, because that
   * thread has the context. The task is allocated now, so that releasing cannot fail. */
  template <typename T>
  std::shared_ptr<T> share(T* object) {
    std::unique_ptr<T> owned(object);
    auto deletion = taskOf([object] { delete object; });
    return std::shared_ptr<T>(owned.release(),
                              [context = shared_from_this(), task = std::move(deletion)](
                                  T*) mutable noexcept { context->perform(std::move(task)); });
  }

 private:
  /** Returns a task that does work in this context on the device's thread. The work must not throw.
   */
  DeviceThread::Tasks taskOf(std::function<void()> work);
  /** Runs the task at once if the caller is the device's thread. */
  void perform(DeviceThread::Tasks task) noexcept;
  void close();
  CUresult ask() override;

  Gpu gpu_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  Stream compute_, copyIn_, copyOut_, transfer_;
  Handle<cudnnHandle_t, &Api::cudnnDestroy> cudnn_;
  Handle<cublasLtHandle_t, &Api::cublasLtDestroy> cublasLt_;
  DeviceThread thread_;  // last, because its tasks use all members above
};

/** Bytes on the GPU. They are freed on the device's thread (Context::share) or by an owner that
 * lives there. */
class DeviceMemory final : public Memory {
 public:
  /** Allocates uninitialised memory. The context must be current. Adds `bytes` to `counter`, if it
   * is given, while the block lives. Throws Error kOutOfMemory. */
  DeviceMemory(Context& context, size_t bytes, std::atomic<size_t>* counter);
  ~DeviceMemory() override;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  [[nodiscard]] size_t bytes() const override { return bytes_; }
  [[nodiscard]] CUdeviceptr address() const { return address_; }
  template <typename T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(address_);
  }

  /** Records that everything on the compute stream up to here may read or write the memory. */
  void markUsed();
  /** Makes later work on `stream` wait for that use. */
  void awaitUse(CUstream stream) const;

 private:
  Context& context_;
  CUdeviceptr address_ = 0;
  size_t bytes_;
  std::atomic<size_t>* counter_;
  Event used_;  // made by the first markUsed
};

}  // namespace vgg::cuda
