#include "cuda/backend.h"

#include <algorithm>
#include <bit>

#include "core/host_memory.h"
#include "cuda/roofline.h"

namespace vgg::cuda {
namespace {

constexpr size_t kIdlePinnedBytes = size_t{512} << 20;  // kept for the next runs

}  // namespace

std::shared_ptr<HostMemory> PinnedPool::allocate(size_t asked) {
  context_->throwIfLost();
  if (asked == 0) return HostMemory::allocate(asked);
  // Few sizes, so that batches of many sizes share them.
  const size_t bytes = std::bit_ceil(asked);
  std::byte* block = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = idle_.find(bytes); found != idle_.end()) {
      block = found->second;
      idle_.erase(found);
      idleBytes_ -= bytes;
    }
  }
  if (block == nullptr) {
    const Context::Visit visit(*context_);
    void* made = nullptr;
    const CUresult result = context_->api().cuMemHostAlloc(&made, bytes, CU_MEMHOSTALLOC_PORTABLE);
    if (result != CUDA_SUCCESS) {
      // Some containers and systems pin nothing. Throws only where the device is lost.
      try {
        context_->check(result, "cuMemHostAlloc");
      } catch (const Error& error) {
        if (error.code() == Code::kDeviceLost) throw;
      }
      return HostMemory::allocate(asked);
    }
    block = static_cast<std::byte*>(made);
  }
  return HostMemory::adopt(
      block, asked, [pool = shared_from_this(), block, bytes] { pool->giveBack(block, bytes); });
}

void PinnedPool::giveBack(std::byte* block, size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (idleBytes_ + bytes <= kIdlePinnedBytes) {
      idle_.emplace(bytes, block);
      idleBytes_ += bytes;
      return;
    }
  }
  context_->onThread([context = context_, block] {
    if (!context->isLost()) context->api().cuMemFreeHost(block);
  });
}

std::vector<Precision> precisionsOf(const Gpu& gpu) {
  if (gpu.major < 8) return {Precision::kFloat32, Precision::kFloat16};
  return {Precision::kFloat32, Precision::kTf32, Precision::kFloat16, Precision::kBfloat16};
}

CudaBackend::CudaBackend(int ordinal, const CudaOptions& options)
    : context_(std::make_shared<Context>(loadLibraries(), ordinal)),
      cache_(options.cacheFolder),
      deterministic_(options.deterministic),
      kernels_(*context_, cache_),
      arena_(*context_, &activationBytes_),
      pinned_(std::make_shared<PinnedPool>(context_)),
      completions_(*context_) {}

DeviceInfo CudaBackend::info() const {
  return {"cuda:" + std::to_string(context_->gpu().ordinal), "cuda", "", 0,
          precisionsOf(context_->gpu())};
}

MemoryStats CudaBackend::memoryStats() const {
  return {parameterBytes_, activationBytes_, tensorBytes_};
}

size_t CudaBackend::freeBytes() {
  if (context_->isLost()) return 0;
  const Context::Visit visit(*context_);
  size_t free = 0;
  size_t total = 0;
  context_->check(context_->api().cuMemGetInfo_v2(&free, &total), "cuMemGetInfo");
  return free;
}

std::shared_ptr<Memory> CudaBackend::allocate(size_t bytes) {
  const Context::Visit visit(*context_);
  return context_->share(new DeviceMemory(*context_, bytes, &tensorBytes_));
}

void CudaBackend::upload(Memory& to, const std::byte* from, size_t bytes) {
  context_->enter();
  if (bytes == 0) return;
  const auto& memory = static_cast<DeviceMemory&>(to);
  memory.awaitUse(context_->transfer());
  context_->check(
      context_->api().cuMemcpyHtoDAsync_v2(memory.address(), from, bytes, context_->transfer()),
      "cuMemcpyHtoDAsync");
  context_->check(context_->api().cuStreamSynchronize(context_->transfer()), "cuStreamSynchronize");
}

void CudaBackend::download(std::byte* to, const Memory& from, size_t bytes) {
  context_->enter();
  if (bytes == 0) return;
  const auto& memory = static_cast<const DeviceMemory&>(from);
  memory.awaitUse(context_->transfer());
  context_->check(
      context_->api().cuMemcpyDtoHAsync_v2(to, memory.address(), bytes, context_->transfer()),
      "cuMemcpyDtoHAsync");
  context_->check(context_->api().cuStreamSynchronize(context_->transfer()), "cuStreamSynchronize");
}

std::shared_ptr<Parameters> CudaBackend::createParameters(std::vector<ParameterSpec> specs,
                                                          Precision precision) {
  context_->throwIfLost();
  requireOffered(precision, precisionsOf(context_->gpu()), context_->gpu().name);
  return context_->share(
      new CudaParameters(*context_, kernels_, std::move(specs), precision, &parameterBytes_));
}

size_t CudaBackend::paddedBatch(const Program& program, size_t batch) const {
  return std::min(std::bit_ceil(batch), largestBatch(program));
}

Roofline CudaBackend::roofline(Precision precision) {
  return measureRoofline(*context_, precision);
}

std::shared_ptr<Executable> CudaBackend::compile(const Program& program,
                                                 std::shared_ptr<Parameters> parameters,
                                                 size_t batch) {
  context_->throwIfLost();
  const Shared shared{*context_, kernels_,       arena_,           completions_,
                      cache_,    deterministic_, &activationBytes_};
  return context_->share(new CudaExecutable(
      program, std::static_pointer_cast<CudaParameters>(std::move(parameters)), batch, shared));
}

}  // namespace vgg::cuda
