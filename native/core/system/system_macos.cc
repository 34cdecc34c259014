// What macOS says about the machine and this process.
#include <mach/mach.h>
#include <sys/sysctl.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "core/system.h"

namespace vgg {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

/** Returns a number that the kernel knows by this name, or 0. Some have four bytes, some eight. */
size_t readNumber(const std::string& name) {
  uint64_t number = 0;  // both CPUs are little-endian
  size_t size = sizeof number;
  return sysctlbyname(name.c_str(), &number, &size, nullptr, 0) == 0 ? static_cast<size_t>(number)
                                                                     : 0;
}

/** A type of our own. The linker would export the type information of a pointer to std::free. */
struct Free {
  void operator()(void* data) const { std::free(data); }
};

// Level 0 holds the fastest cores. An Intel CPU has no levels.
constexpr const char* kFastCores = "hw.perflevel0.";

}  // namespace

size_t cacheBytes(int level, size_t otherwise) {
  const std::string cache = "l" + std::to_string(level);
  const std::string size = level == 1 ? "l1dcachesize" : cache + "cachesize";
  if (const size_t bytes = readNumber(kFastCores + size); bytes > 0) {
    const size_t sharers = readNumber(kFastCores + ("cpusper" + cache));
    return bytes / std::max<size_t>(sharers, 1);
  }
  const size_t bytes = readNumber("hw." + size);
  return bytes > 0 ? bytes : otherwise;
}

size_t availableMachineBytes(const std::string&) {
  vm_statistics64 statistics{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  const mach_port_t host = mach_host_self();
  const kern_return_t result =
      host_statistics64(host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&statistics), &count);
  mach_port_deallocate(mach_task_self(), host);
  if (result != KERN_SUCCESS) return kUnlimited;
  // Inactive pages are written out or dropped first. The kernel empties purgeable ones.
  return (size_t{statistics.free_count} + statistics.inactive_count + statistics.purgeable_count) *
         vm_kernel_page_size;
}

int coresOfProcess() {
  return static_cast<int>(readNumber(std::string(kFastCores) + "logicalcpu"));
}

size_t resourceLimit(Resource) { return kUnlimited; }

void growThreadStacks(size_t) {}  // they have 512 KiB

std::shared_ptr<void> allocatePages(size_t bytes, size_t alignment) {
  void* data = nullptr;
  if (posix_memalign(&data, alignment, bytes) != 0) return nullptr;
  return {data, Free{}};
}

}  // namespace vgg
