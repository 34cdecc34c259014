// One JavaScript thread's access to places that the whole process shares.
#pragma once

#include <napi.h>

#include <memory>

#include "core/threads/places.h"

namespace vgg::napi {

class PlacesWrap : public Napi::ObjectWrap<PlacesWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0x2b7c4e9015fd83a6, 0x9a30d86e47c1f25b};
  static constexpr const char* kName = "places";

  static Napi::Function define(Napi::Env env);
  /** new(name, capacity). The places that it holds are released when its environment ends. */
  explicit PlacesWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value capacity(const Napi::CallbackInfo& info);
  Napi::Value free(const Napi::CallbackInfo& info);
  Napi::Value idleMs(const Napi::CallbackInfo& info);
  Napi::Value take(const Napi::CallbackInfo& info);
  Napi::Value wait(const Napi::CallbackInfo& info);
  void change(const Napi::CallbackInfo& info);
  void give(const Napi::CallbackInfo& info);
  [[nodiscard]] size_t amountOf(const Napi::Value& value) const;

  std::shared_ptr<Places> places_;
  std::shared_ptr<Places::Client> client_;
};

}  // namespace vgg::napi
