#include "napi/devices.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "cpu/backend.h"

namespace vgg::napi {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::tuple<int, std::string, size_t>, std::shared_ptr<Backend>> cpus;
  std::mutex openingGpu;  // one at a time, while `mutex` stays free
  std::map<std::tuple<int, bool, size_t>, std::shared_ptr<cuda::CudaBackend>> gpus;
};

// Never destroyed: its threads may run when static destructors do.
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

}  // namespace

std::shared_ptr<Backend> openCpu(int threads, const std::string& instructionSet,
                                 size_t maxQueuedBytes) {
  const std::tuple key(threads > 0 ? threads : availableCores(),
                       std::string(cpu::chooseKernels(instructionSet).name), maxQueuedBytes);
  const std::lock_guard lock(registry().mutex);
  const auto open = registry().cpus.find(key);
  if (open != registry().cpus.end()) return open->second;
  // Made before it is kept: it may throw.
  const auto backend =
      std::make_shared<cpu::CpuBackend>(std::get<0>(key), std::get<1>(key), maxQueuedBytes);
  registry().cpus.emplace(key, backend);
  return backend;
}

std::shared_ptr<Backend> openCuda(int ordinal, const cuda::CudaOptions& options) {
  const std::tuple key(ordinal, options.deterministic, options.maxQueuedBytes);
  const std::lock_guard opening(registry().openingGpu);
  {
    const std::lock_guard lock(registry().mutex);
    // A GPU is lost to the whole process, by whichever of its devices that was seen.
    for (const auto& [other, backend] : registry().gpus) {
      if (other.first == ordinal) backend->throwIfLost();
    }
    const auto open = registry().gpus.find(key);
    if (open != registry().gpus.end()) return open->second;
  }
  const auto backend = std::make_shared<cuda::CudaBackend>(ordinal, options);
  {
    const std::lock_guard lock(registry().mutex);
    registry().gpus.emplace(key, backend);
  }
  haltGpusAtExit();
  return backend;
}

void haltGpus() {
  std::vector<std::shared_ptr<cuda::CudaBackend>> open;
  {
    const std::lock_guard lock(registry().mutex);
    for (const auto& [key, backend] : registry().gpus) open.push_back(backend);
  }
  for (const auto& backend : open) backend->halt();
}

void haltGpusAtExit() {
  const std::lock_guard lock(registry().mutex);
  if (!registry().gpus.empty()) std::atexit(haltGpus);
}

void forEachOpenDevice(const std::function<void(Backend&)>& visit) {
  std::vector<std::shared_ptr<Backend>> open;
  {
    const std::lock_guard lock(registry().mutex);
    for (const auto& [key, backend] : registry().cpus) open.push_back(backend);
    for (const auto& [key, backend] : registry().gpus) open.push_back(backend);
  }
  for (const auto& backend : open) visit(*backend);
}

}  // namespace vgg::napi
