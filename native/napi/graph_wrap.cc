#include "napi/graph_wrap.h"

#include <utility>

#include "core/host_memory.h"
#include "napi/addon_data.h"
#include "napi/device_wrap.h"
#include "napi/devices.h"
#include "napi/memory_wrap.h"
#include "napi/parameters_wrap.h"
#include "napi/read_program.h"

namespace vgg::napi {

Napi::Function GraphWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeGraph",
                     {
                         InstanceMethod<&GraphWrap::prepare>("prepare"),
                         InstanceMethod<&GraphWrap::run>("run"),
                         InstanceMethod<&GraphWrap::dispose>("dispose"),
                     });
}

GraphWrap::GraphWrap(const Napi::CallbackInfo& info)
    : ObjectWrap(info), backend_(unwrap<DeviceWrap>(info[0]).backend()) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  state_ = guarded(info.Env(), [&] {
    return std::make_shared<State>(State{backend_,
                                         unwrap<ParametersWrap>(info[2]).parameters(),
                                         readProgram(info[1].As<Napi::Object>()),
                                         {}});
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

/** prepare(batch) */
Napi::Value GraphWrap::prepare(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto batch = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [state = state(), batch]() -> MakeValue {
          state->executable(batch);
          return [](Napi::Env env) { return env.Undefined(); };
        });
  });
}

namespace {

/** The inputs and outputs of one run, and what keeps their bytes alive until it has ended. */
struct Bound {
  std::vector<Binding> inputs, outputs;
  std::vector<std::shared_ptr<Memory>> owners;
  std::vector<std::shared_ptr<HostMemory>>
      results;  // per output; null where it goes into a DeviceTensor
};

size_t byteCount(const Program& program, int value, size_t batch) {
  const Value& v = program.values[value];
  return checkedMultiply(checkedMultiply(elementCount(v.shape), byteSize(v.dtype)), batch);
}

Binding bindDevice(const Napi::Value& value, const Backend& backend, size_t bytes, Bound& bound) {
  const auto& wrap = unwrap<MemoryWrap>(value);
  if (&wrap.backend() != &backend || wrap.memory()->bytes() != bytes) {
    throw Error(Code::kInternal, "Expected memory of this device and of the value's size");
  }
  bound.owners.push_back(wrap.memory());
  return {nullptr, wrap.memory().get()};
}

MakeValue resultsOf(std::vector<std::shared_ptr<HostMemory>> results) {
  return [results = std::move(results)](Napi::Env env) {
    Napi::Array list = Napi::Array::New(env, results.size());
    for (uint32_t i = 0; i < results.size(); ++i) {
      list.Set(i, results[i] == nullptr
                      ? env.Null().As<Napi::Value>()
                      : toArrayBuffer(env, results[i]->data(), results[i]->bytes()));
    }
    return list;
  };
}

}  // namespace

/** run(batch, inputs: (TypedArray | memory)[], outputs: (memory | null)[], cancellation | null) →
 * (ArrayBuffer | null)[] */
Napi::Value GraphWrap::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<State>& current = state();
    const Program& program = current->program;
    const auto batch = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
    auto bound = std::make_shared<Bound>();
    const auto inputs = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < program.inputs.size(); ++i) {
      const size_t bytes = byteCount(program, program.inputs[i], batch);
      const Napi::Value value = inputs.Get(i);
      if (!value.IsTypedArray()) {
        bound->inputs.push_back(bindDevice(value, *backend_, bytes, *bound));
        continue;
      }
      const View view = viewOf(value);
      if (view.bytes != bytes)
        throw Error(Code::kInternal, "Expected an input of the value's size");
      const auto copy = snapshot(view, backend_->allocateHost(bytes));
      bound->owners.push_back(copy);
      bound->inputs.push_back({copy->data(), nullptr});
    }
    const auto outputs = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < program.outputs.size(); ++i) {
      const size_t bytes = byteCount(program, program.outputs[i], batch);
      const Napi::Value value = outputs.Get(i);
      if (value.IsObject()) {
        bound->outputs.push_back(bindDevice(value, *backend_, bytes, *bound));
        bound->results.push_back(nullptr);
      } else {
        bound->results.push_back(backend_->allocateHost(bytes));
        bound->outputs.push_back({bound->results.back()->data(), nullptr});
      }
    }
    auto cancelled = info[3].IsObject() ? unwrap<CancellationWrap>(info[3]).flag()
                                        : std::make_shared<std::atomic<bool>>(false);
    // A worker's end sets the same flag through DeviceThread::dropOwner.
    return AddonData::of(info.Env())
        .postStart(info.Env(), *backend_, cancelled,
                   [current, batch, bound, cancelled](const AddonData::Finish& finish) {
                     current->executable(batch).run(
                         batch, bound->inputs, bound->outputs, *cancelled,
                         // Holds all that the run uses until it has ended.
                         [current, bound, cancelled, finish](const std::exception_ptr& failure) {
                           MakeValue results = resultsOf(std::move(bound->results));
                           bound->owners.clear();
                           finish(failure, std::move(results));
                         });
                   });
  });
}

/** Resolves when the runs asked for before have ended and the graph's memory is free. */
Napi::Value GraphWrap::dispose(const Napi::CallbackInfo& info) {
  auto last = std::make_shared<std::shared_ptr<State>>(std::exchange(state_, nullptr));
  return AddonData::of(info.Env())
      .post(info.Env(), *backend_, [last, backend = backend_]() -> MakeValue {
        backend->finish();
        *last = nullptr;
        return [](Napi::Env env) { return env.Undefined(); };
      });
}

Napi::Function CancellationWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeCancellation",
                     {InstanceMethod<&CancellationWrap::cancel>("cancel")});
}

CancellationWrap::CancellationWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
}

void CancellationWrap::cancel(const Napi::CallbackInfo& info) {
  *flag_ = true;
  const AddonData* owner = &AddonData::of(info.Env());
  forEachOpenDevice([owner](Backend& backend) { backend.thread().endCancelled(owner); });
}

}  // namespace vgg::napi
