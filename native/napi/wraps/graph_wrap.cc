#include "napi/wraps/graph_wrap.h"

#include <chrono>
#include <utility>

#include "core/memory/copy.h"
#include "core/memory/host_memory.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/devices.h"
#include "napi/read_program.h"
#include "napi/wraps/device_wrap.h"
#include "napi/wraps/memory_wrap.h"
#include "napi/wraps/parameters_wrap.h"
#include "napi/wraps/reservation_wrap.h"

namespace vgg::napi {

Napi::Function GraphWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeGraph",
                     {
                         InstanceMethod<&GraphWrap::prepare>("prepare"),
                         InstanceMethod<&GraphWrap::run>("run"),
                         InstanceMethod<&GraphWrap::profile>("profile"),
                         InstanceMethod<&GraphWrap::lastRun>("lastRun"),
                         InstanceMethod<&GraphWrap::dispose>("dispose"),
                     });
}

GraphWrap::GraphWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] {
    const auto& device = unwrap<DeviceWrap>(info[0]);
    backend_ = device.backend();
    queue_ = device.queue();
    auto state = std::make_shared<State>();
    state->backend = backend_;
    const auto& parameters = unwrap<ParametersWrap>(info[2]);
    if (parameters.backend() != backend_)
      throw ArgumentError("Expected parameters of this device for parameters but received others");
    state->parameters = parameters.parameters()->current();
    state->program = readProgram(info[1], state->parameters->specs());
    times_ = std::make_shared<Times>();
    disposal_ = {AddonData::of(info.Env()), backend_};
    state_ = std::move(state);
  });
}

const std::shared_ptr<GraphWrap::State>& GraphWrap::state() const {
  if (state_ == nullptr) throw Error(Code::kDisposed, "Expected a live graph but it was disposed");
  return state_;
}

Executable& GraphWrap::State::executable(size_t batch) {
  const size_t padded = backend->paddedBatch(program, batch);
  std::shared_ptr<Executable>& ready = executables[padded];
  if (ready == nullptr) {
    try {
      ready = backend->compile(program, parameters, padded);
    } catch (...) {
      executables.erase(padded);
      throw;
    }
  }
  return *ready;
}

namespace {

size_t readBatch(const Napi::Value& value) {
  return static_cast<size_t>(integerOf(value, "batch", 1, kMaxDimension));
}

}  // namespace

/** prepare(batch) */
Napi::Value GraphWrap::prepare(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const size_t batch = readBatch(info[0]);
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [state = state(), batch]() -> MakeValue {
          state->executable(batch);
          return [](Napi::Env env) { return env.Undefined(); };
        });
  });
}

/** The batch, inputs and outputs of one run, and what keeps their bytes alive until it has ended.
 */
struct GraphWrap::Bound {
  size_t batch;
  std::vector<Binding> inputs, outputs;
  std::vector<std::shared_ptr<Memory>> owners;
  std::vector<std::shared_ptr<HostMemory>>
      results;                                // per output; null if it goes to a DeviceTensor
  std::shared_ptr<QueueBudget::Share> share;  // counts all bytes that are copied in and out

  Binding device(const Napi::Value& value, const Backend& backend, size_t bytes);
};

Binding GraphWrap::Bound::device(const Napi::Value& value, const Backend& backend, size_t bytes) {
  const auto& wrap = unwrap<MemoryWrap>(value);
  if (&wrap.backend() != &backend || wrap.memory()->bytes() != bytes) {
    throw Error(Code::kInternal, "Expected memory of this device and of the value's size");
  }
  owners.push_back(wrap.memory());
  return {nullptr, wrap.memory().get()};
}

