// A recorded program on a device, with one executable for each padded batch size.
#pragma once

#include <napi.h>

#include <atomic>
#include <map>
#include <memory>

#include "core/backend.h"
#include "napi/addon_data.h"

namespace vgg::napi {

class GraphWrap : public Napi::ObjectWrap<GraphWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0x3c94a7f8e51d4b06, 0xb7e65d20f48a1c93};
  static constexpr const char* kName = "graph";

  static Napi::Function define(Napi::Env env);
  /** new(device, record, parameters) */
  explicit GraphWrap(const Napi::CallbackInfo& info);

 private:
  /** The state that the device's thread uses. It outlives this object during a run. */
  struct State {
    std::shared_ptr<Backend> backend;
    std::shared_ptr<Parameters> parameters;
    Program program;
    std::map<size_t, std::shared_ptr<Executable>>
        executables;  // by padded batch size; used on the device's thread only

    Executable& executable(size_t batch);
  };
  /** Times of the run that ended last, in milliseconds. */
  struct Times {
    std::atomic<double> device = 0;  // from its turn on the device's thread to its end
    std::atomic<double> call = 0;    // from the call of `start` until its promise is settled
  };
  struct Bound;
  class RunJob;

  [[nodiscard]] std::shared_ptr<Bound> bind(const Napi::CallbackInfo& info) const;

  Napi::Value prepare(const Napi::CallbackInfo& info);
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value startProfile(const Napi::CallbackInfo& info);
  Napi::Value finish(const Napi::CallbackInfo& info);
  Napi::Value lastRun(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  [[nodiscard]] const std::shared_ptr<State>& state() const;

  std::shared_ptr<Backend> backend_;
  std::shared_ptr<QueueBudget> queue_;
  std::shared_ptr<State> state_;
  std::shared_ptr<Times> times_;
  size_t outputCount_ = 0;
  Disposal<State> disposal_;
};

}  // namespace vgg::napi
