#include "napi/addon_data.h"

#include <exception>
#include <new>
#include <utility>

#include "core/copy.h"
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

Error errorOf(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (...) {
    return currentError();
  }
}

AddonData::AddonData(Napi::Env env)
    : env_(env), settled_(Settled::New(env, "vgg-cudnn", 0, 1, this)) {
  settled_.Unref(env);  // an idle model does not keep the process alive
  env.AddCleanupHook(cleanup, this);
}

/** The environment ends: what it waits for is dropped, and what runs for it is stopped at its next
 * step. */
void AddonData::cleanup(AddonData* data) {
  forEachOpenDevice([data](Backend& backend) {
    backend.thread().dropOwner(data);
    backend.finish();  // what was started ends in this environment too
  });
  // A worker ends before the process, which may not know of its devices.
  haltGpusAtExit();
  while (!data->kept_.empty()) data->giveUp(*data->kept_.begin());
  [[maybe_unused]] const napi_status status = data->settled_.Release();
}

napi_ref AddonData::keep(const Napi::Value& value) {
  napi_ref kept = nullptr;
  NAPI_THROW_IF_FAILED(value.Env(), napi_create_reference(value.Env(), value, 1, &kept), nullptr);
  kept_.insert(kept);
  return kept;
}

void AddonData::giveUp(napi_ref kept) {
  kept_.erase(kept);
  [[maybe_unused]] const napi_status status = napi_delete_reference(env_, kept);
}

Napi::Promise AddonData::post(Napi::Env env, Backend& backend, std::function<MakeValue()> work) {
  return post(env, backend, std::make_shared<std::atomic<bool>>(false), std::move(work));
}

Napi::Promise AddonData::post(Napi::Env env, Backend& backend, Cancellation cancelled,
                              std::function<MakeValue()> work, napi_ref kept) {
  return postStart(
      env, backend, std::move(cancelled),
      [work = std::move(work)](const Finish& finish) mutable {
        MakeValue makeValue = work();
        work = nullptr;  // what it kept alive is freed before anybody is told that it has ended
        finish(nullptr, std::move(makeValue));
      },
      kept);
}

Napi::Promise AddonData::postStart(Napi::Env env, Backend& backend, Cancellation cancelled,
                                   std::function<void(Finish)> start, napi_ref kept) {
  auto job =
      std::make_shared<Job>(Job{Napi::Promise::Deferred::New(env), kept, nullptr, std::nullopt});
  const Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) settled_.Ref(env);
  const std::atomic<bool>* flag = cancelled.get();
  const Finish finish = [this, job](const std::exception_ptr& failure, MakeValue makeValue) {
    if (failure) job->error = errorOf(failure);
    job->makeValue = std::move(makeValue);
    auto* owned = new Job(*job);
    // Refused only while the environment ends; nobody waits then.
    if (settled_.NonBlockingCall(owned) != napi_ok) delete owned;
  };
  auto run = [flag, finish, start = std::move(start)]() mutable {
    try {
      if (flag->load()) throw Error(Code::kAborted, "The run was aborted before it started");
      start(finish);
    } catch (...) {
      start = nullptr;  // as in `post`
      finish(std::current_exception(), nullptr);
    }
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
  if (job->kept != nullptr) data->giveUp(job->kept);
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

namespace {

class BackgroundWorker : public Napi::AsyncWorker {
 public:
  BackgroundWorker(Napi::Env env, const char* name, std::function<MakeValue()> work)
      : Napi::AsyncWorker(env, name),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)) {}

  [[nodiscard]] Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      makeValue_ = work_();
    } catch (...) {
      error_ = currentError();
    }
  }
  void OnOK() override { settlePromise(Env(), deferred_, makeValue_, error_); }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<MakeValue()> work_;
  MakeValue makeValue_;
  std::optional<Error> error_;
};

}  // namespace

Napi::Promise inBackground(Napi::Env env, const char* name, std::function<MakeValue()> work) {
  // Deletes itself once it has settled its promise.
  auto worker = std::make_unique<BackgroundWorker>(env, name, std::move(work));
  const Napi::Promise promise = worker->promise();
  worker.release()->Queue();
  return promise;
}

View viewOf(const Napi::Value& value) {
  const napi_env env = value.Env();
  napi_typedarray_type type{};
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    throw Napi::TypeError::New(value.Env(), "Expected a typed array");
  }
  return {static_cast<std::byte*>(data), value.As<Napi::TypedArray>().ByteLength()};
}

std::shared_ptr<HostMemory> snapshot(const View& view, std::shared_ptr<HostMemory> to) {
  copyBytes(to->data(), view.data, view.bytes);
  return to;
}

std::shared_ptr<HostMemory> snapshot(const View& view) {
  return snapshot(view, HostMemory::allocate(view.bytes));
}

Napi::Array precisionNames(Napi::Env env, const std::vector<Precision>& precisions) {
  Napi::Array names = Napi::Array::New(env);
  for (const Precision precision : precisions) names.Set(names.Length(), precisionName(precision));
  return names;
}

Napi::ArrayBuffer toArrayBuffer(Napi::Env env, const std::byte* data, size_t bytes) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
  copyBytes(static_cast<std::byte*>(buffer.Data()), data, bytes);
  return buffer;
}

}  // namespace vgg::napi
