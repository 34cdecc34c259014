#include "cuda/nvidia/library_folders.h"

#include <sstream>
#include <utility>

#include "core/glob.h"
#include "core/path.h"
#include "core/system.h"

namespace vgg::cuda {
namespace {

using std::filesystem::path;

std::vector<std::string> split(const std::string& list, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

void append(std::vector<std::string>& folders, const std::vector<path>& more) {
  for (path folder : more) folders.push_back(utf8Of(folder.make_preferred()));
}

/** Appends the folders of NVIDIA's wheels below a folder of Python's packages. */
void appendWheels(std::vector<std::string>& folders, const path& packages,
                  const std::vector<const char*>& below) {
  for (const char* name : {"cudnn", "cu13", "cublas", "cuda_nvrtc"}) {
    for (const char* libraries : below)
      append(folders, globFolders(packages, std::string("nvidia/") + name + "/" + libraries));
  }
}

}  // namespace

LibraryFolders::LibraryFolders(const Installation& installation, Environment environment,
                               char listSeparator)
    : installation_(installation),
      environment_(std::move(environment)),
      listSeparator_(listSeparator) {}

std::vector<std::string> LibraryFolders::named() const {
  std::vector<std::string> folders;
  for (const std::string& folder : split(environment_("VGG_CUDA_PATH"), listSeparator_)) {
    const path root = pathFromUtf8(folder);
    folders.push_back(folder);
    for (const char* below : installation_.belowNamed) append(folders, globFolders(root, below));
    appendWheels(folders, root, installation_.belowWheel);
  }
  return folders;
}

std::vector<std::string> LibraryFolders::known() const {
  std::vector<std::string> folders;
  for (const Place& place : installation_.known) {
    const std::string pattern = place.pattern;
    const size_t end = pattern.find('/');
    std::string root = "/";
    if (pattern.starts_with('$')) root = environment_(pattern.substr(1, end - 1).c_str());
    if (root.empty()) continue;
    const std::string rest = pattern.substr(end + 1);
    if (place.kind == Place::Kind::kNamed) {
      folders.push_back(fileIn(root, rest));
      continue;
    }
    const std::vector<path> found = globFolders(pathFromUtf8(root), rest);
    if (place.kind == Place::Kind::kFolders) append(folders, found);
    if (place.kind != Place::Kind::kPackages) continue;
    for (const path& packages : found) appendWheels(folders, packages, installation_.belowWheel);
  }
  return folders;
}

LibraryFolders libraryFolders() {
  return {installation(), [](const char* name) { return environmentVariable(name); },
          kListSeparator};
}

std::string fileIn(const std::string& folder, const std::string& name) {
  return utf8Of((pathFromUtf8(folder) / pathFromUtf8(name)).make_preferred());
}

std::string folderOf(const std::string& file) {
  std::error_code failure;
  const path given = pathFromUtf8(file);
  const path real = std::filesystem::canonical(given, failure);
  return utf8Of((failure ? given : real).parent_path());
}

}  // namespace vgg::cuda
