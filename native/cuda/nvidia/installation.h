// What NVIDIA's libraries are called on each system, and in which folders their installers put
// them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vgg::cuda {

/** Folders in which libraries may lie. */
struct Place {
  enum class Kind : std::uint8_t {
    kNamed,     // one folder, which counts as looked in even if it is absent
    kFolders,   // the folders that match
    kPackages,  // folders of Python's packages that match: the libraries are in NVIDIA's wheels
  };
  Kind kind;
  /** A path with at most one * in each part. A part "$NAME" at its start is an environment
   * variable. Without this variable there is no such place. */
  const char* pattern;
};

/** One system's table. Parts of a path are separated by '/' on each system. */
struct Installation {
  /** Why there are no libraries for this system, or null. Nothing is looked for then. */
  const char* problem = nullptr;
  std::string driver{};
  /** The start of the names of cuDNN's files. */
  std::string cudnnPrefix{};
  /** The name of a part of cuDNN 9, and with "" of cuDNN itself. */
  std::string (*cudnn)(const std::string& part) = nullptr;
  std::string (*cublasLt)(int major) = nullptr;
  std::string (*nvrtc)(int major) = nullptr;
  std::string (*nvrtcBuiltins)(int major, int minor) = nullptr;
  /** The folders of libraries below a folder that a user names, with at most one * in each part. */
  std::vector<const char*> belowNamed{};
  /** The same below a package of NVIDIA's among Python's packages. */
  std::vector<const char*> belowWheel{};
  /** All other places, in the order in which they are searched. */
  std::vector<Place> known{};
};

/** Each of these builds its table once. */
const Installation& linuxInstallation();
const Installation& windowsInstallation();
const Installation& macosInstallation();

/** Returns the table of the system that this library is built for. */
const Installation& installation();

}  // namespace vgg::cuda
