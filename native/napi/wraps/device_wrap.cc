#include "napi/wraps/device_wrap.h"

#include <utility>

#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/devices.h"
#include "napi/read_program.h"
#include "napi/wraps/graph_wrap.h"
#include "napi/wraps/memory_wrap.h"
#include "napi/wraps/parameters_wrap.h"
#include "napi/wraps/reservation_wrap.h"

namespace vgg::napi {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kMaxOrdinal = 999;

size_t queueLimitOf(const Napi::Value& value) {
  return static_cast<size_t>(integerOf(value, "maxQueuedBytes", 0, kMaxSafeInteger));
}

/** Reads the name of a forced kernel. Null forces no kernel. */
template <typename Kernel>
Kernel forcedOf(const Napi::Value& value, const char* name,
                std::initializer_list<std::pair<const char*, Kernel>> known) {
  if (value.IsNull()) return Kernel::kNone;
  const std::string given = stringOf(value, name);
  std::string list;
  for (const auto& [text, kernel] : known) {
    if (given == text) return kernel;
    list.append(list.empty() ? "" : ", ").append(text);
  }
  throw ArgumentError("Expected one of " + list + " for " + name + " but received " + given);
}

cuda::ForcedKernels forcedKernelsOf(const Napi::Object& options) {
  using cuda::ForcedForm, cuda::ForcedLinear;
  return {
      forcedOf<ForcedForm>(ownProperty(options, "form"), "form",
                           {{"plain", ForcedForm::kPlain},
                            {"fused", ForcedForm::kFused},
                            {"cudnn", ForcedForm::kCudnn},
                            {"direct", ForcedForm::kDirect}}),
      forcedOf<ForcedLinear>(ownProperty(options, "linear"), "linear",
                             {{"dense", ForcedLinear::kDense}, {"sparse", ForcedLinear::kSparse}})};
}

}  // namespace

Napi::Function DeviceWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeDevice",
                     {
                         InstanceMethod<&DeviceWrap::info>("info"),
                         InstanceMethod<&DeviceWrap::memoryStats>("memoryStats"),
                         InstanceMethod<&DeviceWrap::roofline>("roofline"),
                         InstanceMethod<&DeviceWrap::allocate>("allocate"),
                         InstanceMethod<&DeviceWrap::reserve>("reserve"),
                         InstanceMethod<&DeviceWrap::createCancellation>("createCancellation"),
                         InstanceMethod<&DeviceWrap::createParameters>("createParameters"),
                         InstanceMethod<&DeviceWrap::createGraph>("createGraph"),
                     });
}

DeviceWrap::DeviceWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  // Handed over by make(). An External would not be freed if a worker is terminated.
  backend_ = std::exchange(AddonData::of(info.Env()).opening, nullptr);
  queue_ = std::exchange(AddonData::of(info.Env()).openingQueue, nullptr);
  if (backend_ == nullptr)
    throw Napi::TypeError::New(info.Env(), "Expected a device that was opened");
}

Napi::Object DeviceWrap::make(Napi::Env env, std::shared_ptr<Backend> backend,
                              size_t maxQueuedBytes) {
  AddonData& data = AddonData::of(env);
  data.openingQueue =
      maxQueuedBytes > 0 ? std::make_shared<QueueBudget>(maxQueuedBytes) : backend->queue();
  data.opening = std::move(backend);
  try {
    return data.deviceConstructor.New({});
  } catch (...) {
    data.opening = nullptr;
    data.openingQueue = nullptr;
    throw;
  }
}

Napi::Value DeviceWrap::openCpu(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto threads = static_cast<int>(integerOf(info[0], "threads", 0, kMaxThreads));
    const size_t maxQueuedBytes = queueLimitOf(info[2]);
    return make(info.Env(), vgg::napi::openCpu(threads, stringOf(info[1], "instructionSet")),
                maxQueuedBytes);
  });
}

Napi::Value DeviceWrap::openCuda(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto ordinal = static_cast<int>(integerOf(info[0], "ordinal", 0, kMaxOrdinal));
    const Napi::Object options = objectOf(info[1], "options");
    const cuda::CudaOptions chosen{
        stringOf(ownProperty(options, "cacheFolder"), "cacheFolder"),
        stringOf(ownProperty(options, "plansFolder"), "plansFolder"),
        booleanOf(ownProperty(options, "deterministic"), "deterministic"),
        forcedKernelsOf(options)};
    const size_t maxQueuedBytes = queueLimitOf(ownProperty(options, "maxQueuedBytes"));
    return inBackground(
        info.Env(), "vgg-cudnn:openCuda", [ordinal, chosen, maxQueuedBytes]() -> MakeValue {
          return [backend = vgg::napi::openCuda(ordinal, chosen), maxQueuedBytes](Napi::Env env) {
            return make(env, backend, maxQueuedBytes);
          };
        });
  });
}

Napi::Value DeviceWrap::info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const DeviceInfo device = backend_->info();
    Napi::Object object = Napi::Object::New(info.Env());
    setOwn(object, "id", device.id);
    setOwn(object, "kind", device.kind);
    setOwn(object, "threads", device.threads);
    setOwn(object, "instructionSet", device.instructionSet);
    setOwn(object, "precisions", precisionNames(info.Env(), device.precisions));
    return object;
  });
}

Napi::Value DeviceWrap::memoryStats(const Napi::CallbackInfo& info) {
  const MemoryStats stats = backend_->memoryStats();
  Napi::Object object = Napi::Object::New(info.Env());
  setOwn(object, "parameterBytes", static_cast<double>(stats.parameterBytes));
  setOwn(object, "activationBytes", static_cast<double>(stats.activationBytes));
  setOwn(object, "tensorBytes", static_cast<double>(stats.tensorBytes));
  setOwn(object, "queuedBytes", static_cast<double>(queue_->used()));
  setOwn(object, "maxQueuedBytes", static_cast<double>(queue_->limit()));
  return object;
}

/** roofline(precision) → Promise of { flopsPerSecond, bytesPerSecond }, 0 if not measured */
Napi::Value DeviceWrap::roofline(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Precision precision = readPrecision(info[0]);
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [backend = backend_, precision]() -> MakeValue {
          return [measured = backend->roofline(precision)](Napi::Env env) {
            Napi::Object roofline = Napi::Object::New(env);
            setOwn(roofline, "flopsPerSecond", measured.flopsPerSecond);
            setOwn(roofline, "bytesPerSecond", measured.bytesPerSecond);
            return roofline;
          };
        });
  });
}

Napi::Value DeviceWrap::allocate(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).memoryConstructor.New({info.This(), info[0]});
}

/** reserve(bytes) → reservation */
Napi::Value DeviceWrap::reserve(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).reservationConstructor.New({info.This(), info[0]});
}

Napi::Value DeviceWrap::createCancellation(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).cancellationConstructor.New({info.This()});
}

Napi::Value DeviceWrap::createParameters(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).parametersConstructor.New({info.This(), info[0], info[1]});
}

Napi::Value DeviceWrap::createGraph(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).graphConstructor.New({info.This(), info[0], info[1]});
}

}  // namespace vgg::napi
