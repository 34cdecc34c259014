// What the fake knows of the program under test: the control block, every live object by its
// handle, and what was done wrong.
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

/** Notes a use that the real libraries may answer with a crash. The first text is kept. */
void misuse(const std::string& text);
void noteLost(const std::string& text);

/** What this call must fail with, 0 or FakeCudaFailKind. Every call that can fail asks once. */
int64_t countCall();
/** For calls that free: they are counted and never made to fail. */
void countFreeingCall();

/** To be called where the real libraries make what they destroy when the process exits. A call that
 * is under way then, or comes later, ends the process with a line on stderr. */
void makeStatics();
/** Every call asks first, and a call that may wait holds one. */
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

/** Anything behind a handle. Handles are numbers that are never used twice, not addresses. */
struct Object {
  explicit Object(int device) : device(device) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  const int device;  // -1: of no device
  std::atomic<bool> destroyed{false};
};

void* publishObject(Kind kind, std::shared_ptr<Object> object);
/** The live object behind the handle; else null, and a misuse noted for `caller`. */
std::shared_ptr<Object> findObject(Kind kind, const void* handle, const char* caller);
/** The same, and the handle is dead from now on. */
std::shared_ptr<Object> retireObject(Kind kind, const void* handle, const char* caller);
/** Takes a lost device's objects out of the counts. */
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
