#include "napi/wraps/reservation_wrap.h"

#include <utility>

#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/wraps/device_wrap.h"

namespace vgg::napi {

Napi::Function ReservationWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeReservation",
                     {InstanceMethod<&ReservationWrap::release>("release")});
}

ReservationWrap::ReservationWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  share_ = guarded(info.Env(), [&] {
    const auto bytes = static_cast<size_t>(integerOf(info[1], "bytes", 0, kMaxSafeInteger));
    return unwrap<DeviceWrap>(info[0]).queue()->take(bytes);
  });
}

std::shared_ptr<QueueBudget::Share> ReservationWrap::handOver() {
  return std::exchange(share_, nullptr);
}

void ReservationWrap::release(const Napi::CallbackInfo&) { share_ = nullptr; }

std::shared_ptr<QueueBudget::Share> shareFor(const Napi::Value& reservation, QueueBudget& queue,
                                             size_t bytes) {
  if (reservation.IsObject()) {
    if (auto share = unwrap<ReservationWrap>(reservation).handOver()) return share;
  }
  return queue.take(bytes);
}

}  // namespace vgg::napi