namespace {

size_t byteCount(const Program& program, int value, size_t batch) {
  const Value& v = program.values[value];
  return checkedMultiply(checkedMultiply(elementCount(v.shape), byteSize(v.dtype)), batch);
}

/** Copies results into the typed arrays that JavaScript has put into `outputs` since the call. */
void deliver(Napi::Env env, napi_ref outputs,
             const std::vector<std::shared_ptr<HostMemory>>& results) {
  napi_value list = nullptr;
  NAPI_THROW_IF_FAILED_VOID(env, napi_get_reference_value(env, outputs, &list));
  for (uint32_t i = 0; i < results.size(); ++i) {
    if (results[i] == nullptr) continue;
    const View view = viewOf(Napi::Object(env, list).Get(i));
    if (view.bytes != results[i]->bytes())
      throw Error(Code::kInternal, "Expected an array of the output's size");
    copyBytes(view.data, results[i]->data(), view.bytes);
  }
}

using Clock = std::chrono::steady_clock;

double millisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Cancellation cancellationOf(const Napi::Value& value) {
  return value.IsObject() ? unwrap<CancellationWrap>(value).flag()
                          : std::make_shared<std::atomic<bool>>(false);
}

/** [{ role, value, milliseconds, work?: { products, parameterBytes } }] */
Napi::Array toArray(Napi::Env env, const std::vector<StepTime>& times) {
  constexpr const char* kRoles[] = {"input", "operation", "output"};
  Napi::Array list = Napi::Array::New(env, times.size());
  for (uint32_t i = 0; i < times.size(); ++i) {
    Napi::Object step = Napi::Object::New(env);
    setOwn(step, "role", kRoles[static_cast<int>(times[i].label.role)]);
    setOwn(step, "value", times[i].label.value);
    setOwn(step, "milliseconds", times[i].milliseconds);
    if (const auto& work = times[i].work) {
      Napi::Object object = Napi::Object::New(env);
      setOwn(object, "products", work->products);
      setOwn(object, "parameterBytes", work->parameterBytes);
      setOwn(step, "work", object);
    }
    list.Set(i, step);
  }
  return list;
}

/** Returns the first `count` elements of a list. */
std::vector<Napi::Value> elementsOf(const Napi::Value& list, const char* name, size_t count) {
  const Napi::Object object = objectOf(list, name);
  std::vector<Napi::Value> elements;
  elements.reserve(count);
  for (uint32_t i = 0; i < count; ++i) elements.emplace_back(object.Get(i));
  return elements;
}

/** Returns the number of bytes that a run copies from JavaScript's memory and back. */
size_t copiedBytes(const Program& program, size_t batch, const std::vector<Napi::Value>& inputs,
                   const std::vector<Napi::Value>& outputs) {
  size_t bytes = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].IsTypedArray()) bytes += byteCount(program, program.inputs[i], batch);
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].IsObject()) bytes += byteCount(program, program.outputs[i], batch);
  }
  return bytes;
}

}  // namespace

/** Binds (batch, inputs: (TypedArray | memory)[], outputs: (memory | null)[], cancellation | null,
 * reservation | null) and copies the TypedArrays. JavaScript replaces each null output with a
 * TypedArray before the run ends. */
std::shared_ptr<GraphWrap::Bound> GraphWrap::bind(const Napi::CallbackInfo& info) const {
  const std::shared_ptr<State> current = state();  // an element's getter may dispose the graph
  const Program& program = current->program;
  auto bound = std::make_shared<Bound>();
  bound->batch = readBatch(info[0]);
  // Each element is read once, before anything else: its getter may run any code.
  const std::vector<Napi::Value> inputs = elementsOf(info[1], "inputs", program.inputs.size());
  const std::vector<Napi::Value> outputs = elementsOf(info[2], "outputs", program.outputs.size());
  bound->share = shareFor(info[4], *queue_, copiedBytes(program, bound->batch, inputs, outputs));
  for (uint32_t i = 0; i < program.inputs.size(); ++i) {
    const size_t bytes = byteCount(program, program.inputs[i], bound->batch);
    const Napi::Value& value = inputs[i];
    if (!value.IsTypedArray()) {
      bound->inputs.push_back(bound->device(value, *backend_, bytes));
      continue;
    }
    const View view = viewOf(value);
    if (view.bytes != bytes) throw Error(Code::kInternal, "Expected an input of the value's size");
    const auto copy = snapshot(view, backend_->allocateHost(bytes));
    bound->owners.push_back(copy);
    bound->inputs.push_back({copy->data(), nullptr});
  }
  for (uint32_t i = 0; i < program.outputs.size(); ++i) {
    const size_t bytes = byteCount(program, program.outputs[i], bound->batch);
    const Napi::Value& value = outputs[i];
    if (value.IsObject()) {
      bound->outputs.push_back(bound->device(value, *backend_, bytes));
      bound->results.push_back(nullptr);
    } else {
      bound->results.push_back(backend_->allocateHost(bytes));
      bound->outputs.push_back({bound->results.back()->data(), nullptr});
    }
  }
  return bound;
}

