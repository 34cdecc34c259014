// Lists the folders in which NVIDIA's libraries are looked for. Paths are UTF-8.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cuda/nvidia/installation.h"

namespace vgg::cuda {

/** Looks for libraries as one system's installation says. */
class LibraryFolders {
 public:
  using Environment = std::function<std::string(const char* name)>;

  /** `environment` returns a variable's value, or "" if it is not set. */
  LibraryFolders(const Installation& installation, Environment environment, char listSeparator);

  /** Returns the folders that VGG_CUDA_PATH names, and the folders of libraries and Python's wheels
   * below them. */
  [[nodiscard]] std::vector<std::string> named() const;

  /** Returns the folders where CUDA's installers, Conda and pip put the libraries. */
  [[nodiscard]] std::vector<std::string> known() const;

 private:
  const Installation& installation_;
  Environment environment_;
  char listSeparator_;
};

/** Returns the folders of this system, with this process's environment. */
LibraryFolders libraryFolders();

/** Returns the path of a file in a folder. */
std::string fileIn(const std::string& folder, const std::string& name);

/** Returns the folder that holds a file, with symbolic links resolved. */
std::string folderOf(const std::string& file);

}  // namespace vgg::cuda
