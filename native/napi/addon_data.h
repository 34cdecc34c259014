// What one JavaScript environment (the main thread, or a worker) owns: its promises under way, and
// how they settle.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>

#include "core/backend.h"
#include "core/device_thread.h"
#include "core/error.h"
#include "core/host_memory.h"

namespace vgg::napi {

/** Makes the promise's value on the JavaScript thread. Holds no handle of JavaScript: it may be
 * dropped on any thread. */
using MakeValue = std::function<Napi::Value(Napi::Env)>;

/** An Error with the `code` that lib/errors.ts turns into a VggError. */
Napi::Error toNapiError(Napi::Env env, const Error& error);

/** The exception in flight, whatever it is, as an Error of this project. */
Error currentError();

/** The same of an exception that was kept. */
Error errorOf(const std::exception_ptr& failure);

/** Calls body() and turns what it throws into a JavaScript exception with a code. */
template <typename Body>
auto guarded(Napi::Env env, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw toNapiError(env, currentError());
  }
}

class AddonData {
 public:
  explicit AddonData(Napi::Env env);
  static AddonData& of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

  /**
   * Runs work() on the backend's thread and settles the promise with the value that it made, or
   * with what it threw. The event loop stays alive until then. A `cancelled` that is set before it
   * starts makes it Error kAborted. `kept`, which the value may use, is given up when the promise
   * is settled.
   */
  Napi::Promise post(Napi::Env env, Backend& backend, Cancellation cancelled,
                     std::function<MakeValue()> work, napi_ref kept = nullptr);
  Napi::Promise post(Napi::Env env, Backend& backend, std::function<MakeValue()> work);

  /** Ends a job with its value, or with what went wrong. Once, on any thread. */
  using Finish = std::function<void(std::exception_ptr, MakeValue)>;
  /** The same for work that goes on after start() has returned: it calls `Finish` when it ends. */
  Napi::Promise postStart(Napi::Env env, Backend& backend, Cancellation cancelled,
                          std::function<void(Finish)> start, napi_ref kept = nullptr);

  /** Keeps an object from garbage collection until a job that it is handed to is settled. */
  napi_ref keep(const Napi::Value& value);

  std::shared_ptr<Backend> opening;  // on its way into a new device
  Napi::FunctionReference deviceConstructor, memoryConstructor, parametersConstructor,
      heldParametersConstructor, reservationConstructor, graphConstructor;

 private:
  struct Job {
    Napi::Promise::Deferred deferred;
    napi_ref kept;
    MakeValue makeValue;
    std::optional<Error> error;
  };
  static void settle(Napi::Env env, Napi::Function, AddonData* data, Job* job);
  static void cleanup(AddonData* data);
  using Settled = Napi::TypedThreadSafeFunction<AddonData, Job, settle>;

  void giveUp(napi_ref kept);

  Napi::Env env_;
  Settled settled_;
  std::set<napi_ref> kept_;
  size_t pending_ = 0;
};

/** Throws TypeError unless `value` is an object that T wrapped: another copy of the addon may live
 * in this process. */
template <typename T>
T& unwrap(const Napi::Value& value) {
  if (value.IsObject()) {
    const auto object = value.As<Napi::Object>();
    if (object.CheckTypeTag(&T::kTypeTag)) return *T::Unwrap(object);
  }
  throw Napi::TypeError::New(value.Env(), std::string("Expected a native ") + T::kName);
}

/** Resolves with what makeValue makes, or rejects. Never throws: the environment may be ending. */
void settlePromise(Napi::Env env, const Napi::Promise::Deferred& deferred,
                   const MakeValue& makeValue, std::optional<Error> error);

/** Runs work() on libuv's pool, for what belongs to no device, and settles the promise like
 * AddonData::post. */
Napi::Promise inBackground(Napi::Env env, const char* name, std::function<MakeValue()> work);

/** The bytes of a typed array, valid until JavaScript runs again. */
struct View {
  std::byte* data;
  size_t bytes;
};
View viewOf(const Napi::Value& value);

/** A copy of the bytes on the host, which no transfer or resize in JavaScript can touch. */
std::shared_ptr<HostMemory> snapshot(const View& view, std::shared_ptr<HostMemory> to);
std::shared_ptr<HostMemory> snapshot(const View& view);

/** The value of a finished copy: an ordinary ArrayBuffer. */
Napi::ArrayBuffer toArrayBuffer(Napi::Env env, const std::byte* data, size_t bytes);
Napi::Array precisionNames(Napi::Env env, const std::vector<Precision>& precisions);

}  // namespace vgg::napi
