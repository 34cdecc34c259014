// A GPU as a device: its memory, its programs, and the pinned memory of the host that it copies
// from and to.
#pragma once

#include <map>
#include <mutex>

#include "cuda/executable.h"

namespace vgg::cuda {

struct CudaOptions {
  std::string cacheFolder;  // "" keeps no plans and kernels on disk
  bool deterministic = false;
};

/** Pinned blocks that were given back, for the next run of the same size. */
class PinnedPool : public std::enable_shared_from_this<PinnedPool> {
 public:
  explicit PinnedPool(std::shared_ptr<Context> context) : context_(std::move(context)) {}

  /** Ordinary memory where none can be pinned: copies are slower then. On any thread. */
  std::shared_ptr<HostMemory> allocate(size_t bytes);

 private:
  void giveBack(std::byte* block, size_t bytes);

  std::shared_ptr<Context> context_;
  std::mutex mutex_;
  std::multimap<size_t, std::byte*> idle_;
  size_t idleBytes_ = 0;
};

/** What the GPU offers of `Precision`. */
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
  std::shared_ptr<HostMemory> allocateHost(size_t bytes) override {
    return pinned_->allocate(bytes);
  }
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
  std::atomic<size_t> parameterBytes_{0}, activationBytes_{0}, tensorBytes_{0};
  Kernels kernels_;
  SharedArena arena_;
  std::shared_ptr<PinnedPool> pinned_;
  Completions completions_;
};

}  // namespace vgg::cuda
