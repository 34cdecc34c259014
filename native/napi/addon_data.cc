#include "napi/addon_data.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "core/memory/copy.h"
#include "core/memory/host_memory.h"
#include "napi/arguments.h"
#include "napi/devices.h"

namespace vgg::napi {

Napi::Error toNapiError(Napi::Env env, Code code, const char* message) {
  Napi::Error object = Napi::Error::New(env, message);
  setOwn(object.Value(), "code", codeName(code));
  return object;
}

Napi::Error currentError(Napi::Env env) {
  try {
    throw;
  } catch (const Error& error) {
    return toNapiError(env, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return toNapiError(env, Code::kOutOfMemory, "The host is out of memory");
  } catch (const std::exception& error) {
    return toNapiError(env, Code::kInternal, error.what());
  } catch (...) {
    return toNapiError(env, Code::kInternal, "An exception of unknown type");
  }
}

AddonData::AddonData(Napi::Env env) : settled_(Settled::New(env, "vgg-cudnn", 0, 1, this)) {
  settled_.Unref(env);  // an idle model does not keep the process alive
}

AddonData::~AddonData() {
  if (!isReleased_) settled_.Release();
}

void AddonData::install(Napi::Env env, std::unique_ptr<AddonData> data) {
  NAPI_THROW_IF_FAILED_VOID(env, napi_add_env_cleanup_hook(env, cleanup, data.get()));
  env.SetInstanceData(data.release());
}

/** Runs when the environment ends: drops its waiting tasks and stops its running one at the next
 * step. */
void AddonData::cleanup(void* ending) {
  auto* data = static_cast<AddonData*>(ending);
  forEachOpenDevice([data](Backend& backend) {
    backend.thread().dropOwner(data);
    backend.finish();  // started runs must end within this environment
  });
  for (const auto& place : data->places) {
    if (const auto client = place.lock()) client->close();
  }
  // A worker ends before the process does, and the main thread may not know of the worker's
  // devices.
  haltGpusAtExit();
  data->jobs_.clear();
  data->settled_.Release();
  data->isReleased_ = true;
}

AddonData::Request AddonData::prepareStart(Cancellation cancelled, std::function<void(Job&)> start,
                                           MakeValue makeValue) {
  Request request;
  Job& job = request.job.emplace_back(*this, std::move(makeValue), ++lastNumber_);
  const std::atomic<bool>* flag = cancelled.get();
  auto run = [flag, &job, start = std::move(start)]() mutable noexcept {
    try {
      if (flag->load()) throw Error(Code::kAborted, "The run was aborted before it started");
      start(job);
    } catch (...) {
      start = nullptr;  // as in `prepare`
      job.end(std::current_exception());
    }
  };
  request.task.push_back({this, std::move(cancelled), std::move(run)});
  return request;
}

AddonData::Request AddonData::prepare(Cancellation cancelled, std::function<MakeValue()> work) {
  return prepareStart(
      std::move(cancelled),
      [work = std::move(work)](Job& job) mutable {
        job.makeValue = work();
        work = nullptr;  // frees what it kept alive before the end is reported
        job.end(nullptr);
      },
      nullptr);
}

AddonData::Job& AddonData::track(Napi::Env env, std::list<Job> job) {
  if (jobs_.empty()) settled_.Ref(env);
  jobs_.splice(jobs_.end(), job);
  return jobs_.back();
}

Napi::Promise AddonData::promiseOf(Napi::Env env, Job& job) {
  return job.deferred_.emplace(Napi::Promise::Deferred::New(env)).Promise();
}

Napi::Promise AddonData::submit(Napi::Env env, Backend& backend, Request request) {
  const Napi::Promise promise = promiseOf(env, request.job.front());
  start(env, backend, std::move(request));
  return promise;
}

uint32_t AddonData::start(Napi::Env env, Backend& backend, Request request) {
  const uint32_t number = track(env, std::move(request.job)).number_;
  backend.thread().post(std::move(request.task));
  return number;
}

Napi::Promise AddonData::promiseOf(Napi::Env env, uint32_t number, const Napi::Object& kept) {
  const auto job = std::find_if(jobs_.rbegin(), jobs_.rend(), [number](const Job& each) {
    return each.number_ == number && !each.deferred_;
  });
  if (job == jobs_.rend())
    throw Error(Code::kInternal,
                "Expected a run that was started and has neither ended nor a promise");
  job->kept_ = Napi::Persistent(kept);
  return promiseOf(env, *job);
}

Napi::Promise AddonData::begin(Napi::Env env, const std::function<void(Job&)>& start) {
  std::list<Job> own;
  Job& job = own.emplace_back(*this, nullptr, ++lastNumber_);
  const Napi::Promise promise = promiseOf(env, job);
  track(env, std::move(own));
  try {
    start(job);
  } catch (...) {
    job.end(std::current_exception());
  }
  return promise;
}

Napi::Promise AddonData::post(Napi::Env env, Backend& backend, std::function<MakeValue()> work) {
  return submit(env, backend, prepare(std::make_shared<std::atomic<bool>>(false), std::move(work)));
}

void AddonData::Job::end(std::exception_ptr failure) noexcept {
  failure_ = std::move(failure);
  // The call is refused only while the environment ends. Nobody waits then.
  [[maybe_unused]] const napi_status status = owner_.settled_.NonBlockingCall(this);
}

void AddonData::settle(Napi::Env env, Napi::Function, AddonData* data, Job* job) {
  if (static_cast<napi_env>(env) == nullptr) return;  // the environment has ended, and all jobs
  const Napi::HandleScope scope(env);
  if (const auto& deferred = job->deferred_)
    settlePromise(env, *deferred, job->makeValue, job->failure_);
  data->jobs_.erase(std::ranges::find(data->jobs_, job, [](const Job& each) { return &each; }));
  if (data->jobs_.empty()) data->settled_.Unref(env);
}

void settlePromise(Napi::Env env, const Napi::Promise::Deferred& deferred,
                   const MakeValue& makeValue, const std::exception_ptr& failure) noexcept {
  // A worker may be terminated at any moment. Then every call into it fails and nobody is left to
  // receive the error.
  try {
    try {
      if (failure) std::rethrow_exception(failure);
      deferred.Resolve(makeValue(env));
    } catch (const Napi::Error& refused) {
      deferred.Reject(refused.Value());
    } catch (...) {
      deferred.Reject(currentError(env).Value());
    }
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
      failure_ = std::current_exception();
    }
  }
  void OnOK() override { settlePromise(Env(), deferred_, makeValue_, failure_); }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<MakeValue()> work_;
  MakeValue makeValue_;
  std::exception_ptr failure_;
};

}  // namespace

Napi::Promise inBackground(Napi::Env env, const char* name, std::function<MakeValue()> work) {
  // The worker deletes itself once it has settled its promise.
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
  void* to = nullptr;
  napi_value buffer = nullptr;
  if (napi_create_arraybuffer(env, bytes, &to, &buffer) != napi_ok) {
    // Clear the exception that V8 has left pending.
    bool isPending = false;
    napi_value exception = nullptr;
    if (napi_is_exception_pending(env, &isPending) == napi_ok && isPending)
      napi_get_and_clear_last_exception(env, &exception);
    throw Error(Code::kOutOfMemory, "Expected an ArrayBuffer of " + std::to_string(bytes) +
                                        " bytes but the memory is not available");
  }
  copyBytes(static_cast<std::byte*>(to), data, bytes);
  return {env, buffer};
}

}  // namespace vgg::napi
