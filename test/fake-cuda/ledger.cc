// The control block, and the table of live objects.
#include "ledger.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace fake {
namespace {

FakeCudaControl* mapControl() {
  void* memory = MAP_FAILED;
  if (const char* path = std::getenv("FAKE_CUDA_CONTROL"); path && *path) {
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0 || ftruncate(file, sizeof(FakeCudaControl)) != 0) {
      std::perror("fake-cuda: FAKE_CUDA_CONTROL");
      std::abort();
    }
    memory = mmap(nullptr, sizeof(FakeCudaControl), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) {
      std::perror("fake-cuda: FAKE_CUDA_CONTROL");
      std::abort();
    }
  } else {
    static FakeCudaControl block;
    memory = &block;
  }
  auto* control = static_cast<FakeCudaControl*>(memory);
  FakeCudaControl fresh{};
  fresh.layout = kFakeCudaLayout;
  fresh.failAt = control->failAt;
  fresh.failKind = control->failKind;
  fresh.delayMicroseconds = control->delayMicroseconds;
  if (const char* delay = std::getenv("FAKE_CUDA_DELAY_US"))
    fresh.delayMicroseconds = std::atoll(delay);
  std::memcpy(control, &fresh, sizeof fresh);
  return control;
}

FakeCudaControl& control() {
  static FakeCudaControl* const mapped = mapControl();
  return *mapped;
}

std::atomic_ref<int64_t> at(Field field) { return std::atomic_ref<int64_t>(control().*field); }

std::atomic<bool> areStaticsGone{false};
std::atomic<int> underWay{0};

[[noreturn]] void dieWithoutStatics(const char* when) {
  std::fprintf(stderr, "fake-cuda: misuse: a call %s the library's statics were destroyed\n", when);
  std::abort();
}

