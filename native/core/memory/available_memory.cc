#include "core/memory/available_memory.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

#include "core/system.h"

namespace vgg {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

/** Returns the number after `key` in a file of "key number" lines. */
std::optional<size_t> readEntry(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    size_t number = 0;
    if (word == key && file >> number) return number;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

/** The folder and file names of one version of control groups. */
struct Hierarchy {
  const char* folder;
  const char* limit;
  const char* used;
  const char* reclaimable;  // in memory.stat: file pages that the kernel drops first
  const char* name;
};
constexpr Hierarchy kVersion1{"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                              "memory.usage_in_bytes", "total_inactive_file",
                              "memory.limit_in_bytes (its control group)"};
constexpr Hierarchy kVersion2{"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file",
                              "memory.max (its control group)"};

void narrow(HostLimit& limit, size_t most, size_t used, const char* name) {
  const size_t left = most - std::min(most, used);
  if (left < limit.bytes) limit = {left, name};
}

/** Narrows `limit` to what the group at `path` and its parents leave. A container sees its own
 * group as the root. */
void narrowToGroup(HostLimit& limit, const std::string& root, const Hierarchy& hierarchy,
                   std::string path) {
  for (;;) {
    std::string folder = root;
    folder.append(hierarchy.folder).append(path).append("/");
    if (const auto most = readNumber(folder + hierarchy.limit)) {
      const size_t used = readNumber(folder + hierarchy.used).value_or(0);
      const size_t reclaimable =
          readEntry(folder + "memory.stat", hierarchy.reclaimable).value_or(0);
      narrow(limit, *most, used - std::min(used, reclaimable), hierarchy.name);
    }
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

/** /proc/self/cgroup has lines "0::/path" (version 2) and "4:memory:/path" (version 1). */
void narrowToGroups(HostLimit& limit, const std::string& root) {
  narrowToGroup(limit, root, kVersion2, "");
  narrowToGroup(limit, root, kVersion1, "");
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path.empty() || path.front() != '/') continue;
    if (path == "/") path.clear();
    if (controllers == ",,") narrowToGroup(limit, root, kVersion2, path);
    if (controllers.find(",memory,") != std::string::npos)
      narrowToGroup(limit, root, kVersion1, path);
  }
}

void narrowToResourceLimits(HostLimit& limit) {
  const size_t space = resourceLimit(Resource::kAddressSpace);
  const size_t data = resourceLimit(Resource::kData);
  if (space == kUnlimited && data == kUnlimited) return;
  // In pages: address space, resident, shared part of resident, text, 0, data.
  std::array<size_t, 6> pages{};
  std::ifstream statm("/proc/self/statm");
  for (size_t& count : pages) statm >> count;
  const size_t page = pageBytes();
  if (space != kUnlimited) narrow(limit, space, pages[0] * page, "RLIMIT_AS (ulimit -v)");
  if (data != kUnlimited) narrow(limit, data, pages[5] * page, "RLIMIT_DATA (ulimit -d)");
}

}  // namespace

std::optional<size_t> readNumber(const std::string& path) {
  std::ifstream file(path);
  size_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

HostLimit hostLimit(const std::string& root) {
  HostLimit limit{availableMachineBytes(root), nullptr};
  narrowToGroups(limit, root);
  narrowToResourceLimits(limit);
  return limit;
}

}  // namespace vgg
