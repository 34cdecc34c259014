#include "napi/wraps/graph_wrap.h"

#include <chrono>
#include <limits>
#include <utility>

#include "core/memory/copy.h"
#include "core/memory/host_memory.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/read_program.h"
#include "napi/wraps/cancellation_wrap.h"
#include "napi/wraps/device_wrap.h"
#include "napi/wraps/memory_wrap.h"
#include "napi/wraps/parameters_wrap.h"
#include "napi/wraps/reservation_wrap.h"

namespace vgg::napi {

Napi::Function GraphWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeGraph",
                     {
                         InstanceMethod<&GraphWrap::prepare>("prepare"),
                         InstanceMethod<&GraphWrap::start>("start"),
                         InstanceMethod<&GraphWrap::startProfile>("startProfile"),
                         InstanceMethod<&GraphWrap::finish>("finish"),
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
    outputCount_ = state->program.outputs.size();
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

/** The arguments of one run or profile, and what keeps their bytes alive until it has ended. */
struct GraphWrap::Bound {
  size_t batch;
  std::vector<Binding> inputs, outputs;
  std::vector<std::shared_ptr<Memory>> owners;
  std::vector<std::shared_ptr<HostMemory>>
      results;                                // per output; null if it goes to a DeviceTensor
  std::shared_ptr<QueueBudget::Share> share;  // counts all bytes that are copied in and out
  Cancellation cancelled;  // a worker's end sets the same flag through DeviceThread::dropOwner
  const AddonData::Job* job = nullptr;  // keeps the arrays that `finish` was given

  void bindMemory(std::vector<Binding>& to, const Napi::Value& value, const Backend& backend,
                  size_t bytes);
  void bindInput(const Napi::Value& value, Backend& backend, size_t bytes);
  void bindOutput(const Napi::Value& value, Backend& backend, size_t bytes);
  /** Copies the results into the arrays of `finish`, on the JavaScript thread. */
  void deliver() const;
};

void GraphWrap::Bound::bindMemory(std::vector<Binding>& to, const Napi::Value& value,
                                  const Backend& backend, size_t bytes) {
  const auto& wrap = unwrap<MemoryWrap>(value);
  if (&wrap.backend() != &backend || wrap.memory()->bytes() != bytes) {
    throw Error(Code::kInternal, "Expected memory of this device and of the value's size");
  }
  owners.push_back(wrap.memory());
  to.push_back({nullptr, wrap.memory().get()});
}

void GraphWrap::Bound::bindInput(const Napi::Value& value, Backend& backend, size_t bytes) {
  if (!value.IsTypedArray()) return bindMemory(inputs, value, backend, bytes);
  const View view = viewOf(value);
  if (view.bytes != bytes) throw Error(Code::kInternal, "Expected an input of the value's size");
  const auto copy = snapshot(view, backend.allocateHost(bytes));
  owners.push_back(copy);
  inputs.push_back({copy->data(), nullptr});
}

void GraphWrap::Bound::bindOutput(const Napi::Value& value, Backend& backend, size_t bytes) {
  if (value.IsObject()) {
    bindMemory(outputs, value, backend, bytes);
    results.push_back(nullptr);
  } else {
    results.push_back(backend.allocateHost(bytes));
    outputs.push_back({results.back()->data(), nullptr});
  }
}

void GraphWrap::Bound::deliver() const {
  const Napi::Object arrays = job->kept();
  for (uint32_t i = 0; i < results.size(); ++i) {
    if (results[i] == nullptr) continue;
    const View view = viewOf(arrays.Get(i));
    if (view.bytes != results[i]->bytes())
      throw Error(Code::kInternal, "Expected an array of the output's size");
    copyBytes(view.data, results[i]->data(), view.bytes);
  }
  share->release();
}

namespace {

size_t readBatch(const Napi::Value& value) {
  return static_cast<size_t>(integerOf(value, "batch", 1, kMaxDimension));
}

size_t byteCount(const Program& program, int value, size_t batch) {
  const Value& v = program.values[value];
  return checkedMultiply(checkedMultiply(elementCount(v.shape), byteSize(v.dtype)), batch);
}

using Clock = std::chrono::steady_clock;

double millisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

Cancellation cancellationOf(const Napi::Value& value, const Backend& backend) {
  if (!value.IsObject()) return std::make_shared<std::atomic<bool>>(false);
  const auto& wrap = unwrap<CancellationWrap>(value);
  if (&wrap.backend() != &backend)
    throw Error(Code::kInternal, "Expected a cancellation of this device");
  return wrap.flag();
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

/** Returns a new list of the elements, which the caller does not have. */
Napi::Array toList(Napi::Env env, const std::vector<Napi::Value>& elements) {
  Napi::Array list = Napi::Array::New(env, elements.size());
  for (uint32_t i = 0; i < elements.size(); ++i) list.Set(i, elements[i]);
  return list;
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

/** Binds (batch, inputs: (TypedArray | memory)[], targets: (memory | null)[], cancellation | null,
 * reservation | null) and copies the TypedArrays. */
std::shared_ptr<GraphWrap::Bound> GraphWrap::bind(const Napi::CallbackInfo& info) const {
  const std::shared_ptr<State> current = state();  // an element's getter may dispose the graph
  const Program& program = current->program;
  auto bound = std::make_shared<Bound>();
  bound->batch = readBatch(info[0]);
  // Each element is read once, before anything else: its getter may run any code.
  const std::vector<Napi::Value> inputs = elementsOf(info[1], "inputs", program.inputs.size());
  const std::vector<Napi::Value> targets = elementsOf(info[2], "targets", program.outputs.size());
  bound->share = shareFor(info[4], *queue_, copiedBytes(program, bound->batch, inputs, targets));
  for (size_t i = 0; i < inputs.size(); ++i)
    bound->bindInput(inputs[i], *backend_, byteCount(program, program.inputs[i], bound->batch));
  for (size_t i = 0; i < targets.size(); ++i)
    bound->bindOutput(targets[i], *backend_, byteCount(program, program.outputs[i], bound->batch));
  bound->cancelled = cancellationOf(info[3], *backend_);
  return bound;
}

/** A run: `start`, `end` and `deliver`. The graph's state is passed on rather than kept here,
 * because the thread that ends the run must free it, not the JavaScript thread. */
class GraphWrap::RunJob : public std::enable_shared_from_this<RunJob> {
 public:
  RunJob(std::shared_ptr<Bound> bound, std::shared_ptr<Times> times, Clock::time_point called)
      : bound_(std::move(bound)), times_(std::move(times)), called_(called) {}

  /** Starts the run on the device's thread. */
  void start(const std::shared_ptr<State>& state, AddonData::Job& job);
  /** Makes the promise's value on the JavaScript thread, if the run did not fail. */
  Napi::Value deliver(Napi::Env env) const;

 private:
  /** Ends the job. The back end calls it once, on any thread. */
  void end(AddonData::Job& job, const std::exception_ptr& failure) const;

  const std::shared_ptr<Bound> bound_;
  const std::shared_ptr<Times> times_;
  const Clock::time_point called_;  // on the JavaScript thread
  Clock::time_point started_;       // on the device's thread
};

void GraphWrap::RunJob::start(const std::shared_ptr<State>& state, AddonData::Job& job) {
  started_ = Clock::now();
  // The callback keeps all that the run uses.
  state->executable(bound_->batch)
      .run(bound_->batch, bound_->inputs, bound_->outputs, *bound_->cancelled,
           [self = shared_from_this(), state, &job](const std::exception_ptr& failure) {
             self->end(job, failure);
           });
}

void GraphWrap::RunJob::end(AddonData::Job& job, const std::exception_ptr& failure) const {
  times_->device = millisecondsSince(started_);
  bound_->owners.clear();
  if (failure) bound_->share->release();
  job.end(failure);
}

Napi::Value GraphWrap::RunJob::deliver(Napi::Env env) const {
  bound_->deliver();
  times_->call = millisecondsSince(called_);
  return env.Undefined();
}

/** start(batch, inputs: (TypedArray | memory)[], targets: (memory | null)[], cancellation | null,
 * reservation | null) → the run's number for `finish` */
Napi::Value GraphWrap::start(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Clock::time_point called = Clock::now();
    backend_->thread().expectTask();
    const std::shared_ptr<Bound> bound = bind(info);
    const auto run = std::make_shared<RunJob>(bound, times_, called);
    AddonData& data = AddonData::of(info.Env());
    AddonData::Request request = data.prepareStart(
        bound->cancelled, [run, state = state()](AddonData::Job& job) { run->start(state, job); },
        [run](Napi::Env env) { return run->deliver(env); });
    bound->job = &request.job.front();
    return Napi::Number::New(info.Env(), data.start(info.Env(), *backend_, std::move(request)));
  });
}

/** startProfile(…as start) → as start; `finish` resolves with { role, value, milliseconds, work?
 * }[]
 */
Napi::Value GraphWrap::startProfile(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<Bound> bound = bind(info);
    AddonData& data = AddonData::of(info.Env());
    AddonData::Request request =
        data.prepare(bound->cancelled, [current = state(), bound]() -> MakeValue {
          std::vector<StepTime> steps =
              current->executable(bound->batch)
                  .profile(bound->batch, bound->inputs, bound->outputs, *bound->cancelled);
          bound->owners.clear();
          return [steps = std::move(steps), bound](Napi::Env env) {
            bound->deliver();
            return toArray(env, steps);
          };
        });
    bound->job = &request.job.front();
    return Napi::Number::New(info.Env(), data.start(info.Env(), *backend_, std::move(request)));
  });
}

/** finish(number, arrays: (TypedArray | null)[]) */
Napi::Value GraphWrap::finish(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto number = static_cast<uint32_t>(
        integerOf(info[0], "number", 0, std::numeric_limits<uint32_t>::max()));
    const Napi::Array arrays = toList(info.Env(), elementsOf(info[1], "arrays", outputCount_));
    return AddonData::of(info.Env()).promiseOf(info.Env(), number, arrays);
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

}  // namespace vgg::napi
