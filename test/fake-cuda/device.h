// Devices, their primary contexts, and the checks at the start of each driver call.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "exports.h"
#include "ledger.h"
#include "memo.h"

namespace fake {

// Statuses beyond those that the addon names (CUDA's cuda.h).
enum : int {
  kInvalidImage = 200,
  kCaptureUnmatched = 903,
  kCaptureUnjoined = 904,
  kCaptureIsolation = 905,
  kCapturedEvent = 907,
  kCaptureWrongThread = 908,
};

struct Stream;

struct Context : Object {
  using Object::Object;
  static constexpr Kind kKind = Kind::kContext;
  using Handle = CUcontext;

  CUcontext handle = nullptr;
  std::atomic<int> retained{0};
  std::atomic<bool> lost{false};
  std::atomic<int> answer{CUDA_ERROR_ILLEGAL_ADDRESS};  // of every call once the context is lost
  std::mutex mutex;
  std::vector<std::weak_ptr<Stream>> streams;
  Memo memo;

  /** Makes every later call on this context fail with `answer`. */
  void lose(const std::string& why);
  /** Loses the context because of failAt, with a sticky kind. */
  void loseAsAsked(int64_t kind);
  /** Waits for all work on all streams. */
  void drain();
};

int deviceCount();
/** 10 * major + minor: 90 for 9.0. */
int deviceCapability();
bool isInitialized();
int initialize();
Context* contextOf(int device);
/** Forgets all memos, because memory was freed or unknown bytes were written. */
void forgetMemos();
/** The calling thread's context, or null. */
Context* currentContext();
void setCurrentContext(Context* context);

enum class Needs : uint8_t { kNothing, kInit, kContext };
/** The status that the driver call must return at once, or CUDA_SUCCESS. */
int enter(Needs needs);
/** The same for a call that frees. */
int enterFreeing(Needs needs);
int driverFault(int64_t kind);
/** The status of a call about a device: `status` unless the device is lost. */
int statusOf(int device, int status);

}  // namespace fake
