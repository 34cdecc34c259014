// The state of one JavaScript environment (the main thread or a worker): its pending promises and
// how they settle.
#pragma once

#include <napi.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "core/error.h"
#include "core/memory/host_memory.h"
#include "core/threads/device_thread.h"
#include "core/threads/places.h"

namespace vgg::napi {

/** Makes the promise's value on the JavaScript thread. Holds no JavaScript handle, because it may
 * be destroyed on any thread. */
using MakeValue = std::function<Napi::Value(Napi::Env)>;

/** Makes an Error with the `code` that lib/errors.ts turns into a VggError. Allocates nothing in
 * C++. */
Napi::Error toNapiError(Napi::Env env, Code code, const char* message);

/** Converts the exception in flight, of any type, to an Error with a code. Allocates nothing in
 * C++. */
Napi::Error currentError(Napi::Env env);

/** Calls body() and converts its exceptions to JavaScript: an ArgumentError becomes a RangeError,
 * others an Error with a code. */
template <typename Body>
auto guarded(Napi::Env env, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const ArgumentError& error) {
    throw Napi::RangeError::New(env, error.what());
  } catch (...) {
    throw currentError(env);
  }
}

class AddonData {
 public:
  explicit AddonData(Napi::Env env);
  ~AddonData();
  AddonData(const AddonData&) = delete;
  AddonData& operator=(const AddonData&) = delete;
  /** Hands `data` to the environment, which owns it afterwards. */
  static void install(Napi::Env env, std::unique_ptr<AddonData> data);
  static AddonData& of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

  /** A pending call: what its promise needs until it is settled. */
  class Job {
   public:
    Job(AddonData& owner, MakeValue value, uint32_t number)
        : makeValue(std::move(value)), owner_(owner), number_(number) {}

    /** Settles the promise with the result of makeValue, or with the error. Called once, on any
     * thread. Allocates nothing. */
    void end(std::exception_ptr failure) noexcept;

    /** Returns what `promiseOf` was given, on the JavaScript thread. */
    [[nodiscard]] Napi::Object kept() const { return kept_.Value(); }

    MakeValue makeValue;

   private:
    friend AddonData;
    AddonData& owner_;
    const uint32_t number_;  // differs from the number of every other pending job
    Napi::ObjectReference kept_;
    std::optional<Napi::Promise::Deferred> deferred_;
    std::exception_ptr failure_;
  };

  /** A prepared call with all the memory that it needs, so that `submit` allocates nothing. */
  struct Request {
    std::list<Job> job;
    DeviceThread::Tasks task;
  };

  /**
   * Prepares a call that runs start() on a device's thread. It is pending until start() ends the
   * job, then settles with makeValue(). If `cancelled` is set before it starts, it ends with Error
   * kAborted.
   */
  Request prepareStart(Cancellation cancelled, std::function<void(Job&)> start,
                       MakeValue makeValue);
  /** Does the same for work() that is complete when it returns. It returns the MakeValue. */
  Request prepare(Cancellation cancelled, std::function<MakeValue()> work);

  /** Makes the call. The event loop stays alive until its promise is settled. Throws Napi::Error
   * if the environment is ending. */
  Napi::Promise submit(Napi::Env env, Backend& backend, Request request);

  /** Makes a call whose promise is asked for later. Returns the call's number. If the call ends
   * before its promise is asked for, nobody learns of its end. It can only end in a later turn of
   * the event loop. */
  uint32_t start(Napi::Env env, Backend& backend, Request request);
  /** Returns the promise of a started call, and protects `kept` from garbage collection until it
   * settles. */
  Napi::Promise promiseOf(Napi::Env env, uint32_t number, const Napi::Object& kept);

  /** Calls start() with a new job and returns its promise, which settles when the job ends. */
  Napi::Promise begin(Napi::Env env, const std::function<void(Job&)>& start);

  /** Calls prepare, then submit. */
  Napi::Promise post(Napi::Env env, Backend& backend, std::function<MakeValue()> work);

  // They are closed when the environment ends.
  std::vector<std::weak_ptr<Places::Client>> places;
  // They are handed to the constructor of a new device.
  std::shared_ptr<Backend> opening;
  std::shared_ptr<QueueBudget> openingQueue;
  Napi::FunctionReference deviceConstructor, memoryConstructor, parametersConstructor,
      heldParametersConstructor, reservationConstructor, cancellationConstructor, graphConstructor;

 private:
  /** Makes `job` pending. */
  Job& track(Napi::Env env, std::list<Job> job);
  static Napi::Promise promiseOf(Napi::Env env, Job& job);
  static void settle(Napi::Env env, Napi::Function, AddonData* data, Job* job);
  static void cleanup(void* data);
  using Settled = Napi::TypedThreadSafeFunction<AddonData, Job, settle>;

  Settled settled_;
  bool isReleased_ = false;
  uint32_t lastNumber_ = 0;
  std::list<Job> jobs_;  // pending
};

/** Releases what a wrapper held, on the device's thread after all earlier calls. Its memory is
 * allocated together with the wrapper, so that disposing cannot run out of memory. */
template <typename T>
class Disposal {
 public:
  Disposal() = default;
  Disposal(AddonData& data, const std::shared_ptr<Backend>& backend)
      : last_(std::make_shared<std::shared_ptr<T>>()),
        request_(data.prepare(std::make_shared<std::atomic<bool>>(false),
                              [last = last_, backend]() -> MakeValue {
                                backend->finish();
                                *last = nullptr;
                                return [](Napi::Env env) { return env.Undefined(); };
                              })) {}

  /** Resolves when the memory is free. A second call has nothing to release. */
  Napi::Promise run(Napi::Env env, Backend& backend, std::shared_ptr<T> value) {
    AddonData& data = AddonData::of(env);
    if (last_ == nullptr)
      return data.post(env, backend,
                       []() -> MakeValue { return [](Napi::Env env) { return env.Undefined(); }; });
    *last_ = std::move(value);
    last_ = nullptr;
    return data.submit(env, backend, std::move(request_));
  }

 private:
  std::shared_ptr<std::shared_ptr<T>> last_;
  AddonData::Request request_;
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

/** Resolves with the result of makeValue, or rejects. Never throws, because the environment may be
 * ending. */
void settlePromise(Napi::Env env, const Napi::Promise::Deferred& deferred,
                   const MakeValue& makeValue, const std::exception_ptr& failure) noexcept;

/** Runs work() that belongs to no device on libuv's pool. Settles the promise like AddonData::post.
 */
Napi::Promise inBackground(Napi::Env env, const char* name, std::function<MakeValue()> work);

/** The bytes of a typed array, valid until JavaScript runs again. */
struct View {
  std::byte* data;
  size_t bytes;
};
View viewOf(const Napi::Value& value);

/** Copies the bytes to host memory, which a transfer or resize in JavaScript cannot affect. */
std::shared_ptr<HostMemory> snapshot(const View& view, std::shared_ptr<HostMemory> to);
std::shared_ptr<HostMemory> snapshot(const View& view);

/** Copies the bytes to an ordinary ArrayBuffer. */
Napi::ArrayBuffer toArrayBuffer(Napi::Env env, const std::byte* data, size_t bytes);
Napi::Array precisionNames(Napi::Env env, const std::vector<Precision>& precisions);

}  // namespace vgg::napi
