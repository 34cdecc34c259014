// What the fake knows about the program under test: the control block, every live object by its
// handle, and misuse.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "control.h"

namespace fake {

using Field = int64_t FakeCudaControl::*;

int64_t read(Field field);
void add(Field field, int64_t amount);
void raise(Field field, int64_t value);

/** Records a use that may crash the real libraries. Keeps the first text. */
void misuse(const std::string& text);
void noteLost(const std::string& text);

/** The FakeCudaFailKind with which this call must fail, or 0. Every call that can fail asks. */
int64_t countCall();
/** Counts a call that frees. Such calls are never made to fail. */
void countFreeingCall();

/** To be called where the real libraries make statics that they destroy at exit. A call that is
 * under way then, or comes later, ends the process with a line on stderr. */
void makeStatics();
/** Every call checks this first. A call that may wait holds one. */
class UnderWay {
 public:
  UnderWay();
  ~UnderWay();
  UnderWay(const UnderWay&) = delete;
  UnderWay& operator=(const UnderWay&) = delete;
};

enum class Kind : uint8_t {
  kContext = 1,
  kStream,
  kEvent,
  kModule,
  kFunction,
  kGraph,
  kGraphExec,
  kCudnnHandle,
  kCudnnDescriptor,
  kCublasLtHandle,
  kCublasLtMatmul,
  kCublasLtLayout,
  kCublasLtPreference,
  kNvrtcProgram,
};

/** An object behind a handle. Handles are numbers that are never reused, not addresses. */
struct Object {
  explicit Object(int device) : device(device) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  const int device;  // -1 if it belongs to no device
  std::atomic<bool> destroyed{false};
};

void* publishObject(Kind kind, std::shared_ptr<Object> object);
/** The live object behind the handle. Otherwise null, and records a misuse by `caller`. */
std::shared_ptr<Object> findObject(Kind kind, const void* handle, const char* caller);
/** Does the same and retires the handle. */
std::shared_ptr<Object> retireObject(Kind kind, const void* handle, const char* caller);
/** Removes a lost device's objects from the counts. */
void forgetObjects(int device);

template <class T>
auto publish(std::shared_ptr<T> object) {
  return reinterpret_cast<typename T::Handle>(publishObject(T::kKind, std::move(object)));
}
template <class T>
std::shared_ptr<T> find(typename T::Handle handle, const char* caller) {
  return std::static_pointer_cast<T>(
      findObject(T::kKind, reinterpret_cast<const void*>(handle), caller));
}
template <class T>
std::shared_ptr<T> retire(typename T::Handle handle, const char* caller) {
  return std::static_pointer_cast<T>(
      retireObject(T::kKind, reinterpret_cast<const void*>(handle), caller));
}

}  // namespace fake
