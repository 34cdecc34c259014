#include "core/threads/thread.h"

#include <fstream>
#include <limits>
#include <string>

#include "core/memory/available_memory.h"
#include "core/system.h"

namespace vgg {
namespace {

/** Returns the number of threads of all processes: "0.34 0.75 0.46 1/234 5678" means 234. */
size_t threadsOfAll() {
  std::ifstream file("/proc/loadavg");
  double load = 0;
  size_t running = 0;
  char slash = 0;
  size_t all = 0;
  return file >> load >> load >> load >> running >> slash >> all ? all : 0;
}

/** Returns the number of mappings in the address space. */
size_t mapsOfProcess() {
  std::ifstream file("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(file, line);) ++count;
  return count;
}

/** The system's error is the same for every limit. Returns the limit that is reached. If no limit
 * appears to be reached, returns the one that cannot be queried. */
std::string reachedLimit() {
  // Allow 2 % slack: other processes may have ended threads since.
  const auto isReached = [](size_t used, size_t most) {
    return most > 0 && used + most / 50 >= most;
  };
  const auto is = [](const char* name, size_t most) {
    return name + (" is " + std::to_string(most));
  };
  const size_t group = readNumber("/sys/fs/cgroup/pids.max").value_or(0);
  if (isReached(readNumber("/sys/fs/cgroup/pids.current").value_or(0), group))
    return is("pids.max of its control group", group);
  constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();
  constexpr size_t kUsualStack = size_t{8} << 20;
  size_t stack = resourceLimit(Resource::kStack);
  if (stack == kUnlimited) stack = kUsualStack;
  if (const HostLimit host = hostLimit(); host.name != nullptr && host.bytes < stack)
    return std::string(host.name) + " leaves no room for its stack";
  if (const size_t maps = readNumber("/proc/sys/vm/max_map_count").value_or(0);
      isReached(mapsOfProcess(), maps))
    return is("vm.max_map_count", maps);
  for (const char* name : {"threads-max", "pid_max"}) {
    const size_t most = readNumber(std::string("/proc/sys/kernel/") + name).value_or(0);
    if (isReached(threadsOfAll(), most)) return is((std::string("kernel.") + name).c_str(), most);
  }
  if (const size_t most = resourceLimit(Resource::kThreads); most != kUnlimited)
    return is("RLIMIT_NPROC (ulimit -u)", most) + " for all of its user";
  return "the system starts no more";
}

}  // namespace

void prepareThreadStacks() {
  // A float16 product and the linear layer around it take 100 KiB.
  constexpr size_t kMinStack = size_t{256} << 10;
  static const bool isPrepared = [] {
    growThreadStacks(kMinStack);
    return true;
  }();
  static_cast<void>(isPrepared);
}

Error threadRefusal() {
  return {Code::kOutOfMemory, "Expected one more thread for this process but " + reachedLimit()};
}

}  // namespace vgg
