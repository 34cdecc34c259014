// A model's parameters with the values that they had at one point in the order of calls.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "core/backend.h"
#include "core/parameter_versions.h"
#include "napi/addon_data.h"

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
  std::vector<size_t> counts_;  // elements of each parameter
  /** The device's thread sets the inner pointer before the first read; it stays null if memory ran
   * out. The outer pointer is null after `dispose`. */
  std::shared_ptr<std::shared_ptr<HeldParameters>> held_;
  Disposal<std::shared_ptr<HeldParameters>> disposal_;
};

}  // namespace vgg::napi
