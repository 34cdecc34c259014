#include "napi/wraps/cancellation_wrap.h"

#include "napi/addon_data.h"
#include "napi/devices.h"

namespace vgg::napi {

Napi::Function CancellationWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeCancellation",
                     {InstanceMethod<&CancellationWrap::cancel>("cancel")});
}

CancellationWrap::CancellationWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] { flag_ = std::make_shared<std::atomic<bool>>(false); });
}

/** Allocates nothing, because a failure could not be reported. */
void CancellationWrap::cancel(const Napi::CallbackInfo& info) {
  *flag_ = true;
  const AddonData* owner = &AddonData::of(info.Env());
  forEachOpenDevice([owner](Backend& backend) { backend.thread().endCancelled(owner); });
}

}  // namespace vgg::napi
