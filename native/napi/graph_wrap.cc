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
  std::shared_ptr<Executable>& ready = executables[batch];
  if (ready == nullptr) {
    try {
      ready = backend->compile(program, parameters, batch);
    } catch (...) {
      executables.erase(batch);
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
      bound->owners.push_back(snapshot(view, &bound->inputs.emplace_back()));
    }
    const auto outputs = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < program.outputs.size(); ++i) {
      const size_t bytes = byteCount(program, program.outputs[i], batch);
      const Napi::Value value = outputs.Get(i);
      if (value.IsObject()) {
        bound->outputs.push_back(bindDevice(value, *backend_, bytes, *bound));
        bound->results.push_back(nullptr);
      } else {
        bound->results.push_back(HostMemory::allocate(bytes));
        bound->outputs.push_back({bound->results.back()->data(), nullptr});
      }
    }
    auto cancelled = info[3].IsObject() ? unwrap<CancellationWrap>(info[3]).flag()
                                        : std::make_shared<std::atomic<bool>>(false);
    const std::atomic<bool>& flag = *cancelled;
    // A worker's end sets the same flag through DeviceThread::dropOwner.
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, std::move(cancelled),
              [current, batch, bound, &flag]() -> MakeValue {
                current->executable(batch).run(bound->inputs, bound->outputs, flag);
                return [results = std::move(bound->results)](Napi::Env env) {
                  Napi::Array list = Napi::Array::New(env, results.size());
                  for (uint32_t i = 0; i < results.size(); ++i) {
                    list.Set(i, results[i] == nullptr
                                    ? env.Null().As<Napi::Value>()
                                    : toArrayBuffer(env, results[i]->data(), results[i]->bytes()));
                  }
                  return list;
                };
              });
  });
}

/** Resolves when the runs asked for before have ended and the graph's memory is free. */
Napi::Value GraphWrap::dispose(const Napi::CallbackInfo& info) {
  auto last = std::make_shared<std::shared_ptr<State>>(std::exchange(state_, nullptr));
  return AddonData::of(info.Env()).post(info.Env(), *backend_, [last]() -> MakeValue {
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
