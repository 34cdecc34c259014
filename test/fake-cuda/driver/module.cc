// The driver's calls for modules, functions and launches. The emulator runs the images of the fake
// NVRTC, which are our own kernels.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>
#include <stdexcept>

#include "device.h"
#include "emulator/emulated_kernels.h"
#include "memory.h"
#include "nvrtc.h"
#include "stream.h"

using namespace fake;

namespace {

constexpr unsigned kSharedBytes = 48 << 10;
constexpr unsigned kSharedBytesOptIn = 227 << 10;
constexpr unsigned kMaxThreads = 1024;

struct Module : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kModule;
  using Handle = CUmodule;
  Image image;
  std::mutex mutex;
  std::vector<CUfunction> functions;
};

struct Function : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kFunction;
  using Handle = CUfunction;
  const emulate::Kernel* kernel = nullptr;
  std::weak_ptr<Module> module;
  std::atomic<unsigned> sharedLimit{kSharedBytes};
};

/** FAKE_CUDA_PLANTED=gemv1:returns-at-once plants a fault in the kernels whose names begin so. It
 * also makes them fast. gemv1:returns-at-once:20 plants it in launches of 20 blocks and more. */
emulate::Planted plantedIn(std::string_view kernel, uint64_t blocks) {
  const char* text = std::getenv("FAKE_CUDA_PLANTED");
  if (text == nullptr || *text == 0) return emulate::Planted::kNothing;
  std::istringstream planted(text);
  std::string name;
  std::string fault;
  uint64_t least = 0;
  std::getline(planted, name, ':');
  std::getline(planted, fault, ':');
  planted >> least;
  if (!kernel.starts_with(name) || blocks < least) return emulate::Planted::kNothing;
  if (fault == "returns-at-once") return emulate::Planted::kReturnsAtOnce;
  if (fault == "stores-nothing") return emulate::Planted::kStoresNothing;
  if (fault == "stores-once") {
    static std::mutex mutex;
    static std::set<std::string, std::less<>> stored;
    const std::lock_guard lock(mutex);
    return stored.emplace(kernel).second ? emulate::Planted::kNothing
                                         : emulate::Planted::kStoresNothing;
  }
  if (fault == "leaves-out-a-block") return emulate::Planted::kLastBlockMissing;
  misuse("FAKE_CUDA_PLANTED: the fake does not know the fault " + fault);
  return emulate::Planted::kNothing;
}

// Blocks run on the emulator's own threads, so the hook cannot know their device. It knows which
// devices run a kernel.
std::atomic<int> runningOn[64];

emulate::Window* allowAccess(const void* address, size_t bytes, bool write) {
  for (int device = 0; device < deviceCount(); ++device) {
    if (runningOn[device] == 0) continue;
    if (auto* window = kernelWindow(device, address, bytes, write)) return window;
  }
  return nullptr;
}

void runKernel(const emulate::Kernel& kernel, int device, emulate::Dim3 grid, emulate::Dim3 block,
               size_t shared, unsigned cluster, void** parameters, uint64_t signature) {
  Memo& memo = contextOf(device)->memo;
  if (memo.redo(signature)) return;
  ++runningOn[device];
  beginAccesses();
  std::string failure;
  try {
    kernel.launch(grid, block, shared, parameters, cluster);
  } catch (const std::exception& error) {
    failure = error.what();
  }
  Accesses accesses = endAccesses();
  --runningOn[device];
  if (!failure.empty()) throw IllegalAddress(std::string(kernel.name) + ": " + failure);
  if (!accesses.isKnown) return forgetMemos();
  memo.did(signature, std::move(accesses.reads), std::move(accesses.writes), false);
}

