#include "core/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

namespace vgg {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();

/** The number in a file that holds only one; none if there is no file, or "max" in it. */
std::optional<size_t> readNumber(const std::string& path) {
  std::ifstream file(path);
  size_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

/** The number after `key` in a file of "key number" lines. */
std::optional<size_t> readEntry(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    size_t number = 0;
    if (word == key && file >> number) return number;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

/** Where a version of control groups keeps its files, and what it calls them. */
struct Hierarchy {
  const char* folder;
  const char* limit;
  const char* used;
  const char* reclaimable;  // in memory.stat: file pages that the kernel drops first
};
constexpr Hierarchy kVersion1{"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                              "memory.usage_in_bytes", "total_inactive_file"};
constexpr Hierarchy kVersion2{"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};

/** What the group at `path` and its parents leave. A container sees its own group as the root. */
size_t leftInGroup(const std::string& root, const Hierarchy& hierarchy, std::string path) {
  size_t left = kUnlimited;
  for (;;) {
    const std::string folder = root + hierarchy.folder + path + "/";
    if (const auto limit = readNumber(folder + hierarchy.limit)) {
      const size_t used = readNumber(folder + hierarchy.used).value_or(0);
      const size_t reclaimable =
          readEntry(folder + "memory.stat", hierarchy.reclaimable).value_or(0);
      const size_t needed = used - std::min(used, reclaimable);
      left = std::min(left, *limit - std::min(*limit, needed));
    }
    if (path.empty()) return left;
    path.resize(path.rfind('/'));
  }
}

/** /proc/self/cgroup has lines "0::/path" (version 2) and "4:memory:/path" (version 1). */
size_t leftInGroups(const std::string& root) {
  size_t left = std::min(leftInGroup(root, kVersion2, ""), leftInGroup(root, kVersion1, ""));
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    if (path.empty() || path.front() != '/') continue;
    if (path == "/") path.clear();
    if (controllers == ",,") left = std::min(left, leftInGroup(root, kVersion2, path));
    if (controllers.find(",memory,") != std::string::npos)
      left = std::min(left, leftInGroup(root, kVersion1, path));
  }
  return left;
}

}  // namespace

size_t availableHostBytes(const std::string& root) {
  const auto kibibytes = readEntry(root + "/proc/meminfo", "MemAvailable:");
  const size_t machine = kibibytes ? *kibibytes * 1024 : kUnlimited;
  return std::min(machine, leftInGroups(root));
}

}  // namespace vgg
