// A model's parameters as they were at one place in the order of the calls.
#pragma once

#include <napi.h>

#include <memory>

#include "core/backend.h"
#include "core/parameter_versions.h"

namespace vgg::napi {

class HeldParametersWrap : public Napi::ObjectWrap<HeldParametersWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0xa90e47d25c1b3f68, 0x57b2c8f6e04d931a};
  static constexpr const char* kName = "held parameters";

  static Napi::Function define(Napi::Env env);
  /** new(parameters) */
  explicit HeldParametersWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Backend> backend_;
  /** What the device's thread has made by the time when it comes to the first read; null if memory
   * was short, or after `dispose`. */
  std::shared_ptr<std::shared_ptr<HeldParameters>> held_ =
      std::make_shared<std::shared_ptr<HeldParameters>>();
};

}  // namespace vgg::napi
