// Paths as UTF-8. JavaScript's strings arrive as UTF-8 on every system, but on Windows a narrow
// path is in the process's code page.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

namespace vgg {

/** Separates the folders of a list in an environment variable: ';' on Windows, ':' elsewhere. */
constexpr char kListSeparator = std::filesystem::path::preferred_separator == L'\\' ? ';' : ':';

/** Returns the path that UTF-8 text names. */
inline std::filesystem::path pathFromUtf8(const std::string& text) {
  return std::u8string(text.begin(), text.end());
}

/** Returns a path as UTF-8, or "" if it cannot be (a name on Windows that is no valid UTF-16). */
inline std::string utf8Of(const std::filesystem::path& path) {
  try {
    const std::u8string text = path.u8string();
    return {text.begin(), text.end()};
  } catch (const std::runtime_error&) {
    return "";
  }
}

/** Returns whether a file or folder is there, with symbolic links followed. */
inline bool isPresent(const std::filesystem::path& path) {
  std::error_code failure;
  return std::filesystem::exists(path, failure);
}

}  // namespace vgg
