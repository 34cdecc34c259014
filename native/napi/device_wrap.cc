#include "napi/device_wrap.h"

#include <utility>

#include "napi/addon_data.h"
#include "napi/devices.h"
#include "napi/graph_wrap.h"
#include "napi/memory_wrap.h"
#include "napi/parameters_wrap.h"
#include "napi/read_program.h"
#include "napi/reservation_wrap.h"

namespace vgg::napi {
namespace {

size_t sizeOf(const Napi::Value& bytes) {
  return static_cast<size_t>(bytes.As<Napi::Number>().Int64Value());
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
                         InstanceMethod<&DeviceWrap::createParameters>("createParameters"),
                         InstanceMethod<&DeviceWrap::createGraph>("createGraph"),
                     });
}

DeviceWrap::DeviceWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  // Handed over by make(). An External would not be freed where a worker is terminated.
  backend_ = std::exchange(AddonData::of(info.Env()).opening, nullptr);
  if (backend_ == nullptr)
    throw Napi::TypeError::New(info.Env(), "Expected a device that was opened");
}

Napi::Object DeviceWrap::make(Napi::Env env, std::shared_ptr<Backend> backend) {
  AddonData& data = AddonData::of(env);
  data.opening = std::move(backend);
  try {
    return data.deviceConstructor.New({});
  } catch (...) {
    data.opening = nullptr;
    throw;
  }
}

Napi::Value DeviceWrap::openCpu(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return make(info.Env(), vgg::napi::openCpu(info[0].As<Napi::Number>().Int32Value(),
                                               info[1].As<Napi::String>(), sizeOf(info[2])));
  });
}

Napi::Value DeviceWrap::openCuda(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto options = info[1].As<Napi::Object>();
    const int ordinal = info[0].As<Napi::Number>().Int32Value();
    const cuda::CudaOptions chosen{options.Get("cacheFolder").ToString(),
                                   options.Get("deterministic").ToBoolean(),
                                   sizeOf(options.Get("maxQueuedBytes"))};
    return inBackground(info.Env(), "vgg-cudnn:openCuda", [ordinal, chosen]() -> MakeValue {
      return [backend = vgg::napi::openCuda(ordinal, chosen)](Napi::Env env) {
        return make(env, backend);
      };
    });
  });
}

Napi::Value DeviceWrap::info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const DeviceInfo device = backend_->info();
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("id", device.id);
    object.Set("kind", device.kind);
    object.Set("threads", device.threads);
    object.Set("instructionSet", device.instructionSet);
    object.Set("precisions", precisionNames(info.Env(), device.precisions));
    return object;
  });
}

Napi::Value DeviceWrap::memoryStats(const Napi::CallbackInfo& info) {
  const MemoryStats stats = backend_->memoryStats();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("parameterBytes", static_cast<double>(stats.parameterBytes));
  object.Set("activationBytes", static_cast<double>(stats.activationBytes));
  object.Set("tensorBytes", static_cast<double>(stats.tensorBytes));
  object.Set("queuedBytes", static_cast<double>(backend_->queue().used()));
  object.Set("maxQueuedBytes", static_cast<double>(backend_->queue().limit()));
  return object;
}

/** roofline(precision) → Promise of { flopsPerSecond, bytesPerSecond }, 0 where not measured */
Napi::Value DeviceWrap::roofline(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Precision precision = readPrecision(info[0].ToString());
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [backend = backend_, precision]() -> MakeValue {
          return [measured = backend->roofline(precision)](Napi::Env env) {
            Napi::Object roofline = Napi::Object::New(env);
            roofline.Set("flopsPerSecond", measured.flopsPerSecond);
            roofline.Set("bytesPerSecond", measured.bytesPerSecond);
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

Napi::Value DeviceWrap::createParameters(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).parametersConstructor.New({info.This(), info[0], info[1]});
}

Napi::Value DeviceWrap::createGraph(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).graphConstructor.New({info.This(), info[0], info[1]});
}

}  // namespace vgg::napi
