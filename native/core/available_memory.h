// How much memory this process may still use.
#pragma once

#include <cstddef>
#include <string>

namespace vgg {

/**
 * Bytes that this process may still allocate: the machine's, or fewer if a control group (version 1
 * or 2) of the process or of a parent has a limit. The largest size_t if the system does not say.
 * `root` is the root of the file system; tests pass a folder of their own.
 */
size_t availableHostBytes(const std::string& root = "");

}  // namespace vgg
