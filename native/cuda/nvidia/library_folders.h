// Lists the folders in which NVIDIA's libraries are looked for.
#pragma once

#include <string>
#include <vector>

namespace vgg::cuda {

/** Returns the value of an environment variable, empty if it is not set. */
std::string environment(const char* name);

/** Returns the folders that VGG_CUDA_PATH names, and the lib folders and Python's wheels below
 * them. */
std::vector<std::string> namedFolders();

/** Returns the folders where CUDA's installers, Conda and pip put the libraries. */
std::vector<std::string> knownFolders();

/** Returns the path of an open library, empty if the loader does not know it. */
std::string pathOf(void* handle);

/** Returns the folder that holds a file, with symbolic links resolved. */
std::string folderOf(const std::string& path);

}  // namespace vgg::cuda
