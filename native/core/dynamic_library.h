// Opens libraries at run time and finds what they hold, on each system. Paths are UTF-8.
#pragma once

#include <string>
#include <vector>

namespace vgg {

/** `handle` is null if the library was not opened. `error` then holds the system's reason. */
struct OpenedLibrary {
  void* handle;
  std::string error;
};

/**
 * Returns what is wrong with a library's file, if opening it would end or block the process: "is
 * …". Otherwise returns an empty string, also for a file that the system refuses by itself.
 */
std::string faultOfLibraryFile(const std::string& path);

/**
 * Opens a library by its path, or by its bare name from the folders that the system searches. On
 * Windows these are the program's, the system's and those in PATH, without the current folder.
 * What a library needs is looked for beside it first on Windows. A file with a fault is not opened.
 */
OpenedLibrary openLibrary(const std::string& name);

/** Returns the library of this name if the process has it already; otherwise null. The library then
 * stays open. */
void* findOpenLibrary(const std::string& name);

/** Returns the address of an exported symbol, or null. */
void* findSymbol(void* library, const char* name);

/** Returns the path of an open library, empty if the system does not know it. */
std::string pathOfLibrary(void* library);

/** Returns the path of the library that holds a function or a static variable, or an empty string.
 */
std::string pathOfSymbol(const void* address);

/** Returns the paths of the libraries that this process has mapped and whose file name begins with
 * `prefix`. */
std::vector<std::string> mappedLibraries(const std::string& prefix);

/** Keeps the library that holds this code mapped until the process ends. */
void keepThisLibrary();

}  // namespace vgg
