#include "napi/devices.h"

#include <atomic>
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
  std::map<std::pair<int, std::string>, std::shared_ptr<Backend>> cpus;
  std::mutex openingGpu;  // one at a time, while `mutex` stays free
  std::map<std::tuple<int, bool, cuda::ForcedKernels>, std::shared_ptr<cuda::CudaBackend>> gpus;
};

// They are outside the registry, because the end of an environment reads them and must not
// allocate.
std::atomic<const OpenDevice*> lastOpened{nullptr};
std::atomic<bool> hasGpus{false};

// Never destroyed: its threads may run when static destructors do.
Registry& registry() {
  static auto* const instance = new Registry;
  return *instance;
}

/** Keeps a device that was opened; `mutex` is held. */
template <typename Devices>
void keep(Devices& devices, const typename Devices::key_type& key,
          const typename Devices::mapped_type& backend) {
  auto open = std::make_unique<OpenDevice>(OpenDevice{backend, lastOpened});
  devices.emplace(key, backend);
  lastOpened = open.release();
}

}  // namespace

const OpenDevice* openDevices() { return lastOpened; }

std::shared_ptr<Backend> openCpu(int threads, const std::string& instructionSet) {
  const std::pair key(threads > 0 ? threads : availableCores(),
                      std::string(cpu::chooseKernels(instructionSet).name));
  const std::lock_guard lock(registry().mutex);
  const auto open = registry().cpus.find(key);
  if (open != registry().cpus.end()) return open->second;
  // Create it before it is registered, because this may throw.
  const std::shared_ptr<Backend> backend = std::make_shared<cpu::CpuBackend>(key.first, key.second);
  keep(registry().cpus, key, backend);
  return backend;
}

std::shared_ptr<Backend> openCuda(int ordinal, const cuda::CudaOptions& options) {
  const std::tuple key(ordinal, options.deterministic, options.forced);
  const std::lock_guard opening(registry().openingGpu);
  {
    const std::lock_guard lock(registry().mutex);
    // A GPU is lost to the whole process, whichever of its devices noticed it.
    for (const auto& [other, backend] : registry().gpus) {
      if (std::get<0>(other) == ordinal) backend->throwIfLost();
    }
    const auto open = registry().gpus.find(key);
    if (open != registry().gpus.end()) {
      if (!options.plansFolder.empty()) open->second->readPlans(options.plansFolder);
      return open->second;
    }
  }
  const auto backend = std::make_shared<cuda::CudaBackend>(ordinal, options);
  {
    const std::lock_guard lock(registry().mutex);
    keep(registry().gpus, key, backend);
    hasGpus = true;
  }
  haltGpusAtExit();
  return backend;
}

void haltGpus() {
  forEachOpenDevice([](Backend& backend) { backend.halt(); });
}

void haltGpusAtExit() {
  if (hasGpus) std::atexit(haltGpus);
}

}  // namespace vgg::napi
