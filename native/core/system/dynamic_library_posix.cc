// Libraries at run time on Linux and macOS.
#include <dlfcn.h>

#include "core/dynamic_library.h"

namespace vgg {

OpenedLibrary openLibrary(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (const std::string fault = faultOfLibraryFile(name); !fault.empty())
      return {nullptr, name + ": " + fault};
  }
  if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return {handle, ""};
  const char* error = dlerror();  // NOLINT(concurrency-mt-unsafe)
  return {nullptr, error == nullptr ? "" : error};
}

void* findOpenLibrary(const std::string& name) {
  return dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
}

void* findSymbol(void* library, const char* name) { return dlsym(library, name); }

std::string pathOfSymbol(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

void keepThisLibrary() {
  const std::string path = pathOfSymbol(reinterpret_cast<const void*>(&keepThisLibrary));
  if (!path.empty()) dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD | RTLD_NODELETE);
}

}  // namespace vgg
