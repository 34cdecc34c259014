// The CPU as a device: its threads, its kernels, and the arena that its programs share.
#pragma once

#include "core/backend.h"
#include "core/memory/available_memory.h"
#include "core/memory/host_memory.h"
#include "core/memory/host_pool.h"
#include "core/threads/device_thread.h"
#include "core/threads/parallel.h"
#include "cpu/instruction_set.h"
#include "cpu/shared_arena.h"

namespace vgg::cpu {

/** Returns float32, and float16 if the hardware converts it: matrices are stored in float16,
 * arithmetic is in float32. */
std::vector<Precision> precisionsOf(const Kernels& kernels);

class CpuBackend final : public Backend {
 public:
  /** threads 0: as many as the process may use. instructionSet "": the best. Throws Error
   * kUnsupported. */
  CpuBackend(int threads, const std::string& instructionSet);

  [[nodiscard]] DeviceInfo info() const override;
  [[nodiscard]] MemoryStats memoryStats() const override;
  [[nodiscard]] size_t freeBytes() override { return availableHostBytes(); }
  DeviceThread& thread() override { return thread_; }
  std::shared_ptr<HostMemory> allocateHost(size_t bytes) override;
  std::shared_ptr<Memory> allocate(size_t bytes) override;
  void upload(Memory& to, const std::byte* from, size_t bytes) override;
  void download(std::byte* to, const Memory& from, size_t bytes) override;
  std::shared_ptr<Parameters> createParameters(std::vector<ParameterSpec> specs,
                                               Precision precision) override;
  Roofline roofline(Precision precision) override;
  std::shared_ptr<Executable> compile(const Program& program,
                                      std::shared_ptr<Parameters> parameters,
                                      size_t batch) override;

 private:
  const Kernels& kernels_;
  ThreadPool pool_;
  std::atomic<size_t> parameterBytes_{0}, activationBytes_{0}, tensorBytes_{0};
  SharedArena arena_{&activationBytes_};
  std::shared_ptr<HostPool> copies_;  // holds copies of inputs and outputs during a run
  DeviceThread thread_;               // declared last: its tasks use all members above
};

}  // namespace vgg::cpu