int checkConfig(const CUlaunchConfig& c, const Function& function) {
  const uint64_t threads = uint64_t{c.blockDimX} * c.blockDimY * c.blockDimZ;
  if (threads == 0 || threads > std::min(kMaxThreads, function.kernel->maxThreads) ||
      c.blockDimZ > 64)
    return CUDA_ERROR_INVALID_VALUE;
  if (c.gridDimX == 0 || c.gridDimY == 0 || c.gridDimZ == 0 || c.gridDimX > 0x7FFFFFFF ||
      c.gridDimY > 65535 || c.gridDimZ > 65535)
    return CUDA_ERROR_INVALID_VALUE;
  if (c.sharedMemBytes > function.sharedLimit) return CUDA_ERROR_INVALID_VALUE;
  if (c.numAttrs > 0 && !c.attrs) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < c.numAttrs; ++i) {
    if (c.attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
      const auto& cluster = c.attrs[i].value.clusterDim;
      // The emulator has clusters along x. Every GPU with clusters accepts 8 blocks.
      if (deviceCapability() < 90 || cluster.y != 1 || cluster.z != 1 || cluster.x == 0 ||
          cluster.x > 8 || c.gridDimX % cluster.x != 0)
        return CUDA_ERROR_INVALID_VALUE;
      continue;
    }
    if (c.attrs[i].id != CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION) {
      misuse("cuLaunchKernelEx: a launch attribute that the fake does not know");
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (c.attrs[i].value.programmaticStreamSerializationAllowed && deviceCapability() < 90)
      return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuModuleLoadData(CUmodule* result, const void* data) {
  if (const int status = enter(Needs::kContext)) return status;
  if (const int status = forbidWhileCapturing()) return status;
  if (!result || !data) return CUDA_ERROR_INVALID_VALUE;
  const auto image = Image::parse(static_cast<const char*>(data));
  if (!image) return kInvalidImage;
  const int capability = deviceCapability();
  // Machine code runs on the same major with the same or a higher minor. PTX runs on anything
  // newer.
  const bool runs = image->isPtx ? image->architecture <= capability
                                 : image->architecture / 10 == capability / 10 &&
                                       image->architecture <= capability;
  if (!runs) return CUDA_ERROR_NO_BINARY_FOR_GPU;
  auto module = std::make_shared<Module>(currentContext()->device);
  module->image = *image;
  *result = publish(module);
  return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule handle) {
  const int status = enterFreeing(Needs::kContext);
  if (status == CUDA_ERROR_NOT_INITIALIZED || status == CUDA_ERROR_INVALID_CONTEXT) return status;
  if (const int capturing = forbidWhileCapturing()) return capturing;
  const auto module = find<Module>(handle, "cuModuleUnload");
  if (!module) return CUDA_ERROR_INVALID_HANDLE;
  contextOf(module->device)->drain();
  retire<Module>(handle, "cuModuleUnload");
  const std::lock_guard lock(module->mutex);
  for (const CUfunction function : module->functions) retire<Function>(function, "cuModuleUnload");
  return status;
}

CUresult cuModuleGetFunction(CUfunction* result, CUmodule handle, const char* name) {
  if (const int status = enter(Needs::kContext)) return status;
  if (!result || !name) return CUDA_ERROR_INVALID_VALUE;
  const auto module = find<Module>(handle, "cuModuleGetFunction");
  if (!module) return CUDA_ERROR_INVALID_HANDLE;
  const emulate::Kernel* kernel = emulate::findKernel(module->image.file, name);
  if (!kernel) return CUDA_ERROR_NOT_FOUND;
  auto function = std::make_shared<Function>(module->device);
  function->kernel = kernel;
  function->module = module;
  *result = publish(function);
  const std::lock_guard lock(module->mutex);
  module->functions.push_back(*result);
  return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  if (const int status = enter(Needs::kContext)) return status;
  const auto function = find<Function>(handle, "cuFuncSetAttribute");
  if (!function) return CUDA_ERROR_INVALID_HANDLE;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
      static_cast<unsigned>(value) > kSharedBytesOptIn)
    return CUDA_ERROR_INVALID_VALUE;
  function->sharedLimit = static_cast<unsigned>(value);
  return CUDA_SUCCESS;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction handle, void** parameters,
                          void** extra) {
  if (const int status = enter(Needs::kContext)) return status;
  if (!config || extra) return CUDA_ERROR_INVALID_VALUE;
  const auto function = find<Function>(handle, "cuLaunchKernelEx");
  if (!function) return CUDA_ERROR_INVALID_HANDLE;
  std::shared_ptr<Stream> stream;
  if (const int status = findStream(config->hStream, "cuLaunchKernelEx", &stream)) return status;
  if (function->device != stream->device) return CUDA_ERROR_INVALID_HANDLE;
  if (const int status = checkConfig(*config, *function)) return status;
  emulate::Kernel kernel = *function->kernel;
  if (!parameters && !kernel.parameterBytes.empty()) return CUDA_ERROR_INVALID_VALUE;
  // The values are copied before the call returns.
  auto values = std::make_shared<std::vector<std::vector<char>>>();
  for (size_t i = 0; i < kernel.parameterBytes.size(); ++i) {
    if (!parameters[i]) return CUDA_ERROR_INVALID_VALUE;
    const auto* bytes = static_cast<const char*>(parameters[i]);
    values->emplace_back(bytes, bytes + kernel.parameterBytes[i]);
  }
  static std::once_flag hooked;
  std::call_once(hooked, [] { emulate::accessHook = &allowAccess; });
  const emulate::Dim3 grid{config->gridDimX, config->gridDimY, config->gridDimZ};
  const emulate::Dim3 block{config->blockDimX, config->blockDimY, config->blockDimZ};
  const size_t shared = config->sharedMemBytes;
  unsigned cluster = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
      cluster = config->attrs[i].value.clusterDim.x;
  }
  Signature whole;
  whole.add(kernel.thread).add(grid).add(block).add(cluster);
  for (const auto& value : *values) whole.add(value.data(), value.size());
  const uint64_t signature = whole.value();
  const auto module = function->module;
  const double threads = 1.0 * grid.x * grid.y * grid.z * block.x * block.y * block.z;
  kernel.planted = plantedIn(kernel.name, uint64_t{grid.x} * grid.y * grid.z);
  const bool isBroken = kernel.planted != emulate::Planted::kNothing;
  return stream->push(
      {.run =
           [=](Stream& on) {
             const auto loaded = module.lock();
             if (!loaded || loaded->destroyed)
               throw IllegalAddress(std::string(kernel.name) + ": its module is unloaded");
             std::vector<void*> pointers;
             for (auto& value : *values) pointers.push_back(value.data());
             runKernel(kernel, on.device, grid, block, shared, cluster, pointers.data(), signature);
           },
       .nanoseconds = isBroken ? 100 : 1500 + threads / 200,
       .counter = &FakeCudaControl::kernelLaunches});
}
