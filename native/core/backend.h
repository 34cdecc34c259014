// The seam between what every device does and how each does it: four classes that a back end
// implements. All of it happens on the device's own thread (device_thread.h) but for `info`,
// `memoryStats`, `queue`, `allocate`, `allocateHost`, `createParameters`, `finish` and destruction.
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

/** What a device reaches at most, measured on it in this process; 0 where it could not be. */
struct Roofline {
  double flopsPerSecond = 0;  // a multiply-add is two
  double bytesPerSecond = 0;
};

/** Bytes on a device, uninitialised. Freed when the last owner lets go. */
class Memory {
 public:
  virtual ~Memory() = default;
  [[nodiscard]] virtual size_t bytes() const = 0;
};

/** One input or output of a run: bytes of the host, or memory on the device. */
struct Binding {
  std::byte* host = nullptr;
  Memory* device = nullptr;
};

/** New values for elements [first, first + count) of a parameter in row-major order. */
struct ParameterWrite {
  int index;
  size_t first;
  const std::byte* from;
  DType dtype;  // a floating-point one
  size_t count;
};

/** The named parameters of a model, shared by all programs compiled from it, packed once for the
 * device. */
class Parameters {
 public:
  virtual ~Parameters() = default;
  [[nodiscard]] virtual const std::vector<ParameterSpec>& specs() const = 0;
  [[nodiscard]] virtual bool isWritten(int index) const = 0;
  /** Allocates before it writes: it throws Error kOutOfMemory with nothing written. */
  virtual void write(const std::vector<ParameterWrite>& writes) = 0;
  /** Elements [first, first + count). Throws Error kMissingParameter, kOutOfMemory. */
  virtual void read(int index, size_t first, size_t count, float* to) = 0;
  virtual void fill(int index, float value) = 0;
  /** Normal distribution; element i is a pure function of (seed, stream, i), the same on every
   * machine. */
  virtual void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream) = 0;
};

inline Error missingParameter(const ParameterSpec& spec) {
  return {Code::kMissingParameter,
          "Expected a value for parameter " + spec.name + " but none was set"};
}

/** Says on any thread, once, that a run has ended: with null, or with what went wrong. */
using Completion = std::function<void(std::exception_ptr)>;

/** What a step does: it brings an input into the device's order, makes a value, or brings an output
 * into the caller's order. */
enum class StepRole : std::uint8_t { kInput, kOperation, kOutput };

/** A step by the value that it is about: what it makes, or the last of that where it does several
 * operations in one. */
struct StepLabel {
  StepRole role;
  int value;
};

/** What a step took for its batch, where that is not what its definition says. */
struct StepWork {
  double products;
  double parameterBytes;
};

struct StepTime {
  StepLabel label;
  double milliseconds;
  std::optional<StepWork> work;
};

/** A program made ready for batches up to a size, or in parts of that size. */
class Executable {
 public:
  virtual ~Executable() = default;
  /**
   * Runs a batch, or starts it: `done` may be called before or after this returns, and until then
   * all arguments must live. Error kAborted soon after `cancelled` becomes true, kMissingParameter
   * when one was never written. Throws nothing.
   */
  virtual void run(size_t batch, const std::vector<Binding>& inputs,
                   const std::vector<Binding>& outputs, const std::atomic<bool>& cancelled,
                   Completion done) noexcept = 0;
  /**
   * Runs a batch, returns when it has ended, and says how long each step took: on the device, where
   * that has a clock. Throws Error as `run` says.
   */
  virtual std::vector<StepTime> profile(size_t batch, const std::vector<Binding>& inputs,
                                        const std::vector<Binding>& outputs,
                                        const std::atomic<bool>& cancelled) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  /** What calls may copy and leave waiting, through all handles that have no bound of their own. */
  [[nodiscard]] const std::shared_ptr<QueueBudget>& queue() const { return queue_; }
  [[nodiscard]] virtual DeviceInfo info() const = 0;
  [[nodiscard]] virtual MemoryStats memoryStats() const = 0;
  /** Bytes that nobody uses; 0 where the device is lost. */
  [[nodiscard]] virtual size_t freeBytes() = 0;
  virtual DeviceThread& thread() = 0;
  /** Returns when every run that was started has ended. On any thread. */
  virtual void finish() {}
  /** For the end of the process: returns soon, when nothing runs any more that would harm it, nor
   * will again. */
  virtual void halt() {}
  /** Bytes on the host that the device copies from and to fast. On any thread. */
  virtual std::shared_ptr<HostMemory> allocateHost(size_t bytes) = 0;
  /** Throws Error kOutOfMemory with what was asked and what is free. */
  virtual std::shared_ptr<Memory> allocate(size_t bytes) = 0;
  virtual void upload(Memory& to, const std::byte* from, size_t bytes) = 0;
  virtual void download(std::byte* to, const Memory& from, size_t bytes) = 0;
  /** Throws Error kUnsupported where the device lacks the precision. */
  virtual std::shared_ptr<Parameters> createParameters(std::vector<ParameterSpec> specs,
                                                       Precision precision) = 0;
  /** The size of the executable that a batch runs in: the batch itself, a larger one, or a smaller
   * one that takes it in parts. Throws Error kUnsupported. */
  [[nodiscard]] virtual size_t paddedBatch(const Program& program, size_t batch) const {
    static_cast<void>(program);
    return batch;
  }
  /** Takes a second or so. Throws Error kDeviceLost. */
  virtual Roofline roofline(Precision precision) = 0;
  virtual std::shared_ptr<Executable> compile(const Program& program,
                                              std::shared_ptr<Parameters> parameters,
                                              size_t batch) = 0;

 private:
  const std::shared_ptr<QueueBudget> queue_ = std::make_shared<QueueBudget>(0);
};

}  // namespace vgg
