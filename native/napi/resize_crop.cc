#include "napi/resize_crop.h"

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/shape.h"
#include "image/resize.h"
#include "napi/addon_data.h"
#include "napi/arguments.h"

namespace vgg::napi {
namespace {

/**
 * Reads and changes the caller's bytes in place, which no other call may do. They are the decoder's
 * fresh output, up to 537 MB that no user code has seen, so nobody can transfer or resize them. The
 * reference protects them from the garbage collector. Afterwards they are freed at once; the
 * collector would free them late. Runs on libuv's pool: it takes milliseconds, less than decoding
 * took.
 */
class ResizeWorker : public Napi::AsyncWorker {
 public:
  ResizeWorker(const Napi::Object& pixels, const View& view, const image::ResizeGeometry& geometry)
      : Napi::AsyncWorker(pixels.Env(), "vgg-cudnn:resizeCrop"),
        deferred_(Napi::Promise::Deferred::New(pixels.Env())),
        held_(Napi::Persistent(pixels)),
        pixels_(reinterpret_cast<uint8_t*>(view.data)),
        geometry_(geometry) {}

  [[nodiscard]] Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      const size_t pixels = checkedMultiply(static_cast<size_t>(geometry_.cropWidth),
                                            static_cast<size_t>(geometry_.cropHeight));
      cropped_.resize(checkedMultiply(pixels, static_cast<size_t>(geometry_.channels)));
      image::resizeAndCrop(pixels_, geometry_, reinterpret_cast<uint8_t*>(cropped_.data()));
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  void OnOK() override {
    freePixels();
    settlePromise(
        Env(), deferred_,
        [this](Napi::Env env) { return toArrayBuffer(env, cropped_.data(), cropped_.size()); },
        failure_);
  }

 private:
  /** Leaves memory that cannot be detached, such as a SharedArrayBuffer's, to the collector. */
  void freePixels() noexcept {
    napi_value array = nullptr;
    napi_value buffer = nullptr;
    if (napi_get_reference_value(Env(), held_, &array) == napi_ok &&
        napi_get_typedarray_info(Env(), array, nullptr, nullptr, nullptr, &buffer, nullptr) ==
            napi_ok) {
      [[maybe_unused]] const napi_status status = napi_detach_arraybuffer(Env(), buffer);
    }
  }

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference held_;
  uint8_t* pixels_;
  image::ResizeGeometry geometry_;
  std::vector<std::byte> cropped_;
  std::exception_ptr failure_;
};

image::Interpolation interpolationOf(const Napi::Value& value) {
  const std::string name = stringOf(value, "interpolation");
  if (name == "nearest") return image::Interpolation::kNearest;
  if (name == "box") return image::Interpolation::kBox;
  if (name == "bilinear") return image::Interpolation::kBilinear;
  if (name == "bicubic") return image::Interpolation::kBicubic;
  if (name == "lanczos") return image::Interpolation::kLanczos;
  throw Error(Code::kInternal, "Expected the name of an interpolation");
}

}  // namespace

Napi::Value resizeCrop(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object object = objectOf(info[1], "geometry");
    const auto number = [&](const char* name) {
      return integerOf(ownProperty(object, name), name, 0, kMaxDimension);
    };
    const image::ResizeGeometry geometry{
        .width = number("width"),
        .height = number("height"),
        .resizedWidth = number("resizedWidth"),
        .resizedHeight = number("resizedHeight"),
        .left = number("left"),
        .top = number("top"),
        .cropWidth = number("cropWidth"),
        .cropHeight = number("cropHeight"),
        .orientation = number("orientation"),
        .interpolation = interpolationOf(ownProperty(object, "interpolation")),
        .channels = number("channels"),
    };
    image::checkGeometry(geometry);
    const View view = viewOf(info[0]);  // after the geometry's getters, which may transfer it
    const size_t row = checkedMultiply(static_cast<size_t>(geometry.width), image::kPixelBytes);
    if (view.bytes != checkedMultiply(static_cast<size_t>(geometry.height), row)) {
      throw Error(Code::kInternal, "Expected three bytes for each pixel");
    }
    // The worker deletes itself once it has settled its promise.
    auto worker = std::make_unique<ResizeWorker>(info[0].As<Napi::Object>(), view, geometry);
    const Napi::Promise promise = worker->promise();
    worker.release()->Queue();
    return promise;
  });
}

}  // namespace vgg::napi
