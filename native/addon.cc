// Registers the functions that lib/native/addon.ts declares: the only entry from JavaScript into
// the native code.
#include <napi.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "core/dynamic_library.h"
#include "core/memory/host_memory.h"
#include "core/random.h"
#include "core/system.h"
#include "core/threads/parallel.h"
#include "cpu/backend.h"
#include "cpu/instruction_set.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/cuda_info.h"
#include "napi/devices.h"
#include "napi/node_functions.h"
#include "napi/resize_crop.h"
#include "napi/wraps/cancellation_wrap.h"
#include "napi/wraps/device_wrap.h"
#include "napi/wraps/graph_wrap.h"
#include "napi/wraps/held_parameters_wrap.h"
#include "napi/wraps/memory_wrap.h"
#include "napi/wraps/parameters_wrap.h"
#include "napi/wraps/places_wrap.h"
#include "napi/wraps/reservation_wrap.h"

namespace {

/** cpuInfo() → { cores, instructionSets, precisions }. Says what the CPU offers without opening it
 * as a device. */
Napi::Value cpuInfo(const Napi::CallbackInfo& info) {
  return vgg::napi::guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Object object = Napi::Object::New(info.Env());
    Napi::Array sets = Napi::Array::New(info.Env());
    for (const vgg::cpu::Kernels* kernels : vgg::cpu::availableKernels())
      sets.Set(sets.Length(), kernels->name);
    vgg::napi::setOwn(object, "cores", vgg::availableCores());
    vgg::napi::setOwn(object, "instructionSets", sets);
    vgg::napi::setOwn(
        object, "precisions",
        vgg::napi::precisionNames(info.Env(),
                                  vgg::cpu::precisionsOf(*vgg::cpu::availableKernels().front())));
    return object;
  });
}

/** poolThreads() → the number of threads in libuv's pool, from the variable that libuv reads. A
 * worker's own environment variables have no effect. */
Napi::Value poolThreads(const Napi::CallbackInfo& info) {
  static const int64_t threads = [] {
    constexpr int64_t kDefault = 4;
    constexpr int64_t kMax = 1024;
    const auto text = vgg::findEnvironmentVariable("UV_THREADPOOL_SIZE");
    return text ? std::clamp<int64_t>(std::strtol(text->c_str(), nullptr, 10), 1, kMax) : kDefault;
  }();
  return Napi::Number::New(info.Env(), static_cast<double>(threads));
}

/** randomNormal(count, seed) → ArrayBuffer of float32 */
Napi::Value randomNormal(const Napi::CallbackInfo& info) {
  return vgg::napi::guarded(info.Env(), [&]() -> Napi::Value {
    using vgg::napi::integerOf;
    using vgg::napi::kMaxSafeInteger;
    const auto count = static_cast<size_t>(integerOf(info[0], "count", 0, kMaxSafeInteger));
    const auto seed = static_cast<uint64_t>(integerOf(info[1], "seed", 0, kMaxSafeInteger));
    const auto numbers = vgg::HostMemory::allocate(vgg::checkedMultiply(count, sizeof(float)));
    vgg::fillNormal(numbers->floats(), 0, count, seed, 0, 1.0F);
    return vgg::napi::toArrayBuffer(info.Env(), numbers->data(), numbers->bytes());
  });
}

/** halt(): permanently stops all work on GPUs, in all environments. */
void halt(const Napi::CallbackInfo&) { vgg::napi::haltGpus(); }

void define(Napi::Env env, Napi::Object exports) {
  using vgg::napi::setOwn;
  auto data = std::make_unique<vgg::napi::AddonData>(env);
  data->deviceConstructor = Napi::Persistent(vgg::napi::DeviceWrap::define(env));
  data->memoryConstructor = Napi::Persistent(vgg::napi::MemoryWrap::define(env));
  data->parametersConstructor = Napi::Persistent(vgg::napi::ParametersWrap::define(env));
  data->heldParametersConstructor = Napi::Persistent(vgg::napi::HeldParametersWrap::define(env));
  data->reservationConstructor = Napi::Persistent(vgg::napi::ReservationWrap::define(env));
  data->cancellationConstructor = Napi::Persistent(vgg::napi::CancellationWrap::define(env));
  data->graphConstructor = Napi::Persistent(vgg::napi::GraphWrap::define(env));
  setOwn(exports, "Places", vgg::napi::PlacesWrap::define(env));
  setOwn(exports, "openCpu", Napi::Function::New<vgg::napi::DeviceWrap::openCpu>(env, "openCpu"));
  setOwn(exports, "openCuda",
         Napi::Function::New<vgg::napi::DeviceWrap::openCuda>(env, "openCuda"));
  setOwn(exports, "cudaDevices", Napi::Function::New<vgg::napi::cudaDevices>(env, "cudaDevices"));
  setOwn(exports, "cudaReport", Napi::Function::New<vgg::napi::cudaReport>(env, "cudaReport"));
  setOwn(exports, "cudaDriver", Napi::Function::New<vgg::napi::cudaDriver>(env, "cudaDriver"));
  setOwn(exports, "setCudaSets", Napi::Function::New<vgg::napi::setCudaSets>(env, "setCudaSets"));
  setOwn(exports, "planConvolutions",
         Napi::Function::New<vgg::napi::planConvolutions>(env, "planConvolutions"));
  setOwn(exports, "stepCosts", Napi::Function::New<vgg::napi::stepCosts>(env, "stepCosts"));
  setOwn(exports, "compileKernels",
         Napi::Function::New<vgg::napi::compileKernels>(env, "compileKernels"));
  setOwn(exports, "poolThreads", Napi::Function::New<poolThreads>(env, "poolThreads"));
  setOwn(exports, "cpuInfo", Napi::Function::New<cpuInfo>(env, "cpuInfo"));
  setOwn(exports, "halt", Napi::Function::New<halt>(env, "halt"));
  setOwn(exports, "randomNormal", Napi::Function::New<randomNormal>(env, "randomNormal"));
  setOwn(exports, "resizeCrop", Napi::Function::New<vgg::napi::resizeCrop>(env, "resizeCrop"));
  vgg::napi::AddonData::install(env, std::move(data));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  // Node unloads an addon that only a worker loaded, even while its threads still run.
  vgg::keepThisLibrary();
  vgg::napi::guarded(env, [&] {
    vgg::napi::requireNodeFunctions();
    define(env, exports);
  });
  return exports;
}

}  // namespace

NODE_API_MODULE(vgg_cudnn, initialize)
