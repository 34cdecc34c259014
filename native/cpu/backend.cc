#include "cpu/backend.h"

#include <cstring>
#include <utility>

#include "core/error.h"
#include "cpu/executable.h"
#include "cpu/roofline.h"

namespace vgg::cpu {

CpuBackend::CpuBackend(int threads, const std::string& instructionSet)
    : kernels_(chooseKernels(instructionSet)), pool_(threads > 0 ? threads : availableCores()) {}

DeviceInfo CpuBackend::info() const { return {"cpu", "cpu", kernels_.name, pool_.threads()}; }

MemoryStats CpuBackend::memoryStats() const {
  return {parameterBytes_, activationBytes_, tensorBytes_};
}

std::shared_ptr<HostMemory> CpuBackend::allocateHost(size_t bytes) {
  return HostMemory::allocate(bytes);
}

std::shared_ptr<Memory> CpuBackend::allocate(size_t bytes) {
  return HostMemory::allocate(bytes, &tensorBytes_);
}

void CpuBackend::upload(Memory& to, const std::byte* from, size_t bytes) {
  std::memcpy(static_cast<HostMemory&>(to).data(), from, bytes);
}

void CpuBackend::download(std::byte* to, const Memory& from, size_t bytes) {
  std::memcpy(to, static_cast<const HostMemory&>(from).data(), bytes);
}

std::shared_ptr<Parameters> CpuBackend::createParameters(std::vector<ParameterSpec> specs,
                                                         Precision precision) {
  if (precision != Precision::kFloat32) {
    throw Error(Code::kUnsupported,
                std::string("The CPU computes in float32, not in ") + precisionName(precision));
  }
  return std::make_shared<CpuParameters>(std::move(specs), kernels_, pool_, &parameterBytes_);
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
