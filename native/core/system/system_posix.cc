// What Linux and macOS say in the same way about this process.
#include <unistd.h>

#include <cstdlib>

#include "core/system.h"

namespace vgg {

size_t pageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

uint64_t processId() { return static_cast<uint64_t>(getpid()); }

std::optional<std::string> findEnvironmentVariable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here sets it
  if (value == nullptr) return std::nullopt;
  return value;
}

}  // namespace vgg
