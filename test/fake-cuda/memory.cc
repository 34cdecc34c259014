// The ledger of device and pinned memory.
#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "ledger.h"

namespace fake {
namespace {

constexpr size_t kGuard = 256;
constexpr unsigned char kGuardByte = 0xA5;
constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kReserved = size_t{1} << 42;  // address space, not memory

struct Allocation {
  char* mapping;
  size_t mapped;
  size_t bytes;
  Space space;
  int device;
  bool counted = true;
  bool guardNoted = false;
};

struct Memory {
  std::shared_mutex mutex;
  std::map<const char*, Allocation> live;  // by the first byte the program sees
  char* next = nullptr;
  char* end = nullptr;
  size_t used[64] = {};
};
Memory& memory() {
  static auto* const all = new Memory;
  return *all;
}
std::string hex(const void* pointer, size_t bytes) {
  char text[80];
  std::snprintf(text, sizeof text, "%zu bytes at %p", bytes, pointer);
  return text;
}

bool guardsWhole(const char* pointer, const Allocation& a) {
  for (size_t i = 0; i < kGuard; ++i)
    if (static_cast<unsigned char>(pointer[-1 - static_cast<ptrdiff_t>(i)]) != kGuardByte ||
        static_cast<unsigned char>(pointer[a.bytes + i]) != kGuardByte)
      return false;
  return true;
}

void noteGuards(const char* pointer, Allocation& a) {
  if (a.guardNoted || guardsWhole(pointer, a)) return;
  a.guardNoted = true;
  misuse("bytes just outside an allocation were overwritten: " + hex(pointer, a.bytes));
}

Field countOf(Space space) {
  return space == Space::kDevice ? &FakeCudaControl::deviceAllocations
                                 : &FakeCudaControl::pinnedAllocations;
}

void uncount(Memory& all, Allocation& a) {
  if (!a.counted) return;
  a.counted = false;
  add(countOf(a.space), -1);
  if (a.space != Space::kDevice) return;
  all.used[a.device] -= a.bytes;
  add(&FakeCudaControl::deviceBytes, -static_cast<int64_t>(a.bytes));
}

// Finds the allocation that holds the first byte, or live.end().
auto holder(Memory& all, const char* pointer) {
  auto found = all.live.upper_bound(pointer);
  if (found == all.live.begin()) return all.live.end();
  --found;
  return pointer < found->first + found->second.bytes ? found : all.live.end();
}

// Accesses of all threads since beginAccesses().
struct AccessLog {
  std::mutex mutex;
  int active = 0;
  Accesses accesses;
};
AccessLog& accessLog() {
  static auto* const log = new AccessLog;
  return *log;
}

struct Remembered {
  int device = -1;
  bool isPinned = false;
  emulate::Window windows[2];  // for reads, for writes

