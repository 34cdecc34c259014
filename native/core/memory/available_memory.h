// Determines how much memory this process may still use.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace vgg {

/** The bytes that this process may still allocate, and the name of the limit. A null name means the
 * machine's memory. */
struct HostLimit {
  size_t bytes;
  const char* name;
};

/**
 * Returns the lowest limit: the machine's memory, the limit of the process's control group (version
 * 1 or 2) or of a parent group, or a resource limit of the process. Returns the largest size_t if
 * the system reports no limit. `root` is the root of the file system; tests pass another folder.
 */
HostLimit hostLimit(const std::string& root = "");

inline size_t availableHostBytes(const std::string& root = "") { return hostLimit(root).bytes; }

/** Returns the number at the start of a file; nullopt if the file is missing or says "max". */
std::optional<size_t> readNumber(const std::string& path);

}  // namespace vgg
