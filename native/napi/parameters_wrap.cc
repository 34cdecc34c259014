#include "napi/parameters_wrap.h"

#include <utility>

#include "core/host_memory.h"
#include "napi/addon_data.h"
#include "napi/device_wrap.h"
#include "napi/read_program.h"

namespace vgg::napi {
namespace {

Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

}  // namespace

Napi::Function ParametersWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeParameters",
                     {
                         InstanceMethod<&ParametersWrap::write>("write"),
                         InstanceMethod<&ParametersWrap::read>("read"),
                         InstanceMethod<&ParametersWrap::fill>("fill"),
                         InstanceMethod<&ParametersWrap::fillNormal>("fillNormal"),
                         InstanceMethod<&ParametersWrap::dispose>("dispose"),
                     });
}

ParametersWrap::ParametersWrap(const Napi::CallbackInfo& info)
    : ObjectWrap(info), backend_(unwrap<DeviceWrap>(info[0]).backend()) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  parameters_ = guarded(info.Env(), [&] {
    std::vector<ParameterSpec> specs = readParameterSpecs(info[1].As<Napi::Array>());
    for (const ParameterSpec& spec : specs) {
      bytes_ += static_cast<int64_t>(checkedMultiply(elementCount(spec.shape), sizeof(float)));
    }
    return backend_->createParameters(std::move(specs), readPrecision(info[2].ToString()));
  });
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), bytes_);
}

ParametersWrap::~ParametersWrap() { release(); }

std::shared_ptr<Parameters> ParametersWrap::release() {
  if (parameters_ != nullptr) Napi::MemoryManagement::AdjustExternalMemory(Env(), -bytes_);
  return std::exchange(parameters_, nullptr);
}

const std::shared_ptr<Parameters>& ParametersWrap::parameters() const {
  if (parameters_ == nullptr)
    throw Error(Code::kDisposed, "Expected live parameters but they were disposed");
  return parameters_;
}

/** write(index, typedArray, dtype, first) */
Napi::Value ParametersWrap::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>().Int32Value();
    const View view = viewOf(info[1]);
    const DType dtype = readDType(info[2].As<Napi::String>());
    const auto first = static_cast<size_t>(info[3].As<Napi::Number>().Int64Value());
    const size_t count = view.bytes / byteSize(dtype);
    if (first + count > elementCount(parameters()->specs().at(index).shape)) {
      throw Error(Code::kInternal, "Expected at most the parameter's elements");
    }
    auto copy = snapshot(view);
    return AddonData::of(info.Env())
        .post(
            info.Env(), *backend_,
            [to = parameters(), copy = std::move(copy), dtype, index, first, count]() -> MakeValue {
              to->write(index, first, copy->data(), dtype, count);
              return undefined;
            });
  });
}

Napi::Value ParametersWrap::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>().Int32Value();
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [from = parameters(), index]() -> MakeValue {
          auto copy =
              HostMemory::allocate(elementCount(from->specs().at(index).shape) * sizeof(float));
          from->read(index, copy->floats());
          return [copy](Napi::Env env) { return toArrayBuffer(env, copy->data(), copy->bytes()); };
        });
  });
}

/** fill(index, value) */
Napi::Value ParametersWrap::fill(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>().Int32Value();
    const float value = info[1].As<Napi::Number>().FloatValue();
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [to = parameters(), index, value]() -> MakeValue {
          to->fill(index, value);
          return undefined;
        });
  });
}

/** fillNormal(index, standardDeviation, seed, stream) */
Napi::Value ParametersWrap::fillNormal(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>().Int32Value();
    const float standardDeviation = info[1].As<Napi::Number>().FloatValue();
    const auto seed = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
    const uint32_t stream = info[3].As<Napi::Number>().Uint32Value();
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_,
              [to = parameters(), index, standardDeviation, seed, stream]() -> MakeValue {
                to->fillNormal(index, standardDeviation, seed, stream);
                return undefined;
              });
  });
}

/** Resolves when what was asked of the parameters before is done and their memory is free. */
Napi::Value ParametersWrap::dispose(const Napi::CallbackInfo& info) {
  auto last = std::make_shared<std::shared_ptr<Parameters>>(release());
  return AddonData::of(info.Env()).post(info.Env(), *backend_, [last]() -> MakeValue {
    *last = nullptr;
    return undefined;
  });
}

}  // namespace vgg::napi