struct Statics {
  ~Statics() {
    areStaticsGone = true;
    if (underWay > 0) dieWithoutStatics("was under way when");
    // A thread that is between two calls makes its next one.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
};

struct Entry {
  std::shared_ptr<Object> object;
  bool counted = true;
};

// Never destroyed: stream threads may outlive static destructors.
struct Table {
  std::mutex mutex;
  std::unordered_map<const void*, Entry> live;
  uint64_t next = 1;
};
Table& table() {
  static auto* const all = new Table;
  return *all;
}

// Bits 48 and up make the number an invalid address: reading through a handle ends the process.
constexpr uint64_t kMark = 0x00FA'0000'0000'0000;

Field counterOf(Kind kind) {
  switch (kind) {
    case Kind::kStream:
      return &FakeCudaControl::streams;
    case Kind::kEvent:
      return &FakeCudaControl::events;
    case Kind::kModule:
      return &FakeCudaControl::modules;
    case Kind::kGraph:
      return &FakeCudaControl::graphs;
    case Kind::kGraphExec:
      return &FakeCudaControl::graphExecs;
    case Kind::kCudnnHandle:
      return &FakeCudaControl::cudnnHandles;
    case Kind::kCudnnDescriptor:
      return &FakeCudaControl::cudnnDescriptors;
    case Kind::kCublasLtHandle:
    case Kind::kCublasLtMatmul:
    case Kind::kCublasLtLayout:
    case Kind::kCublasLtPreference:
      return &FakeCudaControl::cublasLtObjects;
    case Kind::kNvrtcProgram:
      return &FakeCudaControl::nvrtcPrograms;
    default:
      return nullptr;
  }
}

const char* nameOf(Kind kind) {
  constexpr const char* kNames[] = {"",
                                    "context",
                                    "stream",
                                    "event",
                                    "module",
                                    "function",
                                    "graph",
                                    "graph executable",
                                    "cuDNN handle",
                                    "cuDNN descriptor",
                                    "cuBLASLt handle",
                                    "cuBLASLt matmul description",
                                    "cuBLASLt matrix layout",
                                    "cuBLASLt preference",
                                    "NVRTC program"};
  return kNames[static_cast<int>(kind)];
}

void noteUnknown(Kind kind, const void* handle, const char* caller, uint64_t next) {
  const auto value = reinterpret_cast<uint64_t>(handle);
  std::string text = std::string(caller) + ": Expected a live " + nameOf(kind) + " but received ";
  const auto given = static_cast<uint8_t>(value >> 40 & 0xFF);
  if (!handle)
    text += "null";
  else if ((value & 0xFFFF'0000'0000'0000) != kMark ||
           given > static_cast<int>(Kind::kNvrtcProgram) || (value >> 4 & 0xF'FFFF'FFFF) >= next)
    text += "a value that is not a handle";
  else if (given != static_cast<uint8_t>(kind))
    text += std::string("a ") + nameOf(static_cast<Kind>(given));
  else
    text += "a destroyed one";
  misuse(text);
}

std::shared_ptr<Object> take(Kind kind, const void* handle, const char* caller, bool erase) {
  uint64_t next = 0;
  {
    Table& all = table();
    const std::lock_guard lock(all.mutex);
    next = all.next;
    const auto found = all.live.find(handle);
    const auto given = static_cast<uint8_t>(reinterpret_cast<uint64_t>(handle) >> 40 & 0xFF);
    if (found != all.live.end() && given == static_cast<uint8_t>(kind)) {
      auto object = found->second.object;
      if (erase) {
        object->destroyed = true;
        const Field counter = counterOf(kind);
        if (counter && found->second.counted) add(counter, -1);
        all.live.erase(found);
      }
      return object;
    }
  }
  noteUnknown(kind, handle, caller, next);
  return nullptr;
}

}  // namespace

int64_t read(Field field) { return at(field).load(); }
void add(Field field, int64_t amount) { at(field).fetch_add(amount); }
void raise(Field field, int64_t value) {
  auto cell = at(field);
  int64_t seen = cell.load();
  while (seen < value && !cell.compare_exchange_weak(seen, value)) {
  }
}

void misuse(const std::string& text) {
  static auto* const mutex = new std::mutex;
  const std::lock_guard lock(*mutex);
  if (read(&FakeCudaControl::misuseCount) == 0)
    std::snprintf(control().misuse, sizeof control().misuse, "%s", text.c_str());
  add(&FakeCudaControl::misuseCount, 1);
  if (std::getenv("FAKE_CUDA_VERBOSE"))
    std::fprintf(stderr, "fake-cuda: misuse: %s\n", text.c_str());
}

void noteLost(const std::string& text) {
  static auto* const mutex = new std::mutex;
  const std::lock_guard lock(*mutex);
  if (read(&FakeCudaControl::devicesLost) == 0)
    std::snprintf(control().lost, sizeof control().lost, "%s", text.c_str());
  add(&FakeCudaControl::devicesLost, 1);
  if (std::getenv("FAKE_CUDA_VERBOSE"))
    std::fprintf(stderr, "fake-cuda: device lost: %s\n", text.c_str());
}

void makeStatics() { static const Statics statics; }

UnderWay::UnderWay() {
  ++underWay;
  if (areStaticsGone) dieWithoutStatics("after");
}
UnderWay::~UnderWay() { --underWay; }

int64_t countCall() {
  const UnderWay call;
  const int64_t number = at(&FakeCudaControl::calls).fetch_add(1) + 1;
  if (number != read(&FakeCudaControl::failAt)) return 0;
  const int64_t kind = read(&FakeCudaControl::failKind);
  if (kind < kFakeCudaOutOfMemory || kind > kFakeCudaUnknown) return 0;
  add(&FakeCudaControl::failed, 1);
  return kind;
}

void countFreeingCall() {
  const UnderWay call;
  add(&FakeCudaControl::calls, 1);
}

void* publishObject(Kind kind, std::shared_ptr<Object> object) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  const uint64_t value = kMark | static_cast<uint64_t>(kind) << 40 | all.next++ << 4;
  auto* handle = reinterpret_cast<void*>(value);
  all.live.emplace(handle, Entry{std::move(object)});
  if (const Field counter = counterOf(kind)) add(counter, 1);
  return handle;
}

std::shared_ptr<Object> findObject(Kind kind, const void* handle, const char* caller) {
  return take(kind, handle, caller, false);
}
std::shared_ptr<Object> retireObject(Kind kind, const void* handle, const char* caller) {
  return take(kind, handle, caller, true);
}

void forgetObjects(int device) {
  Table& all = table();
  const std::lock_guard lock(all.mutex);
  for (auto& [handle, entry] : all.live) {
    if (entry.object->device != device || !entry.counted) continue;
    entry.counted = false;
    const auto kind = static_cast<Kind>(reinterpret_cast<uint64_t>(handle) >> 40 & 0xFF);
    if (const Field counter = counterOf(kind)) add(counter, -1);
  }
}

}  // namespace fake

FakeCudaControl* fakeCudaControl() { return &fake::control(); }
namespace {
// Makes the file ready for the test as soon as the library is open.
[[maybe_unused]] const FakeCudaControl* const kLoaded = fakeCudaControl();
}  // namespace
