// Libraries at run time on macOS alone: files that it cannot open, and what a process has mapped.
#include <dlfcn.h>
#include <mach-o/dyld.h>

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/dynamic_library.h"

namespace vgg {

std::string faultOfLibraryFile(const std::string& path) {
  // The system's loader compares the size with the file's header, but it waits for a pipe's writer.
  std::error_code failure;
  const auto status = std::filesystem::status(path, failure);
  const bool isOther = std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
  return isOther ? "is not a regular file" : "";
}

std::string pathOfLibrary(void* library) {
  for (uint32_t index = 0; index < _dyld_image_count(); ++index) {
    const char* path = _dyld_get_image_name(index);
    void* handle = path == nullptr ? nullptr : dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == nullptr) continue;
    dlclose(handle);
    if (handle == library) return path;
  }
  return "";
}

std::vector<std::string> mappedLibraries(const std::string& prefix) {
  std::vector<std::string> paths;
  for (uint32_t index = 0; index < _dyld_image_count(); ++index) {
    const char* name = _dyld_get_image_name(index);
    std::string path = name == nullptr ? "" : name;
    if (path.compare(path.rfind('/') + 1, prefix.size(), prefix) == 0)
      paths.push_back(std::move(path));
  }
  return paths;
}

}  // namespace vgg
