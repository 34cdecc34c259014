#include "cuda/nvidia/installation.h"

namespace vgg::cuda {
namespace {

using enum Place::Kind;

std::string text(int number) { return std::to_string(number); }

}  // namespace

const Installation& linuxInstallation() {
  static const auto* const table = new Installation{
      .driver = "libcuda.so.1",
      .cudnnPrefix = "libcudnn",
      .cudnn =
          [](const std::string& part) {
            return "libcudnn" + (part.empty() ? "" : "_" + part) + ".so.9";
          },
      .cublasLt = [](int major) { return "libcublasLt.so." + text(major); },
      .nvrtc = [](int major) { return "libnvrtc.so." + text(major); },
      .nvrtcBuiltins =
          [](int major, int minor) {
            return "libnvrtc-builtins.so." + text(major) + "." + text(minor);
          },
      .belowNamed = {"lib", "lib64", "cudnn/lib", "cu13/lib", "cublas/lib", "cuda_nvrtc/lib"},
      .belowWheel = {"lib"},
      .known =
          {
              {kNamed, "$CUDA_PATH/lib64"},
              {kNamed, "$CUDA_PATH/lib"},
              {kNamed, "$CUDA_HOME/lib64"},
              {kNamed, "$CUDA_HOME/lib"},
              {kFolders, "/usr/local/cuda/lib64"},
              {kFolders, "/usr/local/cuda-13*/lib64"},
              {kFolders, "/usr/local/cuda-12*/lib64"},
              {kFolders, "/usr/local/cuda/targets/*-linux/lib"},
              {kFolders, "/usr/lib/wsl/lib"},
              {kFolders, "$CONDA_PREFIX/lib"},
              {kFolders, "$CONDA_PREFIX/targets/*-linux/lib"},
              {kPackages, "$CONDA_PREFIX/lib/python3.*/site-packages"},
              {kPackages, "$VIRTUAL_ENV/lib/python3.*/site-packages"},
              {kPackages, "$HOME/.local/lib/python3.*/site-packages"},
              {kPackages, "/usr/local/lib/python3.*/dist-packages"},
              {kPackages, "/usr/local/lib/python3.*/site-packages"},
              {kPackages, "/usr/lib/python3/dist-packages"},
          }};
  return *table;
}

const Installation& windowsInstallation() {
  // The folders were not checked on a machine with Windows. The names are those in NVIDIA's wheels.
  static const auto* const table = new Installation{
      .driver = "nvcuda.dll",
      .cudnnPrefix = "cudnn",
      .cudnn =
          [](const std::string& part) {
            return "cudnn" + (part.empty() ? "" : "_" + part) + "64_9.dll";
          },
      .cublasLt = [](int major) { return "cublasLt64_" + text(major) + ".dll"; },
      .nvrtc = [](int major) { return "nvrtc64_" + text(major) + "0_0.dll"; },
      .nvrtcBuiltins =
          [](int major, int minor) {
            return "nvrtc-builtins64_" + text(major) + text(minor) + ".dll";
          },
      // The folder below bin has the name of a processor, or of a version of CUDA.
      .belowNamed = {"bin", "bin/*", "cudnn/bin", "cu13/bin/*", "cublas/bin", "cuda_nvrtc/bin"},
      .belowWheel = {"bin", "bin/*"},
      .known =
          {
              {kNamed, "$CUDA_PATH/bin"},
              {kFolders, "$CUDA_PATH/bin/*"},
              {kNamed, "$CUDA_HOME/bin"},
              {kFolders, "$CUDA_HOME/bin/*"},
              {kFolders, "$ProgramFiles/NVIDIA GPU Computing Toolkit/CUDA/v13*/bin"},
              {kFolders, "$ProgramFiles/NVIDIA GPU Computing Toolkit/CUDA/v13*/bin/*"},
              {kFolders, "$ProgramFiles/NVIDIA GPU Computing Toolkit/CUDA/v12*/bin"},
              {kFolders, "$ProgramFiles/NVIDIA/CUDNN/v9*/bin"},
              {kFolders, "$ProgramFiles/NVIDIA/CUDNN/v9*/bin/*"},
              {kFolders, "$ProgramFiles/NVIDIA/CUDNN/v9*/bin/*/*"},
              {kFolders, "$CONDA_PREFIX/Library/bin"},
              {kFolders, "$CONDA_PREFIX/Library/bin/*"},
              {kPackages, "$CONDA_PREFIX/Lib/site-packages"},
              {kPackages, "$VIRTUAL_ENV/Lib/site-packages"},
              {kPackages, "$APPDATA/Python/Python3*/site-packages"},
              {kPackages, "$LOCALAPPDATA/Programs/Python/Python3*/Lib/site-packages"},
              {kPackages, "$ProgramFiles/Python3*/Lib/site-packages"},
          }};
  return *table;
}

const Installation& macosInstallation() {
  static const auto* const table = new Installation{
      .problem = "NVIDIA has no CUDA libraries for macOS. Use the device \"cpu\"",
  };
  return *table;
}

const Installation& installation() {
#if defined(_WIN32)
  return windowsInstallation();
#elif defined(__APPLE__)
  return macosInstallation();
#else
  return linuxInstallation();
#endif
}

}  // namespace vgg::cuda
