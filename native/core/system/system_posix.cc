// What Linux and macOS say in the same way about this process.
#include <dirent.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "core/system.h"

namespace vgg {

size_t pageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

uint64_t processId() { return static_cast<uint64_t>(getpid()); }

std::optional<std::string> findEnvironmentVariable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here sets it
  if (value == nullptr) return std::nullopt;
  return value;
}

std::vector<std::string> namesIn(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  const auto close = [](DIR* open) { closedir(open); };
  const std::unique_ptr<DIR, decltype(close)> open(opendir(folder.c_str()), close);
  if (open == nullptr) return names;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread reads this open folder
  while (const dirent* entry = readdir(open.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  return names;
}

}  // namespace vgg
