// A model's parameters in JavaScript: written, read and initialised by their index.
#pragma once

#include <napi.h>

#include <memory>

#include "core/backend.h"
#include "core/parameter_versions.h"
#include "napi/addon_data.h"

namespace vgg::napi {

class ParametersWrap : public Napi::ObjectWrap<ParametersWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0x7e02b9d15c6843fa, 0x86d13f5a0c9b4e27};
  static constexpr const char* kName = "parameters";

  static Napi::Function define(Napi::Env env);
  /** new(device, [{ name, shape }], precision) */
  explicit ParametersWrap(const Napi::CallbackInfo& info);
  ~ParametersWrap() override;

  /** Throws Error kDisposed. */
  [[nodiscard]] const std::shared_ptr<VersionedParameters>& parameters() const;
  [[nodiscard]] const std::shared_ptr<Backend>& backend() const { return backend_; }

 private:
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value fill(const Napi::CallbackInfo& info);
  Napi::Value fillNormal(const Napi::CallbackInfo& info);
  Napi::Value hold(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  std::shared_ptr<VersionedParameters> release();
  /** Reads the index of a parameter. */
  [[nodiscard]] int indexOf(const Napi::Value& value) const;

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<QueueBudget> queue_;
  std::shared_ptr<VersionedParameters> parameters_;
  Disposal<VersionedParameters> disposal_;
  int64_t bytes_ = 0;
};

}  // namespace vgg::napi
