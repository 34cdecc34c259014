#include "napi/wraps/cancellation_wrap.h"

#include "napi/addon_data.h"
#include "napi/wraps/device_wrap.h"

namespace vgg::napi {

Napi::Function CancellationWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeCancellation",
                     {InstanceMethod<&CancellationWrap::cancel>("cancel")});
}

CancellationWrap::CancellationWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] {
    backend_ = unwrap<DeviceWrap>(info[0]).backend();
    flag_ = std::make_shared<std::atomic<bool>>(false);
  });
}

/** Allocates nothing, because a failure could not be reported. */
void CancellationWrap::cancel(const Napi::CallbackInfo& info) {
  *flag_ = true;
  backend_->thread().endCancelled(&AddonData::of(info.Env()));
}

}  // namespace vgg::napi