  void flush() {
    if (windows[0].high == nullptr && windows[1].high == nullptr) return;
    AccessLog& log = accessLog();
    const std::lock_guard lock(log.mutex);
    const auto note = [](const emulate::Window& window, std::vector<Interval>& all) {
      if (window.high != nullptr) all.push_back({window.low, window.high});
    };
    note(windows[0], log.accesses.reads);
    note(windows[1], log.accesses.writes);
    if (isPinned) log.accesses.isKnown = false;
    windows[0].high = windows[1].high = nullptr;
  }
};
constexpr size_t kRemembered = 4;
// A thread of the emulator ends before its launch.
struct RememberedRanges {
  Remembered ranges[kRemembered];
  size_t oldest = 0;
  void flush() {
    for (Remembered& each : ranges) each.flush();
  }
  ~RememberedRanges() { flush(); }
};
thread_local RememberedRanges remembered;

// Merges intervals that touch or overlap, because the threads of a launch share its buffers.
void merge(std::vector<Interval>& all) {
  std::sort(all.begin(), all.end(),
            [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  std::vector<Interval> merged;
  for (const Interval& each : all) {
    if (merged.empty() || each.begin > merged.back().end)
      merged.push_back(each);
    else
      merged.back().end = std::max(merged.back().end, each.end);
  }
  all = std::move(merged);
}

}  // namespace

void* allocate(Space space, int device, size_t bytes) {
  Memory& all = memory();
  const std::unique_lock lock(all.mutex);
  if (space == Space::kDevice && all.used[device] + bytes > totalBytes()) return nullptr;
  if (!all.next) {
    size_t reserved = kReserved;
    void* area = MAP_FAILED;
    for (; area == MAP_FAILED && reserved > totalBytes(); reserved /= 2)  // sanitizers leave less
      area = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) return nullptr;
    all.next = static_cast<char*>(area);
    all.end = all.next + reserved * 2;
  }
  const size_t mapped = (bytes + 2 * kGuard + kPage - 1) / kPage * kPage;
  const bool isLarge = mapped >= kHugePage;
  const size_t gap = isLarge ? -reinterpret_cast<uintptr_t>(all.next) % kHugePage : 0;
  // Neighbours have a page without access between them.
  if (static_cast<size_t>(all.end - all.next) < gap + mapped + kPage) return nullptr;
  char* mapping = all.next + gap;
  if (mprotect(mapping, mapped, PROT_READ | PROT_WRITE) != 0) return nullptr;
  // One page fault for each 2 MiB, if the system can.
  if (isLarge) madvise(mapping, mapped, MADV_HUGEPAGE);
  all.next = mapping + mapped + kPage;
  char* pointer = mapping + kGuard;
  std::memset(mapping, kGuardByte, kGuard);
  std::memset(pointer, 0xFF, bytes);
  std::memset(pointer + bytes, kGuardByte, kGuard);
  all.live.emplace(pointer, Allocation{mapping, mapped, bytes, space, device});
  add(countOf(space), 1);
  if (space == Space::kDevice) {
    all.used[device] += bytes;
    add(&FakeCudaControl::deviceBytes, static_cast<int64_t>(bytes));
    raise(&FakeCudaControl::peakDeviceBytes, read(&FakeCudaControl::deviceBytes));
  }
  return pointer;
}

bool release(Space space, int device, const void* pointer, const char* caller) {
  Memory& all = memory();
  const std::unique_lock lock(all.mutex);
  const auto found = all.live.find(static_cast<const char*>(pointer));
  const bool known = found != all.live.end() && found->second.space == space &&
                     (space == Space::kPinned || found->second.device == device);
  if (!known) {
    misuse(std::string(caller) + ": nothing alive of this kind and device starts at " +
           hex(pointer, 0));
    return false;
  }
  Allocation& a = found->second;
  noteGuards(found->first, a);
  uncount(all, a);
  emulate::windowGeneration.fetch_add(1);
  // Gives the memory back and closes it forever: a read through a stale pointer ends the process.
  madvise(a.mapping, a.mapped, MADV_DONTNEED);
  mprotect(a.mapping, a.mapped, PROT_NONE);
  all.live.erase(found);
  return true;
}

int locate(Space space, int device, const void* pointer, size_t bytes) {
  Memory& all = memory();
  const std::shared_lock lock(all.mutex);
  const auto* first = static_cast<const char*>(pointer);
  const auto found = holder(all, first);
  const auto ours = [&](const Allocation& a) {
    return a.space == space && (space == Space::kPinned || a.device == device);
  };
  if (found != all.live.end() && ours(found->second))
    return first + bytes <= found->first + found->second.bytes ? 1 : -1;
  const auto next = all.live.upper_bound(first);
  const bool reaches = next != all.live.end() && next->first < first + bytes && ours(next->second);
  return reaches ? -1 : 0;
}

void requireDeviceRange(int device, const void* pointer, size_t bytes, const std::string& what) {
  if (bytes == 0) return;
  if (locate(Space::kDevice, device, pointer, bytes) != 1)
    throw IllegalAddress(what + ": Expected " + hex(pointer, bytes) +
                         " inside one live allocation of device " + std::to_string(device));
}

emulate::Window* kernelWindow(int device, const void* pointer, size_t bytes, bool write) {
  const auto* first = static_cast<const char*>(pointer);
  const uint64_t now = emulate::windowGeneration.load(std::memory_order_acquire);
  RememberedRanges& mine = remembered;
  const auto isRemembered = [&](const Remembered& r) {
    const emulate::Window& all = r.windows[0];
    return first >= all.begin && first + bytes <= all.end && all.generation == now &&
           r.device == device;
  };
  for (Remembered& r : mine.ranges)
    if (isRemembered(r)) return &r.windows[write ? 1 : 0];
  Memory& all = memory();
  const std::shared_lock lock(all.mutex);
  const auto found = holder(all, first);
  const bool allowed = found != all.live.end() &&
                       first + bytes <= found->first + found->second.bytes &&
                       (found->second.space == Space::kPinned || found->second.device == device);
  if (!allowed) return nullptr;
  Remembered& slot = mine.ranges[mine.oldest++ % kRemembered];
  slot.flush();
  const emulate::Window window{found->first, found->first + found->second.bytes, now};
  slot = {device, found->second.space == Space::kPinned, {window, window}};
  return &slot.windows[write ? 1 : 0];
}

void beginAccesses() {
  remembered.flush();
  AccessLog& log = accessLog();
  const std::lock_guard lock(log.mutex);
  if (log.active++ == 0) log.accesses = {};
  if (log.active > 1) log.accesses.isKnown = false;
}

Accesses endAccesses() {
  remembered.flush();
  AccessLog& log = accessLog();
  const std::lock_guard lock(log.mutex);
  --log.active;
  Accesses accesses = log.accesses;
  merge(accesses.reads);
  merge(accesses.writes);
  return accesses;
}

void checkGuards() {
  Memory& all = memory();
  const std::unique_lock lock(all.mutex);
  for (auto& [pointer, a] : all.live) noteGuards(pointer, a);
}

size_t totalBytes() {
  static const size_t total = [] {
    const char* text = std::getenv("FAKE_CUDA_MEMORY");
    return text && *text ? std::strtoull(text, nullptr, 10) : size_t{8} << 30;
  }();
  return total;
}

size_t usedBytes(int device) {
  Memory& all = memory();
  const std::shared_lock lock(all.mutex);
  return all.used[device];
}

void forgetMemory(int device) {
  Memory& all = memory();
  const std::unique_lock lock(all.mutex);
  for (auto& [pointer, a] : all.live)
    if (a.device == device) uncount(all, a);
}

}  // namespace fake
