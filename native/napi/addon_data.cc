#include "napi/addon_data.h"

#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "core/host_memory.h"
#include "napi/devices.h"

namespace vgg::napi {

Napi::Error toNapiError(Napi::Env env, const Error& error) {
  Napi::Error object = Napi::Error::New(env, error.what());
  object.Set("code", Napi::String::New(env, codeName(error.code())));
  return object;
}

Error currentError() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {Code::kOutOfMemory, "The host has no memory left"};
  } catch (const std::exception& error) {
    return {Code::kInternal, error.what()};
  } catch (...) {
    return {Code::kInternal, "An exception of unknown type"};
  }
}

AddonData::AddonData(Napi::Env env) : settled_(Settled::New(env, "vgg-cudnn", 0, 1, this)) {
  settled_.Unref(env);  // an idle model does not keep the process alive
  env.AddCleanupHook(cleanup, this);
}

/** The environment ends: what it waits for is dropped, and what runs for it is stopped at its next
 * step. */
void AddonData::cleanup(AddonData* data) {
  forEachOpenDevice([data](Backend& backend) { backend.thread().dropOwner(data); });
  [[maybe_unused]] const napi_status status = data->settled_.Release();
}

Napi::Promise AddonData::post(Napi::Env env, Backend& backend, std::function<MakeValue()> work) {
  return post(env, backend, std::make_shared<std::atomic<bool>>(false), std::move(work));
}

Napi::Promise AddonData::post(Napi::Env env, Backend& backend, Cancellation cancelled,
                              std::function<MakeValue()> work) {
  auto job = std::make_shared<Job>(Job{Napi::Promise::Deferred::New(env), nullptr, std::nullopt});
  const Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) settled_.Ref(env);
  const std::atomic<bool>* flag = cancelled.get();
  auto run = [this, flag, job, work = std::move(work)]() mutable {
    try {
      if (flag->load()) throw Error(Code::kAborted, "The run was aborted before it started");
      job->makeValue = work();
    } catch (...) {
      job->error = currentError();
    }
    work = nullptr;
    auto* owned = new Job(*job);
    // Refused only while the environment ends; nobody waits then.
    if (settled_.NonBlockingCall(owned) != napi_ok) delete owned;
  };
  backend.thread().post({this, std::move(cancelled), std::move(run)});
  return promise;
}

void AddonData::settle(Napi::Env env, Napi::Function, AddonData* data, Job* job) {
  const std::unique_ptr<Job> owned(job);
  if (static_cast<napi_env>(env) == nullptr) return;  // the environment ends
  const Napi::HandleScope scope(env);
  if (--data->pending_ == 0) data->settled_.Unref(env);
  settlePromise(env, job->deferred, job->makeValue, job->error);
}

void settlePromise(Napi::Env env, const Napi::Promise::Deferred& deferred,
                   const MakeValue& makeValue, std::optional<Error> error) {
  // A worker may be terminated at any moment: then every call into it fails, and nobody is left to
  // tell.
  try {
    if (!error) {
      try {
        deferred.Resolve(makeValue(env));
        return;
      } catch (const Napi::Error& failure) {
        error = Error(Code::kOutOfMemory,
                      failure.Message());  // V8 could not make the result's ArrayBuffer
      } catch (...) {
        error = currentError();
      }
    }
    deferred.Reject(toNapiError(env, *error).Value());
  } catch (...) {  // NOLINT(bugprone-empty-catch)
  }
}

View viewOf(const Napi::Value& value) {
  const napi_env env = value.Env();
  napi_typedarray_type type{};
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    throw Napi::TypeError::New(value.Env(), "Expected a typed array");
  }
  return {static_cast<const std::byte*>(data), value.As<Napi::TypedArray>().ByteLength()};
}

std::shared_ptr<Memory> snapshot(const View& view, Binding* binding) {
  const auto memory = HostMemory::allocate(view.bytes);
  if (view.bytes > 0) std::memcpy(memory->data(), view.data, view.bytes);
  binding->host = memory->data();
  return memory;
}

Napi::ArrayBuffer toArrayBuffer(Napi::Env env, const std::byte* data, size_t bytes) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
  if (bytes > 0) std::memcpy(buffer.Data(), data, bytes);
  return buffer;
}

}  // namespace vgg::napi
