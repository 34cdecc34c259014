// A device in JavaScript: describes it and creates the objects that live on it.
#pragma once

#include <napi.h>

#include <memory>

#include "core/backend.h"

namespace vgg::napi {

class DeviceWrap : public Napi::ObjectWrap<DeviceWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0x5b1f6d0c7a2e4f83, 0x9c3a8e17d4b25f60};
  static constexpr const char* kName = "device";

  static Napi::Function define(Napi::Env env);
  /** A maxQueuedBytes of 0 means the limit that the handles of the device share. */
  static Napi::Object make(Napi::Env env, std::shared_ptr<Backend> backend, size_t maxQueuedBytes);
  /** openCpu(threads, instructionSet, maxQueuedBytes) → device */
  static Napi::Value openCpu(const Napi::CallbackInfo& info);
  /** openCuda(ordinal, { cacheFolder, plansFolder, deterministic, form, linear, maxQueuedBytes }) →
   * Promise of a device */
  static Napi::Value openCuda(const Napi::CallbackInfo& info);

  explicit DeviceWrap(const Napi::CallbackInfo& info);
  [[nodiscard]] const std::shared_ptr<Backend>& backend() const { return backend_; }
  /** Returns the limit on the bytes that queued calls copy through this handle. */
  [[nodiscard]] const std::shared_ptr<QueueBudget>& queue() const { return queue_; }

 private:
  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value memoryStats(const Napi::CallbackInfo& info);
  Napi::Value roofline(const Napi::CallbackInfo& info);
  Napi::Value allocate(const Napi::CallbackInfo& info);
  Napi::Value reserve(const Napi::CallbackInfo& info);
  Napi::Value createCancellation(const Napi::CallbackInfo& info);
  Napi::Value createParameters(const Napi::CallbackInfo& info);
  Napi::Value createGraph(const Napi::CallbackInfo& info);

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<QueueBudget> queue_;
};

}  // namespace vgg::napi
