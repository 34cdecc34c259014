#include "napi/held_parameters_wrap.h"

#include <utility>

#include "core/host_memory.h"
#include "napi/addon_data.h"
#include "napi/parameters_wrap.h"

namespace vgg::napi {
namespace {

Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

HeldParameters& required(const std::shared_ptr<HeldParameters>& held) {
  if (held == nullptr)
    throw Error(Code::kOutOfMemory,
                "Expected host memory to hold the parameters but there is none");
  return *held;
}

}  // namespace

Napi::Function HeldParametersWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeHeldParameters",
                     {
                         InstanceMethod<&HeldParametersWrap::read>("read"),
                         InstanceMethod<&HeldParametersWrap::dispose>("dispose"),
                     });
}

HeldParametersWrap::HeldParametersWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] {
    auto& wrap = unwrap<ParametersWrap>(info[0]);
    backend_ = wrap.backend();
    // The promise is dropped, so this must not fail.
    AddonData::of(info.Env())
        .post(info.Env(), *backend_, [from = wrap.parameters(), held = held_]() -> MakeValue {
          try {
            *held = from->hold();
          } catch (...) {  // NOLINT(bugprone-empty-catch): `required` says it
          }
          return undefined;
        });
  });
}

/** read(index, first, count, isLast) → Promise of an ArrayBuffer of float32. After the last read of
 * a parameter it is not held any more. */
Napi::Value HeldParametersWrap::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = info[0].As<Napi::Number>().Int32Value();
    const auto first = static_cast<size_t>(info[1].As<Napi::Number>().Int64Value());
    const auto count = static_cast<size_t>(info[2].As<Napi::Number>().Int64Value());
    const bool isLast = info[3].ToBoolean();
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [held = held_, index, first, count, isLast]() -> MakeValue {
          auto copy = HostMemory::allocate(checkedMultiply(count, sizeof(float)));
          HeldParameters& from = required(*held);
          from.read(index, first, count, copy->floats());
          if (isLast) from.drop(index);
          return [copy](Napi::Env env) { return toArrayBuffer(env, copy->data(), copy->bytes()); };
        });
  });
}

/** Resolves when what was held is free. */
Napi::Value HeldParametersWrap::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return AddonData::of(info.Env()).post(info.Env(), *backend_, [held = held_]() -> MakeValue {
      *held = nullptr;
      return undefined;
    });
  });
}

}  // namespace vgg::napi
