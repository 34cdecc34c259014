#include "napi/wraps/places_wrap.h"

#include <chrono>
#include <utility>

#include "core/error.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"

namespace vgg::napi {

Napi::Function PlacesWrap::define(Napi::Env env) {
  return DefineClass(env, "NativePlaces",
                     {
                         InstanceMethod<&PlacesWrap::capacity>("capacity"),
                         InstanceMethod<&PlacesWrap::free>("free"),
                         InstanceMethod<&PlacesWrap::idleMs>("idleMs"),
                         InstanceMethod<&PlacesWrap::take>("take"),
                         InstanceMethod<&PlacesWrap::wait>("wait"),
                         InstanceMethod<&PlacesWrap::change>("change"),
                         InstanceMethod<&PlacesWrap::give>("give"),
                     });
}

PlacesWrap::PlacesWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] {
    const std::string name = stringOf(info[0], "name");
    const auto capacity = static_cast<size_t>(integerOf(info[1], "capacity", 1, kMaxSafeInteger));
    places_ = Places::named(name, capacity);
    client_ = std::make_shared<Places::Client>(places_);
    auto& clients = AddonData::of(info.Env()).places;
    std::erase_if(clients, [](const auto& client) { return client.expired(); });
    clients.push_back(client_);
  });
}

size_t PlacesWrap::amountOf(const Napi::Value& value) const {
  return static_cast<size_t>(
      integerOf(value, "amount", 0, static_cast<int64_t>(places_->capacity())));
}

Napi::Value PlacesWrap::capacity(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(places_->capacity()));
}

Napi::Value PlacesWrap::free(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(places_->free()));
}

/** Returns the milliseconds since a place was last granted to any thread. */
Napi::Value PlacesWrap::idleMs(const Napi::CallbackInfo& info) {
  const std::chrono::duration<double, std::milli> idle = places_->idle();
  return Napi::Number::New(info.Env(), idle.count());
}

/** take(amount) → whether it was taken. */
Napi::Value PlacesWrap::take(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Boolean::New(info.Env(), client_->take(amountOf(info[0])));
  });
}

/** wait(amount) → Promise of the granted amount, which `change` may have altered. */
Napi::Value PlacesWrap::wait(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const size_t amount = amountOf(info[0]);
    AddonData& data = AddonData::of(info.Env());
    return data.begin(info.Env(), [&](AddonData::Job& job) {
      client_->wait(amount, [&job](size_t given) {
        job.makeValue = [given](Napi::Env env) {
          return Napi::Number::New(env, static_cast<double>(given));
        };
        job.end(nullptr);
      });
    });
  });
}

/** change(amount): changes the amount of the pending wait. */
void PlacesWrap::change(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { client_->change(amountOf(info[0])); });
}

/** give(amount) */
void PlacesWrap::give(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { client_->give(amountOf(info[0])); });
}

}  // namespace vgg::napi
