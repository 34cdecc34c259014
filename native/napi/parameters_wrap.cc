#include "napi/parameters_wrap.h"

#include <utility>

#include "core/host_memory.h"
#include "napi/addon_data.h"
#include "napi/device_wrap.h"
#include "napi/read_program.h"
#include "napi/reservation_wrap.h"

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
                         InstanceMethod<&ParametersWrap::hold>("hold"),
                         InstanceMethod<&ParametersWrap::dispose>("dispose"),
                     });
}

ParametersWrap::ParametersWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] {
    backend_ = unwrap<DeviceWrap>(info[0]).backend();
    std::vector<ParameterSpec> specs = readParameterSpecs(info[1].As<Napi::Array>());
    for (const ParameterSpec& spec : specs) {
      bytes_ += static_cast<int64_t>(checkedMultiply(elementCount(spec.shape), sizeof(float)));
    }
    disposal_ = {AddonData::of(info.Env()), backend_};
    parameters_ = std::make_shared<VersionedParameters>(
        backend_->createParameters(std::move(specs), readPrecision(info[2].ToString())));
  });
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), bytes_);
}

ParametersWrap::~ParametersWrap() { release(); }

std::shared_ptr<VersionedParameters> ParametersWrap::release() {
  if (parameters_ != nullptr) Napi::MemoryManagement::AdjustExternalMemory(Env(), -bytes_);
  return std::exchange(parameters_, nullptr);
}

const std::shared_ptr<VersionedParameters>& ParametersWrap::parameters() const {
  if (parameters_ == nullptr)
    throw Error(Code::kDisposed, "Expected live parameters but they were disposed");
  return parameters_;
}

/** write(indices, typedArrays, dtypes, first, isCounted, reservation | null): all of them in one
 * step; `first` is each one's first element. */
Napi::Value ParametersWrap::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto indices = info[0].As<Napi::Array>();
    const auto arrays = info[1].As<Napi::Array>();
    const auto dtypes = info[2].As<Napi::Array>();
    const auto first = static_cast<size_t>(info[3].As<Napi::Number>().Int64Value());
    const std::vector<ParameterSpec>& specs = parameters()->current()->specs();
    std::vector<ParameterWrite> writes;
    size_t bytes = 0;
    for (uint32_t i = 0; i < indices.Length(); ++i) {
      const int index = Napi::Value(indices.Get(i)).As<Napi::Number>().Int32Value();
      const DType dtype = readDType(Napi::Value(dtypes.Get(i)).As<Napi::String>());
      const View view = viewOf(arrays.Get(i));
      const size_t count = view.bytes / byteSize(dtype);
      const size_t total = elementCount(specs.at(index).shape);
      if (first > total || count > total - first)
        throw Error(Code::kInternal, "Expected at most the parameter's elements");
      writes.push_back({index, first, view.data, dtype, count});
      bytes += view.bytes;
    }
    auto share = shareFor(info[5], *backend_, info[4].ToBoolean() ? bytes : 0);
    std::vector<std::shared_ptr<HostMemory>> copies;
    for (ParameterWrite& write : writes) {
      copies.push_back(
          snapshot({const_cast<std::byte*>(write.from), write.count * byteSize(write.dtype)}));
      write.from = copies.back()->data();
    }
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_,
              [to = parameters(), share = std::move(share), copies = std::move(copies),
               writes = std::move(writes)]() -> MakeValue {
                to->write(writes);
                return undefined;
              });
  });
}

Napi::Value ParametersWrap::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>().Int32Value();
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [from = parameters()->current(), index]() -> MakeValue {
          const size_t count = elementCount(from->specs().at(index).shape);
          auto copy = HostMemory::allocate(count * sizeof(float));
          from->read(index, 0, count, copy->floats());
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

/** hold() → the parameters as they are when all that was asked before is done */
Napi::Value ParametersWrap::hold(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).heldParametersConstructor.New({info.This()});
}

/** Resolves when what was asked of the parameters before is done and their memory is free. */
Napi::Value ParametersWrap::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&]() -> Napi::Value { return disposal_.run(info.Env(), *backend_, release()); });
}

}  // namespace vgg::napi
