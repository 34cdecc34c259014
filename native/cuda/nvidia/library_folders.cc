#include "cuda/nvidia/library_folders.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace vgg::cuda {
namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ':');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

void addMatches(std::vector<std::string>& folders, const std::string& pattern) {
  glob_t found{};
  if (glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    std::vector<std::string> matches(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    std::sort(matches.rbegin(), matches.rend());  // the newest version first
    folders.insert(folders.end(), matches.begin(), matches.end());
  }
  globfree(&found);
}

/** The folders of Python's wheels (nvidia/...) below a folder of packages. */
void addWheels(std::vector<std::string>& folders, const std::string& packages) {
  for (const char* name : {"cudnn", "cu13", "cublas", "cuda_nvrtc"})
    addMatches(folders, packages + "/nvidia/" + name + "/lib");
}

}  // namespace

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing here sets it
  return value == nullptr ? "" : value;
}

std::vector<std::string> namedFolders() {
  std::vector<std::string> folders;
  for (const std::string& folder : split(environment("VGG_CUDA_PATH"))) {
    folders.push_back(folder);
    for (const char* below :
         {"lib", "lib64", "cudnn/lib", "cu13/lib", "cublas/lib", "cuda_nvrtc/lib"})
      addMatches(folders, folder + "/" + below);
    addWheels(folders, folder);
  }
  return folders;
}

std::vector<std::string> knownFolders() {
  std::vector<std::string> folders;
  for (const char* name : {"CUDA_PATH", "CUDA_HOME"}) {
    if (const std::string root = environment(name); !root.empty()) {
      folders.push_back(root + "/lib64");
      folders.push_back(root + "/lib");
    }
  }
  for (const char* pattern : {"/usr/local/cuda/lib64", "/usr/local/cuda-1[23]*/lib64",
                              "/usr/local/cuda/targets/*-linux/lib", "/usr/lib/wsl/lib"})
    addMatches(folders, pattern);
  if (const std::string conda = environment("CONDA_PREFIX"); !conda.empty()) {
    addMatches(folders, conda + "/lib");
    addMatches(folders, conda + "/targets/*-linux/lib");
    addWheels(folders, conda + "/lib/python3.*/site-packages");
  }
  if (const std::string venv = environment("VIRTUAL_ENV"); !venv.empty())
    addWheels(folders, venv + "/lib/python3.*/site-packages");
  if (const std::string home = environment("HOME"); !home.empty())
    addWheels(folders, home + "/.local/lib/python3.*/site-packages");
  for (const char* packages :
       {"/usr/local/lib/python3.*/dist-packages", "/usr/local/lib/python3.*/site-packages",
        "/usr/lib/python3/dist-packages"})
    addWheels(folders, packages);
  return folders;
}

std::string pathOf(void* handle) {
  link_map* map = nullptr;
  return dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 && map != nullptr
             ? map->l_name
             : "";
}

std::string folderOf(const std::string& path) {
  std::error_code failure;
  const std::filesystem::path real = std::filesystem::canonical(path, failure);
  return (failure ? std::filesystem::path(path) : real).parent_path().string();
}

}  // namespace vgg::cuda