/** run(batch, inputs: (TypedArray | memory)[], outputs: (memory | null)[], cancellation | null,
 * reservation | null) */
Napi::Value GraphWrap::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Clock::time_point called = Clock::now();
    backend_->thread().expectTask();
    const std::shared_ptr<Bound> bound = bind(info);
    // A worker's end sets the same flag through DeviceThread::dropOwner.
    const Cancellation cancelled = cancellationOf(info[3]);
    Napi::ObjectReference kept = Napi::Persistent(info[2].As<Napi::Object>());
    const napi_ref outputs = kept;
    AddonData& data = AddonData::of(info.Env());
    return data.submit(
        info.Env(), *backend_,
        data.prepareStart(
            cancelled,
            [current = state(), times = times_, bound, cancelled](AddonData::Job& job) {
              const Clock::time_point start = Clock::now();
              current->executable(bound->batch)
                  .run(bound->batch, bound->inputs, bound->outputs, *cancelled,
                       // Holds all that the run uses until it has ended.
                       [current, times, bound, cancelled, &job,
                        start](const std::exception_ptr& failure) {
                         times->device = millisecondsSince(start);
                         bound->owners.clear();
                         if (failure) bound->share->release();
                         job.end(failure);
                       });
            },
            [bound, outputs, times = times_, called](Napi::Env env) {
              deliver(env, outputs, bound->results);
              bound->share->release();
              times->call = millisecondsSince(called);
              return env.Undefined();
            },
            std::move(kept)));
  });
}

/** profile(…as run) → { role, value, milliseconds, work? }[] */
Napi::Value GraphWrap::profile(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<Bound> bound = bind(info);
    const Cancellation cancelled = cancellationOf(info[3]);
    Napi::ObjectReference kept = Napi::Persistent(info[2].As<Napi::Object>());
    const napi_ref outputs = kept;
    AddonData& data = AddonData::of(info.Env());
    return data.submit(info.Env(), *backend_,
                       data.prepare(
                           cancelled,
                           [current = state(), bound, cancelled, outputs]() -> MakeValue {
                             std::vector<StepTime> steps = current->executable(bound->batch)
                                                               .profile(bound->batch, bound->inputs,
                                                                        bound->outputs, *cancelled);
                             return [steps = std::move(steps), results = std::move(bound->results),
                                     outputs, share = bound->share](Napi::Env env) {
                               deliver(env, outputs, results);
                               share->release();
                               return toArray(env, steps);
                             };
                           },
                           std::move(kept)));
  });
}

/** lastRun() → { device, call } */
Napi::Value GraphWrap::lastRun(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Object run = Napi::Object::New(info.Env());
    setOwn(run, "device", times_->device.load());
    setOwn(run, "call", times_->call.load());
    return run;
  });
}

/** Resolves when all earlier runs have ended and the graph's memory is free. */
Napi::Value GraphWrap::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return disposal_.run(info.Env(), *backend_, std::exchange(state_, nullptr));
  });
}

Napi::Function CancellationWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeCancellation",
                     {InstanceMethod<&CancellationWrap::cancel>("cancel")});
}

CancellationWrap::CancellationWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] { flag_ = std::make_shared<std::atomic<bool>>(false); });
}

/** Allocates nothing, because a failure could not be reported. */
void CancellationWrap::cancel(const Napi::CallbackInfo& info) {
  *flag_ = true;
  const AddonData* owner = &AddonData::of(info.Env());
  forEachOpenDevice([owner](Backend& backend) { backend.thread().endCancelled(owner); });
}

}  // namespace vgg::napi
