// Bytes of a device's queue that are reserved before the call starts.
#pragma once

#include <napi.h>

#include <memory>

#include "core/backend.h"

namespace vgg::napi {

class ReservationWrap : public Napi::ObjectWrap<ReservationWrap> {
 public:
  static constexpr napi_type_tag kTypeTag{0x4f6a1c83d29e7b05, 0xe81d5b7063fa492c};
  static constexpr const char* kName = "reservation";

  static Napi::Function define(Napi::Env env);
  /** new(device, bytes) */
  explicit ReservationWrap(const Napi::CallbackInfo& info);

  /** Hands the share to the call that it was reserved for. Null if it was released. */
  std::shared_ptr<QueueBudget::Share> handOver();

 private:
  void release(const Napi::CallbackInfo& info);

  std::shared_ptr<QueueBudget::Share> share_;
};

/** Returns a call's share of the queue: its reservation, or `bytes` taken now if it has none.
 * Throws Error kQueueFull. */
std::shared_ptr<QueueBudget::Share> shareFor(const Napi::Value& reservation, QueueBudget& queue,
                                             size_t bytes);

}  // namespace vgg::napi
