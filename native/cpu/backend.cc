#include "cpu/backend.h"

#include <utility>

#include "core/error.h"
#include "core/memory/copy.h"
#include "cpu/executable.h"
#include "cpu/roofline.h"

namespace vgg::cpu {
namespace {

// Larger allocations cost too little compared with a run to keep memory for them.
constexpr HostPool::Limits kIdleCopyBytes{size_t{32} << 20, size_t{32} << 20};

}  // namespace

CpuBackend::CpuBackend(int threads, const std::string& instructionSet)
    : kernels_(chooseKernels(instructionSet)),
      pool_(threads > 0 ? threads : availableCores()),
      copies_(std::make_shared<HostPool>(
          kIdleCopyBytes, [](size_t bytes) { return HostMemory::allocate(bytes); })) {}

DeviceInfo CpuBackend::info() const {
  return {"cpu", "cpu", kernels_.name, pool_.threads(), precisionsOf(kernels_)};
}

std::vector<Precision> precisionsOf(const Kernels& kernels) {
  std::vector<Precision> offered{Precision::kFloat32};
  if (kernels.narrow != nullptr) offered.push_back(Precision::kFloat16);
  return offered;
}

MemoryStats CpuBackend::memoryStats() const {
  return {parameterBytes_, activationBytes_, tensorBytes_};
}

std::shared_ptr<HostMemory> CpuBackend::allocateHost(size_t bytes) {
  return copies_->allocate(bytes);
}

std::shared_ptr<Memory> CpuBackend::allocate(size_t bytes) {
  return HostMemory::allocate(bytes, &tensorBytes_);
}

void CpuBackend::upload(Memory& to, const std::byte* from, size_t bytes) {
  copyBytes(static_cast<HostMemory&>(to).data(), from, bytes);
}

void CpuBackend::download(std::byte* to, const Memory& from, size_t bytes) {
  copyBytes(to, static_cast<const HostMemory&>(from).data(), bytes);
}

std::shared_ptr<Parameters> CpuBackend::createParameters(std::vector<ParameterSpec> specs,
                                                         Precision precision) {
  requireOffered(precision, precisionsOf(kernels_), std::string("The CPU with ") + kernels_.name);
  return std::make_shared<CpuParameters>(std::move(specs), precision == Precision::kFloat16,
                                         kernels_, pool_, &parameterBytes_);
}

Roofline CpuBackend::roofline(Precision) { return measureRoofline(pool_, kernels_.name); }

std::shared_ptr<Executable> CpuBackend::compile(const Program& program,
                                                std::shared_ptr<Parameters> parameters,
                                                size_t batch) {
  return std::make_shared<CpuExecutable>(
      program, std::static_pointer_cast<CpuParameters>(std::move(parameters)), batch, kernels_,
      pool_, arena_);
}

}  // namespace vgg::cpu
