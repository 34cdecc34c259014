// The seam between what every device does and how each does it: four classes that a back end
// implements. All of it but `info`, `allocate` and destruction happens on the device's own thread
// (device_thread.h).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/op.h"

namespace vgg {

class DeviceThread;

struct DeviceInfo {
  std::string id, kind, instructionSet;
  int threads = 0;
};

/** Bytes in use on a device, by purpose. */
struct MemoryStats {
  size_t parameterBytes = 0, activationBytes = 0, tensorBytes = 0;
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

/** The named parameters of a model, shared by all programs compiled from it, packed once for the
 * device. */
class Parameters {
 public:
  virtual ~Parameters() = default;
  [[nodiscard]] virtual const std::vector<ParameterSpec>& specs() const = 0;
  /** Elements [first, first + count) of parameter `index` in row-major order, of a floating-point
   * dtype. */
  virtual void write(int index, size_t first, const std::byte* from, DType dtype, size_t count) = 0;
  /** Throws Error kMissingParameter when the parameter was never written. */
  virtual void read(int index, float* to) = 0;
  virtual void fill(int index, float value) = 0;
  /** Normal distribution; element i is a pure function of (seed, stream, i), the same on every
   * machine. */
  virtual void fillNormal(int index, float standardDeviation, uint64_t seed, uint32_t stream) = 0;
};

/** A program made ready for one batch size. */
class Executable {
 public:
  virtual ~Executable() = default;
  /** Throws Error kAborted soon after `cancelled` becomes true, kMissingParameter when one was
   * never written. */
  virtual void run(const std::vector<Binding>& inputs, const std::vector<Binding>& outputs,
                   const std::atomic<bool>& cancelled) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual DeviceInfo info() const = 0;
  [[nodiscard]] virtual MemoryStats memoryStats() const = 0;
  virtual DeviceThread& thread() = 0;
  /** Throws Error kOutOfMemory with what was asked and what is free. */
  virtual std::shared_ptr<Memory> allocate(size_t bytes) = 0;
  virtual void upload(Memory& to, const std::byte* from, size_t bytes) = 0;
  virtual void download(std::byte* to, const Memory& from, size_t bytes) = 0;
  virtual std::shared_ptr<Parameters> createParameters(std::vector<ParameterSpec> specs) = 0;
  virtual std::shared_ptr<Executable> compile(const Program& program,
                                              std::shared_ptr<Parameters> parameters,
                                              size_t batch) = 0;
};

}  // namespace vgg
