// The exceptions of the native code: Error carries a code that JavaScript can act on and a message;
// ArgumentError reports an invalid argument.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace vgg {

enum class Code : std::uint8_t {
  kOutOfMemory,
  kQueueFull,
  kDisposed,
  kUnsupported,
  kAborted,
  kLibraryMissing,
  kDeviceUnavailable,
  kDeviceLost,
  kMissingParameter,
  kInternal
};

/** Returns the name of the code in JavaScript: `VggError.code` (lib/errors.ts). */
constexpr const char* codeName(Code code) {
  switch (code) {
    case Code::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case Code::kQueueFull:
      return "QUEUE_FULL";
    case Code::kDisposed:
      return "DISPOSED";
    case Code::kUnsupported:
      return "UNSUPPORTED";
    case Code::kAborted:
      return "ABORTED";
    case Code::kLibraryMissing:
      return "LIBRARY_MISSING";
    case Code::kDeviceUnavailable:
      return "DEVICE_UNAVAILABLE";
    case Code::kDeviceLost:
      return "DEVICE_LOST";
    case Code::kMissingParameter:
      return "MISSING_PARAMETER";
    case Code::kInternal:
      return "INTERNAL";
  }
  return "INTERNAL";
}

class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] Code code() const { return code_; }

 private:
  Code code_;
};

/** An argument is out of range: a RangeError in JavaScript. */
class ArgumentError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace vgg
