// What Linux says about the machine and this process, with glibc and with musl.
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <limits>

#include "core/system.h"

namespace vgg {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

/** Returns what the C library says, or 0. glibc asks the CPU, and knows no cache on arm64; musl has
 * no name for any. */
size_t cacheBytesOfLibrary([[maybe_unused]] int level) {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  constexpr int kNames[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  if (level < 1 || level > 3) return 0;
  const long bytes = sysconf(kNames[level - 1]);
  return bytes > 0 ? static_cast<size_t>(bytes) : 0;
#else
  return 0;
#endif
}

/** Returns what the kernel's files say about the first CPU, or 0. */
size_t cacheBytesOfKernel(int level) {
  constexpr int kMaxCaches = 8;
  for (int index = 0; index < kMaxCaches; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    int found = 0;
    if (!(std::ifstream(folder + "level") >> found)) return 0;
    std::string type;
    std::ifstream(folder + "type") >> type;
    size_t kibibytes = 0;  // "512K"
    if (found == level && type != "Instruction" && std::ifstream(folder + "size") >> kibibytes)
      return kibibytes << 10;
  }
  return 0;
}

}  // namespace

size_t cacheBytes(int level, size_t otherwise) {
  if (const size_t bytes = cacheBytesOfLibrary(level); bytes > 0) return bytes;
  const size_t bytes = cacheBytesOfKernel(level);
  return bytes > 0 ? bytes : otherwise;
}

size_t availableMachineBytes(const std::string& root) {
  std::ifstream meminfo(root + "/proc/meminfo");
  for (std::string key; meminfo >> key;) {
    size_t kibibytes = 0;
    if (key == "MemAvailable:" && meminfo >> kibibytes) return kibibytes << 10;
    meminfo.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return kUnlimited;
}

int coresOfProcess() {
  cpu_set_t mask;
  return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 0;
}

size_t resourceLimit(Resource resource) {
  const auto of = [](auto name) {
    rlimit limit{};
    return getrlimit(name, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY
               ? kUnlimited
               : static_cast<size_t>(limit.rlim_cur);
  };
  switch (resource) {
    case Resource::kAddressSpace:
      return of(RLIMIT_AS);
    case Resource::kData:
      return of(RLIMIT_DATA);
    case Resource::kStack:
      return of(RLIMIT_STACK);
    case Resource::kThreads:
      return of(RLIMIT_NPROC);
  }
  return kUnlimited;
}

void growThreadStacks(size_t bytes) {
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) != 0) return;
  size_t present = 0;
  if (pthread_attr_getstacksize(&attributes, &present) == 0 && present < bytes &&
      pthread_attr_setstacksize(&attributes, bytes) == 0)
    pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

std::shared_ptr<void> allocatePages(size_t bytes, size_t alignment) {
  // malloc keeps blocks below 32 MiB in heaps, where longer-lived data lies between them.
  const size_t length = (bytes + alignment - 1) / alignment * alignment;
  void* mapped =
      mmap(nullptr, length + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* start = static_cast<std::byte*>(mapped);
  const size_t before = (alignment - reinterpret_cast<uintptr_t>(start) % alignment) % alignment;
  if (before > 0) munmap(start, before);
  if (before < alignment) munmap(start + before + length, alignment - before);
  // Each forward reads all weights. Fewer, larger pages reduce TLB misses.
  madvise(start + before, length, MADV_HUGEPAGE);
  return {start + before, [length](void* last) { munmap(last, length); }};
}

}  // namespace vgg
