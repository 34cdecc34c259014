// Which libraries a process of Linux has mapped.
#include <dlfcn.h>
#include <link.h>

#include <utility>

#include "core/dynamic_library.h"

namespace vgg {

std::string pathOfLibrary(void* library) {
  link_map* map = nullptr;
  return dlinfo(library, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr
             ? map->l_name
             : "";
}

std::vector<std::string> mappedLibraries(const std::string& prefix) {
  struct Search {
    const std::string& prefix;
    std::vector<std::string> paths;
  } search{prefix, {}};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& found = *static_cast<Search*>(data);
        std::string path = info->dlpi_name;
        if (path.compare(path.rfind('/') + 1, found.prefix.size(), found.prefix) == 0)
          found.paths.push_back(std::move(path));
        return 0;
      },
      &search);
  return std::move(search.paths);
}

}  // namespace vgg
