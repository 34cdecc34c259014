// How much memory this process may still use.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace vgg {

/** How many bytes this process may still allocate, and what says so; null: the machine's memory. */
struct HostLimit {
  size_t bytes;
  const char* name;
};

/**
 * The narrowest: the machine's memory, that of a control group (version 1 or 2) of the process or
 * of a parent, or a resource limit of the process. The largest size_t if the system does not say.
 * `root` is the root of the file system; tests pass a folder of their own.
 */
HostLimit hostLimit(const std::string& root = "");

inline size_t availableHostBytes(const std::string& root = "") { return hostLimit(root).bytes; }

/** The number at the start of a file; none if there is no file, or "max" in it. */
std::optional<size_t> readNumber(const std::string& path);

}  // namespace vgg
