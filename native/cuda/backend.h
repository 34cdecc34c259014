// Implements the back end for a GPU: its memory, its programs, and the pinned host memory that it
// copies from and to.
#pragma once

#include "core/memory/host_pool.h"
#include "cuda/executable.h"

namespace vgg::cuda {

struct CudaOptions {
  std::string cacheFolder;  // if empty, no plans or kernels are kept on disk
  std::string plansFolder;  // read for what the cache lacks, never written to; may be empty
  bool deterministic = false;
  ForcedKernels forced{};
};

/** Returns the precisions that the GPU offers. */
std::vector<Precision> precisionsOf(const Gpu& gpu);

class CudaBackend final : public Backend {
 public:
  /** Throws Error kLibraryMissing, kDeviceUnavailable, kUnsupported, kOutOfMemory. */
  CudaBackend(int ordinal, const CudaOptions& options);

  [[nodiscard]] DeviceInfo info() const override;
  [[nodiscard]] MemoryStats memoryStats() const override;
  [[nodiscard]] size_t freeBytes() override;
  DeviceThread& thread() override { return context_->thread(); }
  void finish() override { completions_.finish(); }
  void halt() override;
  /** Reads another folder of plans and kernels from now on. */
  void readPlans(const std::string& folder) { cache_.alsoRead(folder); }
  /** Throws Error kDeviceLost. */
  void throwIfLost() const { context_->throwIfLost(); }
  std::shared_ptr<HostMemory> allocateHost(size_t bytes) override;
  std::shared_ptr<Memory> allocate(size_t bytes) override;
  void upload(Memory& to, const std::byte* from, size_t bytes) override;
  void download(std::byte* to, const Memory& from, size_t bytes) override;
  std::shared_ptr<Parameters> createParameters(std::vector<ParameterSpec> specs,
                                               Precision precision) override;
  [[nodiscard]] size_t paddedBatch(const Program& program, size_t batch) const override;
  Roofline roofline(Precision precision) override;
  std::shared_ptr<Executable> compile(const Program& program,
                                      std::shared_ptr<Parameters> parameters,
                                      size_t batch) override;

 private:
  std::shared_ptr<Context> context_;
  DiskCache cache_;
  bool deterministic_;
  ForcedKernels forced_;
  std::atomic<size_t> parameterBytes_{0}, activationBytes_{0}, tensorBytes_{0};
  Kernels kernels_;
  SharedArena arena_;
  std::shared_ptr<HostPool> pinned_;
  Completions completions_;
};

}  // namespace vgg::cuda
