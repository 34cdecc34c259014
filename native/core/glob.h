// Finds the folders whose paths match a pattern.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace vgg {

/**
 * Returns the folders below `root` that match `pattern`, with symbolic links followed. The
 * pattern's parts are separated by '/'. Each may have one *, which stands for any text, at the
 * start of a name for any text that does not begin with a dot. Of the names that match a part the
 * highest version comes first: 3.11 before 3.9. What cannot be read counts as absent.
 */
std::vector<std::filesystem::path> globFolders(const std::filesystem::path& root,
                                               const std::string& pattern);

}  // namespace vgg
