#include "cuda/backend.h"

#include <algorithm>

#include "core/memory/host_memory.h"
#include "cuda/roofline.h"

namespace vgg::cuda {
namespace {

// Enough memory for three runs of 256 images in float32, and for the runs that several models may
// have under way at once.
constexpr HostPool::Limits kIdlePinnedBytes{size_t{512} << 20, size_t{4} << 30};

/** Returns ordinary memory if none can be pinned. Copies are then slower. */
std::shared_ptr<HostMemory> allocatePinned(const std::shared_ptr<Context>& context, size_t bytes) {
  if (bytes == 0) return HostMemory::allocate(bytes);
  const Context::Visit visit(*context);
  void* made = nullptr;
  const CUresult result = context->api().cuMemHostAlloc(&made, bytes, CU_MEMHOSTALLOC_PORTABLE);
  if (result != CUDA_SUCCESS) {
    // Some containers and systems cannot pin memory. Only a lost device is an error.
    try {
      context->check(context->api().cuMemHostAlloc, result);
    } catch (const Error& error) {
      if (error.code() == Code::kDeviceLost) throw;
    }
    return HostMemory::allocate(bytes);
  }
  std::shared_ptr<void> owner(made, [context](void* last) {
    const Context::Visit visit(*context, std::nothrow);
    if (!context->isLost()) context->api().cuMemFreeHost(last);
  });
  return HostMemory::adopt(static_cast<std::byte*>(made), bytes, std::move(owner));
}

}  // namespace

std::vector<Precision> precisionsOf(const Gpu& gpu) {
  if (gpu.major < 8) return {Precision::kFloat32, Precision::kFloat16};
  return {Precision::kFloat32, Precision::kTf32, Precision::kFloat16, Precision::kBfloat16};
}

CudaBackend::CudaBackend(int ordinal, const CudaOptions& options)
    : context_(std::make_shared<Context>(loadLibraries(), ordinal)),
      cache_(options.cacheFolder),
      deterministic_(options.deterministic),
      forced_(options.forced),
      kernels_(*context_, cache_),
      arena_(*context_, &activationBytes_),
      pinned_(std::make_shared<HostPool>(
          kIdlePinnedBytes,
          [context = context_](size_t bytes) { return allocatePinned(context, bytes); })),
      completions_(*context_) {
  if (!options.plansFolder.empty()) readPlans(options.plansFolder);
}

void CudaBackend::halt() {
  context_->interrupt();
  context_->thread().halt();
  completions_.finish();
  context_->abandon();
}

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
  context_->call(context_->api().cuMemGetInfo_v2, &free, &total);
  return free;
}

std::shared_ptr<HostMemory> CudaBackend::allocateHost(size_t bytes) {
  context_->throwIfLost();
  return pinned_->allocate(bytes);
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
  context_->call(context_->api().cuMemcpyHtoDAsync_v2, memory.address(), from, bytes,
                 context_->transfer());
  context_->call(context_->api().cuStreamSynchronize, context_->transfer());
}

void CudaBackend::download(std::byte* to, const Memory& from, size_t bytes) {
  context_->enter();
  if (bytes == 0) return;
  const auto& memory = static_cast<const DeviceMemory&>(from);
  memory.awaitUse(context_->transfer());
  context_->call(context_->api().cuMemcpyDtoHAsync_v2, to, memory.address(), bytes,
                 context_->transfer());
  context_->call(context_->api().cuStreamSynchronize, context_->transfer());
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
  const Shared shared{*context_, kernels_,       arena_,  completions_,
                      cache_,    deterministic_, forced_, &activationBytes_};
  return context_->share(new CudaExecutable(
      program, std::static_pointer_cast<CudaParameters>(std::move(parameters)), batch, shared));
}

}  // namespace vgg::cuda
