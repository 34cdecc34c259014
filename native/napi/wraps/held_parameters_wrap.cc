#include "napi/wraps/held_parameters_wrap.h"

#include <utility>

#include "core/memory/host_memory.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/wraps/parameters_wrap.h"

namespace vgg::napi {
namespace {

HeldParameters& required(const std::shared_ptr<HeldParameters>& held) {
  if (held == nullptr)
    throw Error(Code::kOutOfMemory,
                "Expected host memory for the parameters but none is available");
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
    for (const ParameterSpec& spec : wrap.parameters()->current()->specs())
      counts_.push_back(elementCount(spec.shape));
    held_ = std::make_shared<std::shared_ptr<HeldParameters>>();
    disposal_ = {AddonData::of(info.Env()), backend_};
    // The promise is dropped, so this must not fail.
    AddonData::of(info.Env())
        .post(info.Env(), *backend_, [from = wrap.parameters(), held = held_]() -> MakeValue {
          try {
            *held = from->hold();
          } catch (...) {  // NOLINT(bugprone-empty-catch): `required` says it
          }
          return [](Napi::Env env) { return env.Undefined(); };
        });
  });
}

/** read(index, first, count, isLast) → Promise of an ArrayBuffer of float32. The last read of a
 * parameter drops it. */
Napi::Value HeldParametersWrap::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto last = static_cast<int64_t>(counts_.size()) - 1;
    const auto index = static_cast<int>(integerOf(info[0], "index", 0, last));
    const auto total = static_cast<int64_t>(counts_[index]);
    const int64_t first = integerOf(info[1], "first", 0, total);
    const int64_t count = integerOf(info[2], "count", 0, total - first);
    const bool isLast = booleanOf(info[3], "isLast");
    if (held_ == nullptr)
      throw Error(Code::kDisposed, "Expected parameters that are held but they were disposed");
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

/** Resolves when the held memory is free. */
Napi::Value HeldParametersWrap::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return disposal_.run(info.Env(), *backend_, std::move(held_));
  });
}

}  // namespace vgg::napi
