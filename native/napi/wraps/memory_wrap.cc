#include "napi/wraps/memory_wrap.h"

#include "core/memory/host_memory.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/wraps/device_wrap.h"
#include "napi/wraps/reservation_wrap.h"

namespace vgg::napi {

Napi::Function MemoryWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeMemory",
                     {
                         InstanceMethod<&MemoryWrap::write>("write"),
                         InstanceMethod<&MemoryWrap::read>("read"),
                         InstanceMethod<&MemoryWrap::dispose>("dispose"),
                     });
}

MemoryWrap::MemoryWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] {
    const auto& device = unwrap<DeviceWrap>(info[0]);
    backend_ = device.backend();
    queue_ = device.queue();
    memory_ =
        backend_->allocate(static_cast<size_t>(integerOf(info[1], "bytes", 0, kMaxSafeInteger)));
  });
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), static_cast<int64_t>(memory_->bytes()));
}

MemoryWrap::~MemoryWrap() { release(); }

void MemoryWrap::release() {
  if (memory_ == nullptr) return;
  Napi::MemoryManagement::AdjustExternalMemory(Env(), -static_cast<int64_t>(memory_->bytes()));
  memory_ = nullptr;  // pending runs keep their own reference
}

const std::shared_ptr<Memory>& MemoryWrap::memory() const {
  if (memory_ == nullptr)
    throw Error(Code::kDisposed, "Expected a live DeviceTensor but it was disposed");
  return memory_;
}

/** write(typedArray, reservation | null) */
Napi::Value MemoryWrap::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const View view = viewOf(info[0]);
    if (view.bytes != memory()->bytes())
      throw Error(Code::kInternal, "Expected as many bytes as were allocated");
    auto share = shareFor(info[1], *queue_, view.bytes);
    auto copy = snapshot(view, backend_->allocateHost(view.bytes));
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_,
              [backend = backend_, to = memory(), share = std::move(share), copy = std::move(copy),
               bytes = view.bytes]() -> MakeValue {
                backend->upload(*to, copy->data(), bytes);
                return [](Napi::Env env) { return env.Undefined(); };
              });
  });
}

Napi::Value MemoryWrap::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [backend = backend_, from = memory()]() -> MakeValue {
          auto copy = backend->allocateHost(from->bytes());
          backend->download(copy->data(), *from, from->bytes());
          return [copy](Napi::Env env) { return toArrayBuffer(env, copy->data(), copy->bytes()); };
        });
  });
}

void MemoryWrap::dispose(const Napi::CallbackInfo&) { release(); }

}  // namespace vgg::napi
