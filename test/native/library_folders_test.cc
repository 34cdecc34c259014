// Patterns of paths, and the folders in which NVIDIA's libraries are looked for on Linux and on
// Windows.
#include "cuda/nvidia/library_folders.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "core/glob.h"
#include "core/path.h"
#include "core/system.h"
#include "expect.h"

namespace vgg::cuda {
namespace {

namespace fs = std::filesystem;

/** A temporary folder with a name that is not ASCII. */
class Root {
 public:
  Root() { fs::create_directories(path_); }
  ~Root() { fs::remove_all(path_); }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;
  void make(const std::string& folder) const { fs::create_directories(path_ / folder); }
  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] std::string text() const { return utf8Of(path_); }
  /** Returns what lies below this folder, relative to it. */
  [[nodiscard]] std::vector<std::string> relative(const std::vector<std::string>& folders) const {
    std::vector<std::string> names;
    for (const std::string& folder : folders) {
      const fs::path found = pathFromUtf8(folder).lexically_relative(path_);
      if (!found.empty() && *found.begin() != "..") names.push_back(found.generic_string());
    }
    return names;
  }

 private:
  const fs::path path_ =
      fs::temp_directory_path() / pathFromUtf8("vgg-J\xc3\xb6rg-" + std::to_string(processId()));
};

using Variables = std::map<std::string, std::string>;

LibraryFolders foldersOf(const Installation& installation, const Variables& variables,
                         char listSeparator) {
  const auto environment = [variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  };
  return {installation, environment, listSeparator};
}

using List = std::vector<std::string>;

void patternsMatchOnePartEach() {
  const Root root;
  for (const char* folder : {"python3.9/lib", "python3.11/lib", "python3.11/.hidden", "python2/lib",
                             "cuda-13.0", "cuda-13.10", "cuda-13.2"})
    root.make(folder);
  const auto found = [&](const std::string& pattern) {
    List names;
    for (const fs::path& path : globFolders(root.path(), pattern)) names.push_back(utf8Of(path));
    return root.relative(names);
  };
  EXPECT((found("python3.*/lib") == List{"python3.11/lib", "python3.9/lib"}));
  EXPECT((found("cuda-*") == List{"cuda-13.10", "cuda-13.2", "cuda-13.0"}));
  EXPECT((found("python3.11/*") == List{"python3.11/lib"}));
  EXPECT((found("*2/lib") == List{"python2/lib"}));
  EXPECT((found("python2/lib") == List{"python2/lib"}));
  std::ofstream(root.path() / "cuda-14.0") << "no folder";
  EXPECT((found("cuda-1*.0") == List{"cuda-13.0"}));
  EXPECT(found("cuda-14.0").empty());
  EXPECT(found("nowhere/*").empty());
  EXPECT(found("*/nothing").empty());
  EXPECT(found("python3.11-*").empty());
}

void linuxHasItsFolders() {
  const Root root;
  for (const char* folder : {"cuda/lib64", "venv/lib/python3.11/site-packages/nvidia/cudnn/lib",
                             "venv/lib/python3.11/site-packages/nvidia/cu13/lib",
                             "[own]/nvidia/cublas/lib", "[own]/lib"})
    root.make(folder);
  const std::string at = root.text();
  const LibraryFolders folders = foldersOf(linuxInstallation(),
                                           {{"CUDA_PATH", at + "/cuda"},
                                            {"VIRTUAL_ENV", at + "/venv"},
                                            {"VGG_CUDA_PATH", at + "/[own]::" + at + "/absent"}},
                                           ':');
  // CUDA_PATH's folders count even if they are absent.
  EXPECT((root.relative(folders.known()) ==
          List{"cuda/lib64", "cuda/lib", "venv/lib/python3.11/site-packages/nvidia/cudnn/lib",
               "venv/lib/python3.11/site-packages/nvidia/cu13/lib"}));
  EXPECT((root.relative(folders.named()) ==
          List{"[own]", "[own]/lib", "[own]/nvidia/cublas/lib", "absent"}));
}

void windowsHasItsFolders() {
  const Root root;
  const std::string toolkit = "NVIDIA GPU Computing Toolkit/CUDA/";
  for (const std::string& folder :
       {toolkit + "v13.0/bin/x64", toolkit + "v13.2/bin/x64", toolkit + "v12.9/bin",
        std::string("NVIDIA/CUDNN/v9.28/bin/13.0"), std::string("own/cu13/bin/x86_64"),
        std::string("Jörg/Python/Python312/site-packages/nvidia/cublas/bin")})
    root.make(folder);
  const std::string at = root.text();
  const LibraryFolders folders = foldersOf(windowsInstallation(),
                                           {{"ProgramFiles", at},
                                            {"APPDATA", at + "/Jörg"},
                                            {"VGG_CUDA_PATH", at + "/own;" + at + "/absent"}},
                                           ';');
  EXPECT((root.relative(folders.known()) ==
          List{toolkit + "v13.2/bin", toolkit + "v13.0/bin", toolkit + "v13.2/bin/x64",
               toolkit + "v13.0/bin/x64", toolkit + "v12.9/bin", "NVIDIA/CUDNN/v9.28/bin",
               "NVIDIA/CUDNN/v9.28/bin/13.0",
               "Jörg/Python/Python312/site-packages/nvidia/cublas/bin"}));
  EXPECT((root.relative(folders.named()) == List{"own", "own/cu13/bin/x86_64", "absent"}));
}

void librariesHaveTheNamesOfTheirSystem() {
  const Installation& onLinux = linuxInstallation();
  EXPECT(onLinux.problem == nullptr && onLinux.driver == "libcuda.so.1");
  EXPECT(onLinux.cudnn("") == "libcudnn.so.9" && onLinux.cudnn("ops") == "libcudnn_ops.so.9");
  EXPECT(onLinux.cublasLt(13) == "libcublasLt.so.13" && onLinux.nvrtc(12) == "libnvrtc.so.12");
  EXPECT(onLinux.nvrtcBuiltins(13, 5) == "libnvrtc-builtins.so.13.5");
  const Installation& onWindows = windowsInstallation();
  EXPECT(onWindows.problem == nullptr && onWindows.driver == "nvcuda.dll");
  EXPECT(onWindows.cudnn("") == "cudnn64_9.dll" && onWindows.cudnn("ops") == "cudnn_ops64_9.dll");
  EXPECT(onWindows.cublasLt(13) == "cublasLt64_13.dll");
  EXPECT(onWindows.nvrtc(12) == "nvrtc64_120_0.dll");
  EXPECT(onWindows.nvrtcBuiltins(13, 5) == "nvrtc-builtins64_135.dll");
  EXPECT(macosInstallation().problem != nullptr);
}

void aFilesFolderIsReal() {
  const Root root;
  root.make("real/file");
  fs::create_directory_symlink(root.path() / "real", root.path() / "link");
  EXPECT(folderOf(fileIn(root.text() + "/link", "file")) == root.text() + "/real");
  EXPECT(folderOf(fileIn(root.text(), "absent/file")) == root.text() + "/absent");
}

}  // namespace

void testLibraryFolders() {
  patternsMatchOnePartEach();
  linuxHasItsFolders();
  windowsHasItsFolders();
  librariesHaveTheNamesOfTheirSystem();
  aFilesFolderIsReal();
}

}  // namespace vgg::cuda
