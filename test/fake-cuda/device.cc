// Devices from the environment, primary contexts, and the checks at the start of driver calls.
#include "device.h"

#include <cstdlib>
#include <cstring>

#include "memory.h"
#include "stream.h"

namespace fake {
namespace {

std::atomic<bool> initialized{false};
thread_local Context* current = nullptr;

int number(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text && *text ? std::atoi(text) : otherwise;
}

int checkState(Needs needs) {
  if (needs == Needs::kNothing) return CUDA_SUCCESS;
  if (!initialized) return CUDA_ERROR_NOT_INITIALIZED;
  if (needs == Needs::kInit) return CUDA_SUCCESS;
  if (!current) return CUDA_ERROR_INVALID_CONTEXT;
  if (current->retained == 0) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  return current->lost ? current->answer.load() : CUDA_SUCCESS;
}

}  // namespace

void Context::lose(const std::string& why) {
  if (lost.exchange(true)) return;
  noteLost(why);
  forgetMemory(device);
  forgetObjects(device);
  add(&FakeCudaControl::contextsRetained, -retained.load());
}

void Context::loseAsAsked(int64_t kind) {
  if (kind == kFakeCudaUnknown && !lost) answer = CUDA_ERROR_UNKNOWN;
  lose("as the test asked (failAt)");
}

void Context::drain() {
  std::vector<std::shared_ptr<Stream>> alive;
  {
    const std::lock_guard lock(mutex);
    for (auto& weak : streams)
      if (auto stream = weak.lock()) alive.push_back(std::move(stream));
    std::erase_if(streams, [](const auto& weak) { return weak.expired(); });
  }
  for (const auto& stream : alive) stream->synchronize();
}

int deviceCount() {
  static const int count = std::min(number("FAKE_CUDA_DEVICES", 1), 16);
  return count;
}

int deviceCapability() {
  static const int capability = [] {
    const char* text = std::getenv("FAKE_CUDA_CAPABILITY");
    if (!text || !*text) text = "9.0";
    const char* point = std::strchr(text, '.');
    return std::atoi(text) * 10 + (point ? std::atoi(point + 1) : 0);
  }();
  return capability;
}

bool isInitialized() { return initialized; }

int initialize() {
  const int result = number("FAKE_CUDA_INIT", 0);
  if (result != 0) return result;
  if (deviceCount() < 1) return CUDA_ERROR_NO_DEVICE;
  initialized = true;
  return CUDA_SUCCESS;
}

Context* contextOf(int device) {
  // Never destroyed: stream threads may outlive static destructors.
  static auto* const all = [] {
    auto* made = new std::vector<std::shared_ptr<Context>>;
    for (int i = 0; i < deviceCount(); ++i) {
      made->push_back(std::make_shared<Context>(i));
      made->back()->handle = publish(made->back());
    }
    return made;
  }();
  return device >= 0 && device < deviceCount() ? (*all)[device].get() : nullptr;
}

void forgetMemos() {
  for (int device = 0; device < deviceCount(); ++device) contextOf(device)->memo.clear();
}

Context* currentContext() { return current; }
void setCurrentContext(Context* context) { current = context; }

int driverFault(int64_t kind) {
  switch (kind) {
    case kFakeCudaOutOfMemory:
      return CUDA_ERROR_OUT_OF_MEMORY;
    case kFakeCudaNotSupported:
      return CUDA_ERROR_NOT_SUPPORTED;
    case kFakeCudaInternalError:
      return CUDA_ERROR_UNKNOWN;
    default:
      if (Context* context = current ? current : contextOf(0)) context->loseAsAsked(kind);
      return kind == kFakeCudaUnknown ? CUDA_ERROR_UNKNOWN : CUDA_ERROR_ILLEGAL_ADDRESS;
  }
}

int statusOf(int device, int status) {
  const Context* context = contextOf(device);
  return context->lost ? context->answer.load() : status;
}

int enter(Needs needs) {
  if (const int64_t kind = countCall()) return driverFault(kind);
  return checkState(needs);
}

int enterFreeing(Needs needs) {
  countFreeingCall();
  return checkState(needs);
}

}  // namespace fake
