// The interface of a device: four classes that every back end implements. Every call is made on the
// device's own thread (device_thread.h) except `info`, `memoryStats`, `queue`, `thread`,
// `freeBytes`, `bytes`, `specs`, `allocate`, `allocateHost`, `createParameters`, `finish`, `halt`
// and destruction.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/memory/queue_budget.h"
#include "core/op.h"
#include "core/precision.h"

namespace vgg {

class DeviceThread;
class HostMemory;

struct DeviceInfo {
  std::string id, kind, instructionSet;
  int threads = 0;
  std::vector<Precision> precisions;
};

/** Bytes in use on a device, by purpose. */
struct MemoryStats {
  size_t parameterBytes = 0, activationBytes = 0, tensorBytes = 0;
};

/** The peak rates of a device, measured on it in this process. 0 if the measurement failed. */
struct Roofline {
  double flopsPerSecond = 0;  // a multiply-add counts as two
  double bytesPerSecond = 0;
};

/** Uninitialised bytes on a device. They are freed when the last owner releases them. */
class Memory {
 public:
  virtual ~Memory() = default;
  [[nodiscard]] virtual size_t bytes() const = 0;
};

/** One input or output of a run: bytes on the host, or memory on the device. */
struct Binding {
  std::byte* host = nullptr;
  Memory* device = nullptr;
};

/** New values for elements [first, first + count) of a parameter in row-major order. */
struct ParameterWrite {
  int index;
  size_t first;
  const std::byte* from;
  DType dtype;  // a floating-point type
  size_t count;
};

/** The named parameters of a model. They are packed once for the device and shared by all programs
 * compiled from the model. */
class Parameters {
 public:
  virtual ~Parameters() = default;
  [[nodiscard]] virtual const std::vector<ParameterSpec>& specs() const = 0;
  [[nodiscard]] virtual bool isWritten(int index) const = 0;
  /** Allocates before it writes, so nothing is written if it throws Error kOutOfMemory. */
  virtual void write(const std::vector<ParameterWrite>& writes) = 0;
  /** Reads elements [first, first + count). Throws Error kMissingParameter, kOutOfMemory. */
  virtual void read(int index, size_t first, size_t count, float* to) = 0;
  virtual void fill(int index, float value) = 0;
  /** Fills with a normal distribution. Element i is a pure function of (seed, stream, i), the same
   * on every machine. */
  virtual void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream) = 0;
};

inline Error missingParameter(const ParameterSpec& spec) {
  return {Code::kMissingParameter,
          "Expected a value for parameter " + spec.name + " but none was set"};
}

/** Called once, on any thread, when a run has ended: with null, or with the error. */
using Completion = std::function<void(std::exception_ptr)>;

/** What a step does: converts an input to the device's layout, computes a value, or converts an
 * output to the caller's layout. */
enum class StepRole : std::uint8_t { kInput, kOperation, kOutput };

/** Identifies a step by the value that it computes. A step that fuses several operations is
 * identified by the last value. */
struct StepLabel {
  StepRole role;
  int value;
};

/** The work of a step for its batch, if it differs from what the operation's definition says. */
struct StepWork {
  double products;
  double parameterBytes;
};

struct StepTime {
  StepLabel label;
  double milliseconds;
  std::optional<StepWork> work;
};

/** A program compiled for batches up to a size, or for parts of that size. */
class Executable {
 public:
  virtual ~Executable() = default;
  /**
   * Runs a batch, or starts it. `done` may be called before or after this returns; all arguments
   * must live until then. `done` receives Error kAborted soon after `cancelled` becomes true, and
   * kMissingParameter if a parameter was never written. Throws nothing.
   */
  virtual void run(size_t batch, const std::vector<Binding>& inputs,
                   const std::vector<Binding>& outputs, const std::atomic<bool>& cancelled,
                   Completion done) noexcept = 0;
  /**
   * Runs a batch to its end and returns the time of each step, measured by the device's clock if it
   * has one. Throws the errors that `run` reports.
   */
  virtual std::vector<StepTime> profile(size_t batch, const std::vector<Binding>& inputs,
                                        const std::vector<Binding>& outputs,
                                        const std::atomic<bool>& cancelled) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  /** The limit on the bytes that queued calls copy. It covers all handles without their own limit.
   */
  [[nodiscard]] const std::shared_ptr<QueueBudget>& queue() const { return queue_; }
  [[nodiscard]] virtual DeviceInfo info() const = 0;
  [[nodiscard]] virtual MemoryStats memoryStats() const = 0;
  /** Returns the number of free bytes; 0 if the device is lost. */
  [[nodiscard]] virtual size_t freeBytes() = 0;
  virtual DeviceThread& thread() = 0;
  /** Waits until every started run has ended. Callable on any thread. */
  virtual void finish() {}
  /** Called at process exit. Returns soon, once nothing runs, or will run again, that could harm
   * the exit. */
  virtual void halt() {}
  /** Allocates host memory that the device copies from and to fast. Callable on any thread. */
  virtual std::shared_ptr<HostMemory> allocateHost(size_t bytes) = 0;
  /** Throws Error kOutOfMemory, which names the requested and the free bytes. */
  virtual std::shared_ptr<Memory> allocate(size_t bytes) = 0;
  virtual void upload(Memory& to, const std::byte* from, size_t bytes) = 0;
  virtual void download(std::byte* to, const Memory& from, size_t bytes) = 0;
  /** Throws Error kUnsupported if the device lacks the precision. */
  virtual std::shared_ptr<Parameters> createParameters(std::vector<ParameterSpec> specs,
                                                       Precision precision) = 0;
  /** Returns the batch size of the executable that runs `batch`: the same size, a larger one, or a
   * smaller one that runs the batch in parts. Throws Error kUnsupported. */
  [[nodiscard]] virtual size_t paddedBatch(const Program& program, size_t batch) const {
    static_cast<void>(program);
    return batch;
  }
  /** Takes about a second. Throws Error kDeviceLost. */
  virtual Roofline roofline(Precision precision) = 0;
  virtual std::shared_ptr<Executable> compile(const Program& program,
                                              std::shared_ptr<Parameters> parameters,
                                              size_t batch) = 0;

 private:
  const std::shared_ptr<QueueBudget> queue_ = std::make_shared<QueueBudget>(0);
};

}  // namespace vgg
