#include "napi/wraps/parameters_wrap.h"

#include <algorithm>
#include <utility>

#include "core/memory/host_memory.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"
#include "napi/read_program.h"
#include "napi/wraps/device_wrap.h"
#include "napi/wraps/reservation_wrap.h"

namespace vgg::napi {
namespace {

DType readFloatingDType(const Napi::Value& value) {
  const DType dtype = readDType(value);
  if (dtype == DType::kUint8 || dtype == DType::kInt32)
    throw ArgumentError(std::string("Expected a floating-point dtype for dtypes but received ") +
                        dtypeName(dtype));
  return dtype;
}

Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

}  // namespace

Napi::Function ParametersWrap::define(Napi::Env env) {
  return DefineClass(env, "NativeParameters",
                     {
                         InstanceMethod<&ParametersWrap::write>("write"),
                         InstanceMethod<&ParametersWrap::read>("read"),
                         InstanceMethod<&ParametersWrap::fill>("fill"),
                         InstanceMethod<&ParametersWrap::fillNormal>("fillNormal"),
                         InstanceMethod<&ParametersWrap::hold>("hold"),
                         InstanceMethod<&ParametersWrap::dispose>("dispose"),
                     });
}

ParametersWrap::ParametersWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  info.This().As<Napi::Object>().TypeTag(&kTypeTag);
  guarded(info.Env(), [&] {
    const auto& device = unwrap<DeviceWrap>(info[0]);
    backend_ = device.backend();
    queue_ = device.queue();
    std::vector<ParameterSpec> specs = readParameterSpecs(info[1]);
    for (const ParameterSpec& spec : specs) {
      const size_t bytes = checkedMultiply(elementCount(spec.shape), sizeof(float));
      bytes_ = std::min(kMaxSafeInteger, bytes_ + static_cast<int64_t>(bytes));
    }
    disposal_ = {AddonData::of(info.Env()), backend_};
    parameters_ = std::make_shared<VersionedParameters>(
        backend_->createParameters(std::move(specs), readPrecision(info[2])));
  });
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), bytes_);
}

ParametersWrap::~ParametersWrap() { release(); }

std::shared_ptr<VersionedParameters> ParametersWrap::release() {
  if (parameters_ != nullptr) Napi::MemoryManagement::AdjustExternalMemory(Env(), -bytes_);
  return std::exchange(parameters_, nullptr);
}

const std::shared_ptr<VersionedParameters>& ParametersWrap::parameters() const {
  if (parameters_ == nullptr)
    throw Error(Code::kDisposed, "Expected live parameters but they were disposed");
  return parameters_;
}

int ParametersWrap::indexOf(const Napi::Value& value) const {
  const auto count = static_cast<int64_t>(parameters()->current()->specs().size());
  return static_cast<int>(integerOf(value, "index", 0, count - 1));
}

/** write(indices, typedArrays, dtypes, first, isWhole, reservation | null) writes all parameters in
 * one step, each from element `first` on. Whole parameters count towards the queue limit, pieces do
 * not. */
Napi::Value ParametersWrap::write(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    // Read all elements before any view is taken: a getter may transfer an array.
    const auto indices =
        listOf<int>(info[0], "indices", [&](const Napi::Value& value) { return indexOf(value); });
    const auto dtypes = listOf<DType>(info[2], "dtypes", readFloatingDType);
    const Napi::Object list = objectOf(info[1], "data");
    std::vector<Napi::Value> arrays;
    arrays.reserve(indices.size());
    for (uint32_t i = 0; i < indices.size(); ++i) arrays.emplace_back(list.Get(i));
    if (dtypes.size() != indices.size())
      throw ArgumentError("Expected a dtype for each index for dtypes but received others");
    const auto first = static_cast<size_t>(integerOf(info[3], "first", 0, kMaxSafeInteger));
    const bool isWhole = booleanOf(info[4], "isWhole");
    const std::shared_ptr<VersionedParameters> to = parameters();
    std::vector<ParameterWrite> writes;
    size_t bytes = 0;
    for (size_t i = 0; i < arrays.size(); ++i) {
      const View view = viewOf(arrays[i]);
      const size_t count = view.bytes / byteSize(dtypes[i]);
      const size_t total = elementCount(to->current()->specs()[indices[i]].shape);
      if (first > total || count > total - first || (isWhole && count != total))
        throw ArgumentError("Expected " + std::to_string(total) + " elements for " +
                            to->current()->specs()[indices[i]].name + " but received " +
                            std::to_string(first + count));
      writes.push_back({indices[i], first, view.data, dtypes[i], count});
      bytes += view.bytes;
    }
    auto share = shareFor(info[5], *queue_, isWhole ? bytes : 0);
    std::vector<std::shared_ptr<HostMemory>> copies;
    for (size_t i = 0; i < writes.size(); ++i) {
      copies.push_back(snapshot(viewOf(arrays[i])));
      writes[i].from = copies.back()->data();
    }
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_,
              [to, share = std::move(share), copies = std::move(copies),
               writes = std::move(writes)]() -> MakeValue {
                to->write(writes);
                return undefined;
              });
  });
}

Napi::Value ParametersWrap::read(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = indexOf(info[0]);
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [from = parameters()->current(), index]() -> MakeValue {
          const size_t count = elementCount(from->specs()[index].shape);
          auto copy = HostMemory::allocate(count * sizeof(float));
          from->read(index, 0, count, copy->floats());
          return [copy](Napi::Env env) { return toArrayBuffer(env, copy->data(), copy->bytes()); };
        });
  });
}

/** fill(index, value) */
Napi::Value ParametersWrap::fill(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = indexOf(info[0]);
    const float value = floatOf(info[1], "value");
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_, [to = parameters(), index, value]() -> MakeValue {
          to->fill(index, value);
          return undefined;
        });
  });
}

/** fillNormal(index, standardDeviation, seed, stream) */
Napi::Value ParametersWrap::fillNormal(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int index = indexOf(info[0]);
    const float standardDeviation = floatOf(info[1], "standardDeviation");
    const auto seed = static_cast<uint64_t>(integerOf(info[2], "seed", 0, kMaxSafeInteger));
    const auto stream = static_cast<uint32_t>(integerOf(info[3], "stream", 0, UINT32_MAX));
    return AddonData::of(info.Env())
        .post(info.Env(), *backend_,
              [to = parameters(), index, standardDeviation, seed, stream]() -> MakeValue {
                to->fillNormal(index, standardDeviation, seed, stream);
                return undefined;
              });
  });
}

/** hold() → the parameters with their values after all earlier calls */
Napi::Value ParametersWrap::hold(const Napi::CallbackInfo& info) {
  return AddonData::of(info.Env()).heldParametersConstructor.New({info.This()});
}

/** Resolves when all earlier calls have ended and the parameters' memory is free. */
Napi::Value ParametersWrap::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&]() -> Napi::Value { return disposal_.run(info.Env(), *backend_, release()); });
}

}  // namespace vgg::napi
