// Bytes of a device's queue that a call has taken before it starts.
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

  /** For the call that it was made for; null if it was released. */
  std::shared_ptr<QueueBudget::Share> handOver();

 private:
  void release(const Napi::CallbackInfo& info);

  std::shared_ptr<QueueBudget::Share> share_;
};

/** What a call takes of the queue: its reservation, or `bytes` now if it has none. Throws
 * Error kQueueFull. */
std::shared_ptr<QueueBudget::Share> shareFor(const Napi::Value& reservation, QueueBudget& queue,
                                             size_t bytes);

}  // namespace vgg::napi
