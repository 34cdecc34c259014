// The folders in which NVIDIA's libraries are looked for.
#pragma once

#include <string>
#include <vector>

namespace vgg::cuda {

/** The value of an environment variable; empty if it is not set. */
std::string environment(const char* name);

/** The folders that VGG_CUDA_PATH names, and the lib folders and Python's wheels below them. */
std::vector<std::string> namedFolders();

/** The folders where CUDA's installers, Conda and pip put the libraries. */
std::vector<std::string> knownFolders();

/** The path of an open library; empty if the loader does not say. */
std::string pathOf(void* handle);

/** The folder that holds a file, after symbolic links. */
std::string folderOf(const std::string& path);

}  // namespace vgg::cuda
