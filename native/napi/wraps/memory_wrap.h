// A DeviceTensor's bytes on its device.
#pragma once

#include <napi.h>

#include <memory>

#include "core/backend.h"

namespace vgg::napi {

class MemoryWrap : public Napi::ObjectWrap<MemoryWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0x1d8c5e3f90b74a26, 0xa4f0c2681e7d3b95};
  static constexpr const char* kName = "memory";

  static Napi::Function define(Napi::Env env);
  /** new(device, bytes) */
  explicit MemoryWrap(const Napi::CallbackInfo& info);
  ~MemoryWrap() override;

  /** Throws Error kDisposed. */
  [[nodiscard]] const std::shared_ptr<Memory>& memory() const;
  [[nodiscard]] const Backend& backend() const { return *backend_; }

 private:
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);
  void release();

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<QueueBudget> queue_;
  std::shared_ptr<Memory> memory_;
};

}  // namespace vgg::napi
