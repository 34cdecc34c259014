// Drops or stops runs on a device.
#pragma once

#include <napi.h>

#include <atomic>
#include <memory>

#include "core/backend.h"

namespace vgg::napi {

class CancellationWrap : public Napi::ObjectWrap<CancellationWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0x92d7306be1a54c8f, 0xcf28b4a1703e6d59};
  static constexpr const char* kName = "cancellation";

  static Napi::Function define(Napi::Env env);
  /** new(device) */
  explicit CancellationWrap(const Napi::CallbackInfo& info);
  [[nodiscard]] const Backend& backend() const { return *backend_; }
  [[nodiscard]] const std::shared_ptr<std::atomic<bool>>& flag() const { return flag_; }

 private:
  void cancel(const Napi::CallbackInfo& info);

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<std::atomic<bool>> flag_;
};

}  // namespace vgg::napi
